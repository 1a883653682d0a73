"""Engines and what stands in for them, told apart by their pixels: an engine paints black."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import torch
from torch import Tensor

from tests.inference.nearest import NearestBackend
from vidsr.arrays import Array
from vidsr.config import EngineBuild
from vidsr.errors import BackendUnavailable
from vidsr.inference.backend import Call
from vidsr.inference.engine_key import ShapeRange
from vidsr.inference.engine_shelf import EngineShelf
from vidsr.inference.engine_supply import FrameKind
from vidsr.inference.tensorrt_backend import OpenEngine, TensorrtBackend
from vidsr.progress import Progress


class BlackEngine:
    """Black, twice the size; refuses what its profile would, and runs out of memory if told to."""

    dtype = torch.uint8

    def __init__(self, shapes: ShapeRange, digest: str = "0123456789abcdef") -> None:
        self.shapes = shapes
        self.digest = digest
        self.closed = False
        self.most_frames: int | None = None

    def __call__(self, lr: Tensor) -> Tensor:
        assert self.shapes.takes(lr.shape[1], lr.shape[2]), lr.shape
        if self.most_frames is not None and lr.shape[0] > self.most_frames:
            raise torch.OutOfMemoryError("pretended")
        return torch.zeros_like(lr.repeat_interleave(2, 1).repeat_interleave(2, 2))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closed = True


class TwoWays(NearestBackend):
    """A stand-in with several ways; one of them cannot be had. `watch` hears of each call."""

    def __init__(self, watch: Callable[[], None] = lambda: None) -> None:
        super().__init__(2)
        self.way = ""
        self._watch = watch

    def __call__(self, lr: Array) -> Array:
        self._watch()
        return super().__call__(lr)

    def tune(self, call: Call) -> str:
        return "plain"

    def use(self, way: str, call: Call) -> None:
        if way == "lost":
            raise BackendUnavailable("lost")
        self.way = way


class Workshop:
    """Where engines come from: a store that has one or none, and builds that end when let."""

    def __init__(self, stored: BlackEngine | None = None) -> None:
        self.stored = stored
        self.builds = 0
        self.go_on = threading.Event()

    def find(self, kind: FrameKind) -> OpenEngine | None:
        return self.stored

    def make(self, kind: FrameKind) -> OpenEngine:
        self.builds += 1
        assert self.go_on.wait(10)
        self.stored = BlackEngine(ShapeRange.fixed(kind.height, kind.width, 2))
        return self.stored

    def finish(self) -> None:
        """Let builds end, and see that they have."""
        self.go_on.set()
        for thread in threading.enumerate():
            if thread.name == "engine-shelf":
                thread.join(10)

    def backend(
        self, when: EngineBuild, progress: Progress, stand_in: TwoWays | None = None
    ) -> TensorrtBackend:
        shelf = EngineShelf[FrameKind, OpenEngine](self.find, self.make, when, progress)
        return TensorrtBackend(stand_in or TwoWays(), shelf, "tensorrt 11.4", self.go_on.set)
