"""Engines for frames of a kind, opened on the card: from the store, or built for them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch

from vidsr.errors import EngineError
from vidsr.inference.engine_key import Machine, ShapeRange
from vidsr.inference.engine_runner import EngineRunner
from vidsr.inference.engine_sizes import cheapest, size_to_build
from vidsr.inference.engine_source import EngineSource
from vidsr.inference.engines import EngineStore
from vidsr.inference.memory import free_bytes
from vidsr.inference.rewrites import Depth
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


class EngineSupply:
    """Finds, makes and opens the engines of one model in one precision on one card."""

    def __init__(
        self,
        weights: Weights,
        precision: str,
        device: torch.device,
        machine: Machine,
        store: EngineStore,
        progress: Progress,
        bytes_per_pixel: int,
    ) -> None:
        """`bytes_per_pixel` is what a call may take, per LR pixel: a frame that would not fit goes
        through an engine for less.
        """
        self.stop = threading.Event()  # ends whatever is being built
        self._weights = weights
        self._precision = precision
        self._device = device
        self._machine = machine
        self._store = store
        self._progress = progress
        self._bytes_per_pixel = bytes_per_pixel
        self._generator = load_generator(weights, device)
        self._radius = self._generator.config.receptive_radius
        self._sources: dict[Depth, EngineSource] = {}

    def find(self, kind: FrameKind) -> EngineRunner | None:
        """The store's engine for such frames, if it has a sound one."""
        source = self._source(kind.depth)
        shapes = cheapest(source.stored_shapes(), kind.height, kind.width, self._radius)
        return None if shapes is None or not source.has(shapes) else self._opened(source, shapes)

    def make(self, kind: FrameKind) -> EngineRunner:
        """A new engine for such frames, built, checked and kept."""
        most_pixels = free_bytes(self._device) // 2 // self._bytes_per_pixel
        shapes = size_to_build(kind.height, kind.width, self._radius, most_pixels)
        return self._opened(self._source(kind.depth), shapes)

    def _opened(self, source: EngineSource, shapes: ShapeRange) -> EngineRunner:
        """Load an engine; one that TensorRT refuses is built once more before that is an error."""
        plan = source.get(shapes, stop=self.stop)
        try:
            return EngineRunner(source.flavour, plan, self._device)
        except EngineError as error:
            self._progress(Notice(f"built anew: {error}", "warning"))
            plan = source.get(shapes, rebuild=True, stop=self.stop)
            return EngineRunner(source.flavour, plan, self._device)

    def _source(self, depth: Depth) -> EngineSource:
        if depth not in self._sources:
            self._sources[depth] = EngineSource(
                self._weights,
                self._generator,
                self._precision,
                depth,
                self._machine,
                self._store,
                self._progress,
            )
        return self._sources[depth]
