"""Export against ONNX Runtime, and real builds with TensorRT-RTX: neither needs a GPU."""

from __future__ import annotations

import math
import signal
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vidsr.errors import EngineError
from vidsr.inference.engine_builder import (
    INPUT,
    OUTPUT,
    BuildSpec,
    build_plan,
    export_onnx,
    load_flavour,
    probe_machine,
)
from vidsr.inference.engine_key import ShapeRange
from vidsr.inference.engine_monitor import BUILD_TASK, PhaseTree
from vidsr.inference.memory import working_bytes_per_pixel
from vidsr.inference.rewrites import Depth, FrameNetwork
from vidsr.inference.self_check import frames
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import find_weights, load_generator
from vidsr.progress import Advanced, Event, Finished, Started, silent

onnx = pytest.importorskip("onnx", reason="the onnx package is not installed")

SMALL = GeneratorConfig(blocks=2, channels=16)


def network(
    config: GeneratorConfig = SMALL, dtype: torch.dtype = torch.float32, depth: Depth = "bytes"
) -> FrameNetwork:
    torch.manual_seed(7)
    return FrameNetwork(Generator(config).eval(), dtype, depth)


def run_onnx(exported: bytes, lr: Tensor) -> Tensor:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    (sr,) = session.run([OUTPUT], {INPUT: lr.numpy()})
    return torch.from_numpy(np.asarray(sr))


def psnr(a: Tensor, b: Tensor) -> float:
    mean = float(((a.double() - b.double()) ** 2).mean())
    return math.inf if mean == 0 else 10 * math.log10(255**2 / mean)


# -- Export --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["black", "white", "noise", "picture"])
def test_half_precision_is_within_a_level_of_the_network_in_fp32(kind: str) -> None:
    """The shipped weights through the exported file, against the generator itself."""
    generator = load_generator(find_weights("srgan-lite", 4), torch.device("cpu"))
    exported = export_onnx(FrameNetwork(generator, torch.float16, "bytes"))
    lr = dict(frames(48, 64))[kind][None]
    with torch.inference_mode():
        plain = generator(lr.permute(0, 3, 1, 2).float() / 255)
    expected = plain.mul(255).clamp(0, 255).round().permute(0, 2, 3, 1)
    sr = run_onnx(exported, lr)
    assert sr.dtype == torch.uint8
    assert (sr.float() - expected).abs().max() <= 1
    assert psnr(sr, expected) >= 55


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, scale=2, channel_slopes=True),
        replace(SMALL, scale=2, output="tanh"),
        replace(SMALL, input_skip=True, activation="relu"),
        replace(SMALL, upsampler="single", tail_kernel=3, activation="leaky_relu", input_skip=True),
        replace(SMALL, body="plain", upsampler="single", scale=2),
    ],
    ids=["paper", "slopes", "tanh", "skip", "lite", "plain"],
)
@pytest.mark.parametrize("depth", ["bytes", "floats"])
def test_the_exported_file_computes_what_the_network_computes(
    config: GeneratorConfig, depth: Depth
) -> None:
    module = network(config, torch.float32, depth)
    lr = torch.randint(0, 256, (2, 9, 14, 3), dtype=torch.uint8)
    lr = lr if depth == "bytes" else lr.float() / 255
    sr, expected = run_onnx(export_onnx(module), lr), module(lr)
    assert sr.dtype == expected.dtype
    assert sr.shape == expected.shape == (2, 9 * config.scale, 14 * config.scale, 3)
    # Another order of sums; of bytes, one that lies between two levels may fall either way.
    assert (sr.float() - expected.float()).abs().max() <= (1 if depth == "bytes" else 1e-5)
    assert psnr(sr * (1 if depth == "bytes" else 255), expected * (1 if depth == "bytes" else 255)) > 75


