"""The generator in PyTorch, on an NVIDIA card or on the processor."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn

from vidsr.arrays import empty
from vidsr.config import UpscalePrecision
from vidsr.cores import threads, use_threads
from vidsr.errors import BackendUnavailable, EngineError, OutOfMemory
from vidsr.inference.backend import Call, SizeLimits
from vidsr.inference.engine_files import user_cache
from vidsr.inference.findings import measured_once
from vidsr.inference.memory import working_bytes_per_pixel
from vidsr.inference.processor import processor_name
from vidsr.inference.replay import Replay
from vidsr.inference.rewrites import Depth
from vidsr.inference.self_check import check_engine
from vidsr.inference.tuning import Run, Trial, fastest, try_out
from vidsr.inference.variants import Form, Variant, build_network, offered
from vidsr.models.generator import Generator
from vidsr.models.weights import Weights, load_generator

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

USUAL = Variant("rewritten")
"""Computed until another variant is asked for."""

CHECK_SIZE = 48, 64
"""(height, width) of the frames on which a variant is compared with the generator, LR pixels."""

CPU_TRIAL_SIZE = 96, 96
"""What variants are timed on where that takes long: on a processor their ratio is that of any size. (Two
cores, paper's network: 0.74 of the plain one's time at 96x96 and 0.74 at 320x180.)"""


class TorchBackend:
    """Runs a generator channels-last, in fp16 on CUDA, in fp32 on the CPU.

    How it is computed is one of several variants: `tune` finds the fastest, `use` takes one.
    """

    limits = SizeLimits()

    def __init__(
        self,
        weights: Weights,
        device: torch.device,
        precision: UpscalePrecision = "auto",
        *,
        compiled: bool = False,
    ) -> None:
        """`compiled` also tries torch.compile. Raises BackendUnavailable."""
        if device.type == "cuda":
            _require_cuda()
        use_threads(threads())  # PyTorch may have been loaded after they were chosen
        self.name = device.type
        self.device = device
        self.scale = weights.scale
        if precision == "auto":
            precision = "fp16" if device.type == "cuda" else "fp32"
        if precision == "int8":
            raise BackendUnavailable("8 bits are for --backend openvino: use --precision auto")
        if device.type == "cpu" and precision == "fp16":
            raise BackendUnavailable(
                "half precision is slower than single on a CPU: use --precision fp32"
            )
        self.precision: str = precision
        self.runtime = f"torch {torch.__version__}"
        if device.type == "cuda":
            self.runtime += f" on {torch.cuda.get_device_name(device)}"
        self._weights = weights
        self._dtype = DTYPES[precision]
        self._offered = offered(device, compiled=compiled)
        self._generator: Generator | None = load_generator(weights, device)
        self._networks: dict[tuple[Form, Depth], nn.Module] = {}
        self._variant = USUAL
        self._replay: Replay | None = None
        config = self._generator.config
        self.receptive_radius = config.receptive_radius
        self.bytes_per_pixel = working_bytes_per_pixel(config, self._dtype.itemsize)

    def __call__(self, lr: Tensor) -> Tensor:
        """Enlarge (N, h, w, 3) RGB, uint8 or floating in [0, 1], by the scale; clamped, same dtype."""
        if self._generator is None:
            raise ValueError("the backend is closed")
        recorded = self._replay is not None and self._replay.kind == (lr.shape, lr.dtype)
        try:
            with torch.inference_mode():
                run = self._replay if recorded else self._network(self._variant.form, lr.dtype)
                assert run is not None
                sr: Tensor = run(lr).to(lr.dtype)
                return sr.contiguous()
        except torch.OutOfMemoryError as error:
            self._replay = None  # it holds the memory of a whole call
            torch.cuda.empty_cache()
            raise OutOfMemory(f"{self.name}: {lr.shape[0]} frames at once do not fit") from error
        except RuntimeError as error:
            # The processor's allocator has no type of its own.
            if "can't allocate memory" not in str(error):
                raise
            raise OutOfMemory(f"{self.name}: {lr.shape[0]} frames at once do not fit") from error

    def tune(self, call: Call) -> str:
        """Name of the fastest variant for such calls, tried out once and kept in the user's cache."""
        if self.device.type == "cpu":
            what: str = call.dtype
            where = f"{processor_name()}, {threads()} threads"
        else:
            where, what = torch.cuda.get_device_name(self.device), str(call)
        # The candidates are part of it, so that new ones are tried.
        subject = (
            f"{self._weights.name} {self._weights.sha256[:16]}, {self.precision}, {what}, on {where}, "
            f"torch {torch.__version__}, of {'; '.join(map(str, self._offered))}"
        )
        times = measured_once(
            user_cache() / "variants.json",
            subject,
            lambda: {str(variant): ms for variant, ms in self.try_ways(call).times_ms.items()},
        )
        return str(fastest(times) or USUAL)

    def try_ways(self, call: Call) -> Trial:
        """Check and time every variant on a card for these very calls, on a processor on a small one."""
        height, width = CPU_TRIAL_SIZE if self.device.type == "cpu" else (call.height, call.width)
        count = 1 if self.device.type == "cpu" else call.frames
        with torch.inference_mode():
            lr = empty((count, height, width, 3), call.dtype, self.device)
            if lr.dtype == torch.uint8:
                lr.random_(0, 256)
            else:
                lr.uniform_()
            try:
                return try_out(self._offered, lambda variant: self._checked(variant, lr), lr)
            finally:
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()  # what the recordings of the others held

    def use(self, way: str, call: Call) -> None:
        """Compute in the variant of this name from now on. Raises BackendUnavailable."""
        try:
            variant = Variant.parse(way)
            if variant.needs_card and self.device.type != "cuda":
                raise ValueError(f"{way!r} needs an NVIDIA card")
            self._replay = None
            shape = call.frames, call.height, call.width, 3
            lr = empty(shape, call.dtype, self.device).zero_()
            network = self._network(variant.form, lr.dtype)
            if variant.graph:
                self._replay = Replay(network, lr)
            elif self.device.type == "cuda" or variant.form == "compiled":
                with torch.inference_mode():
                    network(lr)  # what can fail does so here
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # computed without a recording: the same kernels, one by one
        except (ImportError, ValueError, RuntimeError) as error:
            raise BackendUnavailable(
                f"the network cannot be computed as it was before on this machine ({error}); "
                "begin anew with --restart"
            ) from error
        self._variant = variant

    def _checked(self, variant: Variant, lr: Tensor) -> Run:
        """A variant ready for inputs like `lr`. Raises EngineError if it computes something else."""
        assert self._generator is not None
        network: Run = self._network(variant.form, lr.dtype)
        if variant.form != "plain":
            check_engine(network, self._generator, CHECK_SIZE, lr.dtype, self._held_to())
        if not variant.graph:
            return network
        replay = Replay(network, torch.zeros_like(lr))
        if not torch.equal(replay(lr), network(lr)):
            raise EngineError(f"{variant}: plays back something else")
        return replay

    def _held_to(self) -> str:
        """The precision whose tolerance holds: cuDNN computes fp32 in TF32, with fp16's mantissa."""
        rounded = self.device.type == "cuda" and torch.backends.cudnn.allow_tf32
        return "fp16" if self.precision == "fp32" and rounded else self.precision

    def _network(self, form: Form, dtype: torch.dtype) -> nn.Module:
        """The network in a form, for inputs of a type; made when it is first asked for."""
        assert self._generator is not None
        depth: Depth = "bytes" if dtype == torch.uint8 else "floats"
        if (form, depth) not in self._networks:
            self._networks[form, depth] = build_network(self._generator, form, self._dtype, depth)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)  # other streams will use what this one made
        return self._networks[form, depth]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._generator = None
        self._replay = None
        self._networks.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _require_cuda() -> None:
    if torch.version.cuda is None:
        raise BackendUnavailable("this PyTorch is a build without CUDA")
    if not torch.cuda.is_available():
        raise BackendUnavailable("PyTorch finds no NVIDIA GPU or driver")
