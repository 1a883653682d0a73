"""The generator as TensorRT engines, with PyTorch in their place while there is none.

An engine has fixed sizes, so frames of any size are cut or padded to the engine's here, and a batch is
cut to its batch. A size without an engine starts at once on PyTorch; a thread builds and checks the
engine meanwhile, and the next segment runs on it.

Engine and PyTorch may differ by a level of 255, so what a job computes with is one of three ways, which
its first run chooses and its manifest keeps:

    engine 0123456789abcdef            this very engine, from the first frame on
    pytorch rewritten                  PyTorch in this variant, to the last frame
    pytorch rewritten, then engines    PyTorch, and from some segment on whatever engine was built

One context and its graph do a call at a time: a second one could only fill what the last blocks of each
kernel leave idle. At 128 outputs a block, four frames of 480x270 (`BATCH_PIXELS`) are 31 rounds of
blocks on the 132 processors of an H100, half a round of which is idle: 2 %, for twice the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

import torch
from torch import Tensor

from vidsr.arrays import dtype_of
from vidsr.config import UpscaleConfig
from vidsr.errors import BackendUnavailable, EngineError, OutOfMemory
from vidsr.inference.backend import Backend, Call, SizeLimits, Tunable
from vidsr.inference.engine_builder import probe_machine
from vidsr.inference.engine_key import ShapeRange
from vidsr.inference.engine_shelf import EngineShelf
from vidsr.inference.engine_supply import EngineSupply, FrameKind
from vidsr.inference.engines import EngineStore
from vidsr.inference.rewrites import Depth
from vidsr.inference.tiling import plan_tiles
from vidsr.inference.torch_backend import TorchBackend
from vidsr.models.weights import Weights
from vidsr.progress import Progress

ENGINE, PYTORCH, THEN_ENGINES = "engine ", "pytorch ", ", then engines"
"""What the ways are made of."""


class OpenEngine(Protocol):
    """An engine ready to run: EngineRunner, or what stands for it in a test."""

    shapes: ShapeRange
    dtype: torch.dtype  # of the frames in and out
    digest: str  # of the engine's bytes

    def __call__(self, lr: Tensor) -> Tensor:
        """Enlarge (N, h, w, 3) of a shape within `shapes`. Raises torch.OutOfMemoryError."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class StandIn(Backend, Tunable, Protocol):
    """What computes where there is no engine."""


class TensorrtBackend:
    """Runs engines; a size that has none runs in PyTorch until its own is built, if it is to be."""

    name = "tensorrt"
    limits = SizeLimits(prepared=True)

    def __init__(
        self,
        stand_in: StandIn,
        shelf: EngineShelf[FrameKind, OpenEngine],
        runtime: str,
        stop_builds: Callable[[], None] = lambda: None,
    ) -> None:
        """`shelf` gives engines for the stand-in's network; `runtime` says what runs them."""
        self._stand_in = stand_in
        self._shelf = shelf
        self._stop_builds = stop_builds
        self._closed = False
        self.device = stand_in.device
        self.precision = stand_in.precision
        self.runtime = f"{runtime}, {stand_in.runtime}"
        self.scale = stand_in.scale
        self.receptive_radius = stand_in.receptive_radius
        self.bytes_per_pixel = stand_in.bytes_per_pixel  # an engine takes less

    def __call__(self, lr: Tensor) -> Tensor:
        """Enlarge (N, h, w, 3) RGB, uint8 or floating in [0, 1], by the scale; clamped, same dtype."""
        if self._closed:
            raise ValueError("the backend is closed")
        engine = self._shelf(_kind(lr.shape[1], lr.shape[2], dtype_of(lr)))
        if engine is None:
            whole: Tensor = self._stand_in(lr)
            return whole
        try:
            frames = lr.to(engine.dtype)
            sr = run_in_shapes(engine, engine.shapes, frames, self.scale, self.receptive_radius)
            return sr.to(lr.dtype)
        except torch.OutOfMemoryError as error:
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            raise OutOfMemory(f"{self.name}: {lr.shape[0]} frames at once do not fit") from error

    def tune(self, call: Call) -> str:
        """The way for such calls: the engine that is there, or is built now with `--engine-build wait`;
        else PyTorch, until one is built beside it or for good.
        """
        kind = _kind(call.height, call.width, call.dtype)
        engine = self._shelf(kind) if self._shelf.when == "wait" else self._shelf.look(kind)
        if engine is not None:
            return ENGINE + engine.digest
        then = THEN_ENGINES if self._shelf.when == "background" else ""
        return PYTORCH + self._stand_in.tune(call) + then

    def use(self, way: str, call: Call) -> None:
        """Compute in this way from now on. Raises BackendUnavailable where it cannot be had."""
        kind = _kind(call.height, call.width, call.dtype)
        if way.startswith(ENGINE):
            engine = self._shelf.look(kind)
            if engine is None or engine.digest != way.removeprefix(ENGINE):
                raise BackendUnavailable(
                    "the TensorRT engine that this job was begun with is not in the store any more; "
                    "begin anew with --restart"
                )
            return
        self._stand_in.use(way.removeprefix(PYTORCH).removesuffix(THEN_ENGINES), call)
        if way.endswith(THEN_ENGINES):
            self._shelf(kind)  # begins to build
        else:
            self._shelf.do_without(kind)

    def renew(self) -> bool:
        """Go over to an engine that was built meanwhile; whether there is one."""
        return self._shelf.take_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._stop_builds()
        for engine in self._shelf.close():
            engine.__exit__(kind, error, trace)
        self._stand_in.__exit__(kind, error, trace)