def test_deep_frames_keep_ten_bits() -> None:
    module = network(dtype=torch.float16, depth="floats")
    lr = torch.rand(1, 12, 12, 3).half()
    sr = run_onnx(export_onnx(module), lr)
    assert sr.dtype == torch.float16
    assert sr.min() >= 0 and sr.max() <= 1
    exact = network(dtype=torch.float64, depth="floats")(lr.double())
    assert (sr.double() - exact).abs().max() < 1 / 1023


def test_the_same_network_gives_the_same_bytes() -> None:
    assert export_onnx(network()) == export_onnx(network())
    assert export_onnx(network()) != export_onnx(network(dtype=torch.float16))


def test_the_file_holds_no_more_than_the_network() -> None:
    """One cast at each end, no scaling, nothing at high resolution but the shuffle and the clamp."""
    graph = onnx.load_from_string(export_onnx(network(GeneratorConfig(), torch.float16))).graph
    operations = [node.op_type for node in graph.node]
    assert {name: operations.count(name) for name in sorted(set(operations))} == {
        "Add": 17,
        "Cast": 2,
        "Clip": 1,
        "Conv": 37,
        "DepthToSpace": 2,
        "PRelu": 19,
        "Round": 1,
        "Transpose": 2,
    }
    assert operations[:2] == ["Cast", "Transpose"]
    assert operations[-5:] == ["DepthToSpace", "Clip", "Round", "Transpose", "Cast"]


# -- Build ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rtx() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")


def spec(module: FrameNetwork, **changes: Any) -> BuildSpec:
    shapes = ShapeRange.fixed(36, 64, batch=2)
    base = BuildSpec("tensorrt_rtx", shapes, module.dtype, module.outer_dtype, ("8.6", "8.9"))
    return replace(base, **changes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("depth", ["bytes", "floats"])
def test_an_engine_is_built_without_a_card(rtx: Any, dtype: torch.dtype, depth: Depth) -> None:
    module = network(dtype=dtype, depth=depth)
    built = build_plan(export_onnx(module), spec(module), silent)
    outer = {torch.uint8: "UINT8", torch.float16: "HALF", torch.float32: "FLOAT"}[module.outer_dtype]
    assert built.facts["tensors"] == [
        {"name": INPUT, "dtype": outer, "shape": [-1, -1, -1, 3]},
        {"name": OUTPUT, "dtype": outer, "shape": [-1, -1, -1, 3]},
    ]
    assert built.facts["layers"]["CONVOLUTION"] == 9
    weights = sum(parameter.numel() for parameter in module.parameters())
    assert len(built.plan) > weights * dtype.itemsize


@pytest.mark.parametrize(
    "config",
    [
        GeneratorConfig(),
        GeneratorConfig(scale=2, blocks=4),
        GeneratorConfig(blocks=8, channels=48, upsampler="single", tail_kernel=3, input_skip=True),
    ],
    ids=["paper x4", "x2", "lite"],
)
def test_an_engine_needs_no_more_memory_than_is_planned_for(rtx: Any, config: GeneratorConfig) -> None:
    module = network(config, torch.float16)
    shapes = ShapeRange.fixed(180, 320)
    facts = build_plan(export_onnx(module), spec(module, shapes=shapes), silent).facts
    planned = working_bytes_per_pixel(config, torch.float16.itemsize) * 180 * 320
    assert planned / 4 < facts["activation_bytes"] < planned


@pytest.mark.parametrize(
    ("shapes", "targets"),
    [
        (ShapeRange.up_to(72, 128, batch=4), ("8.0", "8.6", "8.9", "12.0", "12.1")),
        (ShapeRange.fixed(36, 64), ("7.5",)),
        (ShapeRange.fixed(1, 1), ("12.0",)),
    ],
    ids=str,
)
def test_profiles_and_targets(rtx: Any, shapes: ShapeRange, targets: tuple[str, ...]) -> None:
    module = network(dtype=torch.float16)
    built = build_plan(
        export_onnx(module), spec(module, shapes=shapes, targets=targets, workspace=2**28), silent
    )
    assert len(built.plan) > 10_000


def test_progress_rises_from_start_to_finish(rtx: Any) -> None:
    module = network(dtype=torch.float16)
    events: list[Event] = []
    build_plan(export_onnx(module), spec(module), events.append)
    assert events[0] == Started(BUILD_TASK, 100, "%")
    assert events[-1] == Finished(BUILD_TASK)
    percents = [event.done for event in events if isinstance(event, Advanced)]
    assert len(percents) > 20
    assert percents == sorted(set(percents))
    assert percents[-1] <= 100


def test_a_build_can_be_stopped(rtx: Any) -> None:
    module = network(dtype=torch.float16)
    stop = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, Advanced) and event.done >= 5:
            stop.set()

    with pytest.raises(EngineError, match="stopped"):
        build_plan(export_onnx(module), spec(module), listen, stop=stop)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to a thread here")
