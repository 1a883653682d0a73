"""A rewritten generator to ONNX, and ONNX to a TensorRT engine.

The graph is written node by node from a trace of the module, so the file holds just the operations that
the network has, its bytes are the same for the same weights on every machine, and no exporter is needed.

Both flavours of TensorRT have one API here: `tensorrt` (every NVIDIA card since Turing, the engine tuned
on the card it is for) and `tensorrt_rtx` (GeForce and RTX cards; builds without a card, in about a
second, and finishes the kernels when the engine is first run). Networks are strongly typed: precision
lives in the graph. Every name taken from `trt` exists in TensorRT 11.4 and in TensorRT-RTX 1.7 unless
the line says otherwise.
"""

from __future__ import annotations

import operator
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from vidsr.errors import EngineError
from vidsr.inference.engine_key import FLAVOURS, Flavour, Machine, ShapeRange
from vidsr.inference.engine_monitor import BUILD_TASK, make_log, make_monitor
from vidsr.inference.engines import TimingCache
from vidsr.inference.rewrites import FrameNetwork
from vidsr.progress import Finished, Progress, Started

INPUT, OUTPUT = "lr", "sr"
"""Names of the engine's two tensors."""

EXTRAS: Mapping[Flavour, str] = {"tensorrt": "tensorrt", "tensorrt_rtx": "rtx"}
"""What brings a flavour: pip install 'vidsr-cli[...]'."""

LEAST_VERSION: Mapping[Flavour, tuple[int, ...]] = {"tensorrt": (11,), "tensorrt_rtx": (1, 7)}
"""TensorRT 10 builds networks that are not strongly typed, in another precision than they say."""

OPSET = 20
IR_VERSION = 10  # what ONNX Runtime has read since 1.18 and TensorRT since 10


def export_onnx(network: FrameNetwork) -> bytes:
    """The network as an ONNX file: `lr` (N, h, w, 3) to `sr` (N, scale*h, scale*w, 3), any N, h, w.

    The same weights, precision and depth always give the same bytes. Raises EngineError where the onnx
    package is missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineError(
            "building an engine needs the onnx package: pip install 'vidsr-cli[rtx]' or '[tensorrt]'"
        ) from error
    from onnx import helper

    writer = _GraphWriter(network)
    outer = writer.type_of(network.outer_dtype)
    graph = helper.make_graph(
        writer.nodes,
        "vidsr",
        [helper.make_tensor_value_info(INPUT, outer, ["frames", "height", "width", 3])],
        [helper.make_tensor_value_info(OUTPUT, outer, ["frames", "sr_height", "sr_width", 3])],
        writer.initializers,
    )
    model = helper.make_model(
        graph,
        producer_name="vidsr",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


class _GraphWriter:
    """Turns the trace of a network into ONNX nodes; one method per kind of traced step."""

    def __init__(self, network: FrameNetwork) -> None:
        from onnx import NodeProto, TensorProto

        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._network = network
        self._names: dict[fx.Node, str] = {}
        for step in fx.symbolic_trace(network).graph.nodes:
            self._names[step] = self._write(step)

    def type_of(self, dtype: torch.dtype) -> int:
        """ONNX's number for an element type."""
        from onnx import TensorProto

        types = {
            torch.uint8: TensorProto.UINT8,
            torch.float16: TensorProto.FLOAT16,
            torch.float32: TensorProto.FLOAT,
        }
        return int(types[dtype])

    def _write(self, step: fx.Node) -> str:
        """Write one traced step; the name of its result."""
        if step.op == "placeholder":
            return INPUT
        if step.op == "output":
            (last,) = step.all_input_nodes
            self.nodes[-1].output[0] = OUTPUT
            return self._names[last]
        if step.op == "call_module":
            return self._module(step, self._network.get_submodule(str(step.target)))
        if step.op == "call_method":
            return self._method(step, str(step.target))
        operations: dict[object, str] = {operator.add: "Add", operator.mul: "Mul", torch.tanh: "Tanh"}
        arguments = [self._operand(argument, step) for argument in step.args]
        return self._node(operations[step.target], arguments, step)

    def _module(self, step: fx.Node, module: nn.Module) -> str:
        source = self._operand(step.args[0], step)
        if isinstance(module, nn.Conv2d):
            pad = module.padding[0]
            assert isinstance(pad, int)
            assert module.bias is not None
            tensors = [
                self._constant(f"{step.name}.{name}", tensor)
                for name, tensor in (("weight", module.weight), ("bias", module.bias))
            ]
            return self._node("Conv", [source, *tensors], step, pads=[pad] * 4)
        if isinstance(module, nn.PReLU):
            slopes = self._constant(f"{step.name}.slopes", module.weight.reshape(-1, 1, 1))
            return self._node("PRelu", [source, slopes], step)
        if isinstance(module, nn.LeakyReLU):
            return self._node("LeakyRelu", [source], step, alpha=module.negative_slope)
        if isinstance(module, nn.ReLU):
            return self._node("Relu", [source], step)
        if isinstance(module, nn.PixelShuffle):
            # "CRD" is the channel order of PixelShuffle; ONNX's default is another one.
            factor = module.upscale_factor
            return self._node("DepthToSpace", [source], step, blocksize=factor, mode="CRD")
        assert isinstance(module, nn.Identity), type(module)
        return source

    def _method(self, step: fx.Node, method: str) -> str:
        source = self._operand(step.args[0], step)
        if method == "to":
            (dtype,) = step.args[1:]
            assert isinstance(dtype, torch.dtype)
            return self._node("Cast", [source], step, to=self.type_of(dtype))
        if method == "permute":
            return self._node("Transpose", [source], step, perm=list(step.args[1:]))
        if method == "clamp":
            bounds = [self._operand(bound, step) for bound in step.args[1:]]
            return self._node("Clip", [source, *bounds], step)
        assert method == "round", method
        return self._node("Round", [source], step)  # halves to even, as torch rounds

    def _operand(self, argument: object, step: fx.Node) -> str:
        if isinstance(argument, fx.Node):
            return self._names[argument]
        assert isinstance(argument, float)
        name = f"{step.name}.constant{len(self.initializers)}"
        return self._constant(name, torch.tensor(argument, dtype=self._network.dtype))

    def _constant(self, name: str, tensor: Tensor) -> str:
        from onnx import numpy_helper

        array = tensor.detach().cpu().contiguous().numpy()
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def _node(self, operation: str, inputs: list[str], step: fx.Node, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operation, inputs, [step.name], step.name, **attributes))
        return step.name