def open_tensorrt(
    weights: Weights, config: UpscaleConfig, progress: Progress, store: EngineStore | None = None
) -> TensorrtBackend:
    """The backend on this machine's card.

    Raises BackendUnavailable where there is no card, no TensorRT for it, or another precision is asked
    for.
    """
    precision = "fp16" if config.precision == "auto" else config.precision
    if precision not in ("fp16", "fp32"):
        raise BackendUnavailable(f"engines compute in fp16 or fp32, not in {precision}")
    device = torch.device("cuda")
    # First, and without TensorRT: it asks for the card, and TensorRT must not.
    stand_in = TorchBackend(weights, device, precision, compiled=config.compile)
    machine = probe_machine()
    try:
        flavour = machine.flavour()
    except EngineError as error:
        raise BackendUnavailable(str(error)) from error
    supply = EngineSupply(
        weights,
        precision,
        device,
        machine,
        store or EngineStore.default(),
        progress,
        stand_in.bytes_per_pixel,
    )
    shelf = EngineShelf[FrameKind, OpenEngine](supply.find, supply.make, config.engine_build, progress)
    stand_in(torch.zeros(1, 32, 32, 3, dtype=torch.uint8, device=device))
    runtime = f"{flavour} {machine.installed[flavour]} on {machine.gpu}"
    return TensorrtBackend(stand_in, shelf, runtime, supply.stop.set)


def _kind(height: int, width: int, dtype: str) -> FrameKind:
    depth: Depth = "bytes" if dtype == "uint8" else "floats"
    return FrameKind(height, width, depth)


def run_in_shapes(
    run: Callable[[Tensor], Tensor], shapes: ShapeRange, lr: Tensor, scale: int, overlap: int
) -> Tensor:
    """Enlarge (N, h, w, 3) of any N, h, w by something that takes only some.

    What is too large is cut in overlapping tiles and groups of frames; what is too small is padded by
    repeating its border, and the result is cropped. Tiles are exact; padding shows, faintly, within
    `overlap` pixels of the padded border, where the network would have seen zeros.
    """
    count, height, width, _ = lr.shape
    most_frames, most_high, most_wide = shapes.greatest
    sr = torch.empty(count, height * scale, width * scale, 3, dtype=lr.dtype, device=lr.device)
    for tile in plan_tiles(height, width, (most_high, most_wide), overlap):
        part = _padded(tile.cut(lr), shapes.least[1], shapes.least[2])
        for first in range(0, count, most_frames):
            frames = slice(first, first + most_frames)
            tile.place(run(part[frames].contiguous()), sr[frames], scale)
    return sr


def _padded(lr: Tensor, least_high: int, least_wide: int) -> Tensor:
    height, width = lr.shape[1:3]
    if height >= least_high and width >= least_wide:
        return lr
    rows = torch.arange(max(height, least_high), device=lr.device).clamp_(max=height - 1)
    columns = torch.arange(max(width, least_wide), device=lr.device).clamp_(max=width - 1)
    return lr[:, rows][:, :, columns]