def test_ctrl_c_ends_a_build(rtx: Any) -> None:
    module = network(dtype=torch.float16)
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    events: list[Event] = []
    stop = threading.Event()

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Advanced) and event.done >= 5 and not stop.is_set():
            signal.pthread_kill(main_thread, signal.SIGINT)
            assert stop.wait(10)  # the build is held here until the main thread has heard it

    with pytest.raises(KeyboardInterrupt):
        build_plan(export_onnx(module), spec(module), listen, stop=stop)
    assert max(event.done for event in events if isinstance(event, Advanced)) < 60
    deadline = time.monotonic() + 30
    while any(thread.name.startswith("engine-build") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_profile_that_contradicts_itself_is_refused(rtx: Any) -> None:
    module = network()
    shapes = ShapeRange.fixed(36, 64)
    object.__setattr__(shapes, "best", (1, 99, 64))  # past its own check
    with pytest.raises(EngineError, match="does not take the sizes"):
        build_plan(export_onnx(module), spec(module, shapes=shapes), silent)
    with pytest.raises(ValueError, match="rise"):
        ShapeRange((1, 36, 64), (1, 99, 64), (1, 36, 64))


def test_a_file_that_is_no_network_is_refused(rtx: Any) -> None:
    with pytest.raises(EngineError, match="does not take the network"):
        build_plan(b"no ONNX at all", spec(network()), silent)


def test_another_type_than_asked_for_is_refused(rtx: Any) -> None:
    floats = network(dtype=torch.float16, depth="floats")
    with pytest.raises(EngineError, match="another network than was written"):
        build_plan(export_onnx(floats), spec(floats, outer_dtype=torch.uint8), silent)


def test_a_flavour_that_is_not_there_is_named() -> None:
    try:
        load_flavour("tensorrt")
    except EngineError as error:
        assert str(error).startswith("tensorrt does not load: ")
        assert "\n" not in str(error)
    else:
        pytest.skip("TensorRT is installed here")


def test_a_flavour_that_is_too_old_is_refused(rtx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtx, "__version__", "1.6.0.9")
    with pytest.raises(EngineError, match=r"tensorrt_rtx 1\.6\.0\.9 is too old: .*\[rtx\]"):
        load_flavour("tensorrt_rtx")
    assert "tensorrt_rtx" not in probe_machine().installed


def test_probing_finds_the_installed_flavour(rtx: Any) -> None:
    machine = probe_machine()
    assert machine.installed["tensorrt_rtx"] == rtx.__version__
    assert (machine.gpu is None) == (not torch.cuda.is_available())


# -- Progress ------------------------------------------------------------------------------------------


def test_a_phase_inside_a_step_counts_as_part_of_it() -> None:
    tree = PhaseTree()
    tree.start("all", None, 4)
    assert tree.fraction() == 0
    tree.step("all", 0)
    tree.start("inner", "all", 10)
    tree.step("inner", 4)
    assert tree.fraction() == pytest.approx((1 + 0.5) / 4)
    tree.finish("inner")
    tree.step("all", 3)
    assert tree.fraction() == 1
    tree.finish("all")
    assert tree.fraction() == 0