@dataclass(frozen=True)
class BuildSpec:
    """What is built, beside the graph."""

    flavour: Flavour
    shapes: ShapeRange
    dtype: torch.dtype  # in which the network computes
    outer_dtype: torch.dtype  # of the frames in and out
    targets: tuple[str, ...] = ()  # compute capabilities; TensorRT-RTX only
    workspace: int | None = None  # bytes a kernel may use while it is tried; None: all there is


@dataclass(frozen=True)
class BuiltPlan:
    """A serialised engine, and what is worth knowing about it."""

    plan: bytes
    facts: Mapping[str, Any]  # seconds, layers by kind, tensors, activation_bytes


def build_plan(
    onnx_file: bytes,
    spec: BuildSpec,
    progress: Progress,
    *,
    timing: TimingCache | None = None,
    stop: threading.Event | None = None,
) -> BuiltPlan:
    """Build an engine. Ctrl-C, or `stop` set by another thread, ends it within a step.

    TensorRT works in a thread of its own, so that this one hears Ctrl-C. Raises EngineError with
    TensorRT's own first complaint where it cannot be built, and where it was stopped.
    """
    stop = stop or threading.Event()
    with ThreadPoolExecutor(1, "engine-build") as pool:
        flavour = load_flavour(spec.flavour)
        try:  # from the submission on: Ctrl-C may come when the thread runs and nobody waits for it yet
            return pool.submit(_build, flavour, onnx_file, spec, progress, timing, stop).result()
        except KeyboardInterrupt:
            stop.set()
            raise


