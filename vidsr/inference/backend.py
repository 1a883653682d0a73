"""What runs a generator: the one seam between the pipeline and the engines, and the ladder over them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, get_args, runtime_checkable

import numpy as np

from vidsr.arrays import Array, Device, DType, to_device
from vidsr.config import BackendName, UpscaleConfig
from vidsr.errors import BackendUnavailable
from vidsr.inference.card_driver import card_answers, has_driver
from vidsr.progress import Notice, Progress

if TYPE_CHECKING:
    from vidsr.inference.tuning import Trial
    from vidsr.models.weights import Weights

WARM_UP = (1, 32, 32, 3)
"""Shape of the first call."""

LADDER: tuple[BackendName, ...] = ("tensorrt", "cuda", "openvino", "cpu")
"""The order in which `--backend auto` tries, fastest first."""


@dataclass(frozen=True)
class SizeLimits:
    """What shapes a backend takes, in LR pixels and frames."""

    least: int = 1  # smallest height and width
    greatest: int | None = None  # largest height and width
    multiple: int = 1  # height and width are multiples of this
    batch: int | None = None  # most frames in a call
    # Whether a size is made ready at length, as an engine is: then none should come beside the frames'.
    prepared: bool = False


class Backend(Protocol):
    """A generator ready to run. RGB in, RGB out, on its own device; a context manager."""

    @property
    def name(self) -> str:
        """As the user asks for it and the report says it."""

    @property
    def precision(self) -> str:
        """What it computes in: fp32, fp16, bf16, int8."""

    @property
    def runtime(self) -> str:
        """What computes: library, version, and all else that changes the result's last bits."""

    @property
    def scale(self) -> int:
        """Output size over input size."""

    @property
    def device(self) -> Device:
        """Where its input and output are, and whether they are arrays of NumPy's or tensors."""

    @property
    def limits(self) -> SizeLimits:
        """The shapes it takes."""

    @property
    def receptive_radius(self) -> int:
        """How far an output pixel looks, in LR pixels: the overlap that makes tiles exact."""

    @property
    def bytes_per_pixel(self) -> int:
        """Working memory of a call per LR pixel of its batch, bytes; an upper estimate."""

    def __call__(self, lr: Array) -> Array:
        """Enlarge (N, h, w, 3) to (N, scale*h, scale*w, 3), clamped.

        uint8 for 8-bit video; floating in [0, 1] for deeper video; the same dtype comes out, in memory
        of its own that the caller may overwrite, with strides in whatever order suits the backend.
        Raises OutOfMemory where the batch does not fit.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True)
class Call:
    """What a backend is given again and again: frames of one shape."""

    frames: int
    height: int  # LR pixels
    width: int
    dtype: DType  # uint8, or float32 in [0, 1]

    def __str__(self) -> str:
        kind = "bytes" if self.dtype == "uint8" else "floats"
        return f"{self.frames}x{self.height}x{self.width} {kind}"


@runtime_checkable
class Tunable(Protocol):
    """A backend that has several ways to compute its network, equal but for the last bits."""

    def tune(self, call: Call) -> str:
        """Name of the fastest way for such calls here: found out once, then remembered."""

    def use(self, way: str, call: Call) -> None:
        """Compute in this way from now on, and be ready for such calls; others are taken too.

        Raises BackendUnavailable where it cannot be had on this machine.
        """


@runtime_checkable
class Measurable(Tunable, Protocol):
    """A backend whose ways can be timed beside each other."""

    def try_ways(self, call: Call) -> Trial:
        """Time of every way for such calls, measured now."""


@runtime_checkable
class Abreast(Protocol):
    """A backend that computes small frames faster several at once than one after the other."""

    def calls_at_once(self, pixels: int) -> int:
        """How many calls of so many LR pixels each are worth making at once."""

    def abreast(self) -> AbstractContextManager[None]:
        """Within it calls come from as many threads; what they give is the same to the bit."""


@runtime_checkable
class Expectant(Protocol):
    """A backend for which a call of another size takes as long to begin as one of the right size."""

    def expect(self, call: Call) -> None:
        """Be ready for such calls, which are the first to come. Raises what calling it raises."""


@runtime_checkable
class Renewable(Protocol):
    """A backend that may find something faster while it is at work."""

    def renew(self) -> bool:
        """Take it from now on, if it is there; whether anything changed.

        Called where a segment begins: within one, all frames are computed alike.
        """


def choose_device(config: UpscaleConfig) -> str:
    """The kind of device that the ladder will most likely end on, without opening anything.

    It decides which weights `--model auto` takes, before those weights are opened.
    """
    if config.backend == "auto":
        return "cuda" if card_answers() else "cpu"
    return "cuda" if config.backend in ("cuda", "tensorrt") else "cpu"


def open_backend(
    weights: Weights, config: UpscaleConfig, progress: Progress, first: Call | None = None
) -> Backend:
    """Open the backend the user asked for, or the first of the ladder that runs.

    Only BackendUnavailable steps down, and each step is reported with its reason. A backend asked for
    by name never falls back. Each one has answered a first small call when it is returned, or is ready
    for the `first` that will come, where that is known.
    """
    if config.backend != "auto":
        return _open(config.backend, weights, config, progress, first)
    refusals: dict[str, list[str]] = {}  # names by reason: several may have the same
    for name in LADDER:
        try:
            backend = _open(name, weights, config, progress, first)
        except BackendUnavailable as error:
            refusals.setdefault(str(error), []).append(name)
        else:
            reasons = [f"{' and '.join(names)} not used: {reason}" for reason, names in refusals.items()]
            said = f" ({'; '.join(reasons)})" if reasons else ""
            progress(Notice(f"computing with {backend.name}, {backend.precision}{said}"))
            return backend
    tried = "; ".join(f"{' and '.join(names)}: {reason}" for reason, names in refusals.items())
    raise BackendUnavailable(f"nothing here can run the network ({tried})")


def _open(
    name: BackendName,
    weights: Weights,
    config: UpscaleConfig,
    progress: Progress,
    first: Call | None,
) -> Backend:
    assert name in get_args(BackendName) and name != "auto"
    backend: Backend
    if name == "openvino":
        try:
            from vidsr.inference.openvino_backend import OpenvinoBackend
        except ImportError as error:
            raise BackendUnavailable(f"OpenVINO is not installed ({error})") from error
        backend = OpenvinoBackend(weights, config.precision)
    elif name in ("cuda", "tensorrt") and not has_driver():
        # Said without PyTorch, whose loading takes longer than a short job.
        raise BackendUnavailable("no NVIDIA driver is installed here")
    elif name == "tensorrt":
        from vidsr.inference.tensorrt_backend import open_tensorrt

        # It makes its first call itself: a frame of this size would ask for an engine of this size.
        return open_tensorrt(weights, config, progress)
    else:
        import torch

        from vidsr.inference.torch_backend import TorchBackend

        backend = TorchBackend(weights, torch.device(name), config.precision, compiled=config.compile)
    if first is not None and isinstance(backend, Expectant):
        backend.expect(first)
    else:
        backend(to_device(np.zeros(WARM_UP, np.uint8), backend.device))
    return backend
