"""The generator as TensorRT engines, with PyTorch in their place while there is none.

An engine has fixed sizes, so frames of any size are cut or padded to the engine's here, and a batch is
cut to its batch. A size without an engine starts at once on PyTorch; a thread builds and checks the
engine meanwhile, and the first batch after that runs on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from vidsr.config import UpscaleConfig
from vidsr.errors import BackendUnavailable, EngineError, OutOfMemory
from vidsr.inference.backend import SizeLimits
from vidsr.inference.engine_builder import probe_machine
from vidsr.inference.engine_key import ShapeRange
from vidsr.inference.engine_runner import EngineRunner
from vidsr.inference.engine_shelf import EngineShelf
from vidsr.inference.engine_sizes import cheapest, size_to_build
from vidsr.inference.engine_source import EngineSource
from vidsr.inference.engines import EngineStore
from vidsr.inference.memory import free_bytes
from vidsr.inference.rewrites import Depth
from vidsr.inference.tiling import plan_tiles
from vidsr.inference.torch_backend import TorchBackend
from vidsr.models.weights import Weights, load_generator
from vidsr.progress import Notice, Progress


@dataclass(frozen=True)
class FrameKind:
    """What an engine must fit."""

    height: int  # LR pixels
    width: int
    depth: Depth

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


class TensorrtBackend:
    """Runs engines; a size that has none runs in PyTorch until its own is built, if it is to be."""

    name = "tensorrt"
    limits = SizeLimits(prepared=True)

    def __init__(
        self,
        weights: Weights,
        config: UpscaleConfig,
        progress: Progress,
        store: EngineStore | None = None,
    ) -> None:
        """Raises BackendUnavailable where there is no card, no TensorRT for it, or another precision
        is asked for.
        """
        precision = "fp16" if config.precision == "auto" else config.precision
        if precision not in ("fp16", "fp32"):
            raise BackendUnavailable(f"engines compute in fp16 or fp32, not in {precision}")
        self.device = torch.device("cuda")
        # First, and without TensorRT: it asks for the card, and TensorRT must not.
        self._stand_in = TorchBackend(weights, self.device, precision)
        machine = probe_machine()
        try:
            flavour = machine.flavour()
        except EngineError as error:
            raise BackendUnavailable(str(error)) from error
        self.precision: str = precision
        self.runtime = (
            f"{flavour} {machine.installed[flavour]} on {machine.gpu}, {self._stand_in.runtime}"
        )
        self.scale = weights.scale
        self.receptive_radius = self._stand_in.receptive_radius
        self.bytes_per_pixel = self._stand_in.bytes_per_pixel  # an engine takes less
        self._weights = weights
        self._generator = load_generator(weights, self.device)
        self._machine = machine
        self._store = store or EngineStore.default()
        self._progress = progress
        self._sources: dict[Depth, EngineSource] = {}
        self._stop = threading.Event()
        self._shelf = EngineShelf(self._find, self._make, config.engine_build, progress)
        self._stand_in(torch.zeros(1, 32, 32, 3, dtype=torch.uint8, device=self.device))

    def __call__(self, lr: Tensor) -> Tensor:
        """Enlarge (N, h, w, 3) RGB, uint8 or floating in [0, 1], by the scale; clamped, same dtype."""
        if self._stop.is_set():
            raise ValueError("the backend is closed")
        depth: Depth = "bytes" if lr.dtype == torch.uint8 else "floats"
        runner = self._shelf(FrameKind(lr.shape[1], lr.shape[2], depth))
        if runner is None:
            return self._stand_in(lr)
        try:
            frames = lr.to(runner.dtype)
            sr = run_in_shapes(runner, runner.shapes, frames, self.scale, self.receptive_radius)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory(f"{self.name}: {lr.shape[0]} frames at once do not fit") from error
        return sr.to(lr.dtype)

    def _find(self, kind: FrameKind) -> EngineRunner | None:
        """The store's engine for such frames, if it has a sound one."""
        source = self._source(kind.depth)
        shapes = cheapest(source.stored_shapes(), kind.height, kind.width, self.receptive_radius)
        return None if shapes is None or not source.has(shapes) else self._opened(source, shapes)

    def _make(self, kind: FrameKind) -> EngineRunner:
        """A new engine for such frames, built, checked and kept."""
        most_pixels = free_bytes(self.device) // 2 // self.bytes_per_pixel
        shapes = size_to_build(kind.height, kind.width, self.receptive_radius, most_pixels)
        return self._opened(self._source(kind.depth), shapes)

    def _opened(self, source: EngineSource, shapes: ShapeRange) -> EngineRunner:
        """Load an engine; one that TensorRT refuses is built once more before that is an error."""
        plan = source.get(shapes, stop=self._stop)
        try:
            return EngineRunner(source.flavour, plan, self.device)
        except EngineError as error:
            self._progress(Notice(f"built anew: {error}", "warning"))
            plan = source.get(shapes, rebuild=True, stop=self._stop)
            return EngineRunner(source.flavour, plan, self.device)

    def _source(self, depth: Depth) -> EngineSource:
        if depth not in self._sources:
            self._sources[depth] = EngineSource(
                self._weights,
                self._generator,
                self.precision,
                depth,
                self._machine,
                self._store,
                self._progress,
            )
        return self._sources[depth]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for runner in self._shelf.close():
            runner.__exit__(kind, error, trace)
        self._stand_in.__exit__(kind, error, trace)


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