def _build(
    trt: Any,
    onnx_file: bytes,
    spec: BuildSpec,
    progress: Progress,
    timing: TimingCache | None,
    stop: threading.Event,
) -> BuiltPlan:
    began = time.perf_counter()
    log = make_log(trt)
    builder = trt.Builder(log)
    # Always so in TensorRT 11; said all the same, since 10.13 and later 10.x take it too.
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx_file):
        raise EngineError(f"TensorRT does not take the network: {parser.get_error(0).desc()}")
    tensors = _checked_tensors(trt, network, spec)

    config = builder.create_builder_config()
    if spec.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, spec.workspace)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if spec.dtype == torch.float32:
        config.clear_flag(trt.BuilderFlag.TF32)  # fp32 is asked for to be exact
    if spec.targets:
        config.num_compute_capabilities = len(spec.targets)
        for index, target in enumerate(spec.targets):
            name = f"SM{target.replace('.', '')}"
            config.set_compute_capability(getattr(trt.ComputeCapability, name), index)
    cache = None
    if timing is not None and spec.flavour == "tensorrt":  # TensorRT-RTX times nothing when it builds
        cache = config.create_timing_cache(timing.load())
        config.set_timing_cache(cache, ignore_mismatch=False)

    profile = builder.create_optimization_profile()
    shapes = spec.shapes
    profile.set_shape(INPUT, *((*shape, 3) for shape in (shapes.least, shapes.best, shapes.greatest)))
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"TensorRT does not take the sizes {shapes}: {log.complaint()}")
    monitor = make_monitor(trt, progress, stop)
    config.progress_monitor = monitor

    progress(Started(BUILD_TASK, 100, "%"))
    plan = builder.build_serialized_network(network, config)
    progress(Finished(BUILD_TASK))
    if stop.is_set():
        raise EngineError("the build of the engine was stopped")
    if plan is None:
        raise EngineError(f"TensorRT built no engine: {log.complaint()}")
    if cache is not None and timing is not None:
        timing.save(bytes(config.get_timing_cache().serialize()))
    layers = Counter(network.get_layer(i).type.name for i in range(network.num_layers))
    return BuiltPlan(
        bytes(plan),
        {
            "seconds": round(time.perf_counter() - began, 2),
            "layers": dict(layers.most_common()),
            "tensors": tensors,
            "activation_bytes": log.activation_bytes,
        },
    )


def _checked_tensors(trt: Any, network: Any, spec: BuildSpec) -> list[dict[str, Any]]:
    """The network's input and output, after making sure that they are what was exported.

    Where a parser quietly changed a type, the engine would run in another precision than it says.
    """
    types = {
        torch.uint8: trt.DataType.UINT8,
        torch.float16: trt.DataType.HALF,
        torch.float32: trt.DataType.FLOAT,
    }
    tensors = [network.get_input(0), network.get_output(0)]
    if [tensor.name for tensor in tensors] != [INPUT, OUTPUT] or any(
        tensor.dtype != types[spec.outer_dtype] for tensor in tensors
    ):
        raise EngineError("TensorRT read another network than was written; please report it")
    return [
        {"name": tensor.name, "dtype": tensor.dtype.name, "shape": list(tensor.shape)}
        for tensor in tensors
    ]


def load_flavour(flavour: Flavour) -> Any:
    """The module of a flavour. Raises EngineError where it is missing, too old, or does not load."""
    try:
        if flavour == "tensorrt":
            import tensorrt as trt
        else:
            import tensorrt_rtx as trt
    except (ImportError, OSError) as error:  # OSError: the libraries of a half-finished installation
        raise EngineError(f"{flavour} does not load: {error}".splitlines()[0]) from error
    version = str(trt.__version__)
    if tuple(int(part) for part in re.findall(r"\d+", version)) < LEAST_VERSION[flavour]:
        raise EngineError(
            f"{flavour} {version} is too old: pip install -U 'vidsr-cli[{EXTRAS[flavour]}]'"
        )
    return trt


def probe_machine() -> Machine:
    """What is installed and plugged in here. Asks CUDA through PyTorch, never through TensorRT:
    without a driver a TensorRT runtime may end the process.
    """
    installed: dict[Flavour, str] = {}
    for flavour in FLAVOURS:
        with suppress(EngineError):
            installed[flavour] = str(load_flavour(flavour).__version__)
    if not torch.cuda.is_available():
        return Machine(installed)
    card = torch.cuda.get_device_properties(torch.cuda.current_device())
    capability = f"{card.major}.{card.minor}"
    memory = round(card.total_memory / 1024**3)
    return Machine(
        installed,
        gpu=f"{card.name} ({capability}, {card.multi_processor_count} SMs, {memory} GiB)",
        capability=capability,
        driver=_driver_version(),
    )


def _driver_version() -> str | None:
    with suppress(OSError):
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
        if found := re.search(r"Module\s+(?:for \S+\s+)?(\d+(?:\.\d+)+)", text):
            return found[1]
    return None
