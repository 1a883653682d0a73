"""FrameBatch in, larger FrameBatch out: colour, tiles, network, colour again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidsr.errors import OutOfMemory, VidsrError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.backend import Backend, Call, Renewable
from vidsr.inference.lanes import Arrival, Lanes, lanes_of
from vidsr.inference.passage import Passage, network_dtype
from vidsr.inference.ring import ring
from vidsr.inference.skipping import Skipper, Tally
from vidsr.inference.tiling import least_tile, plan_tiles, upscale_tiled


@dataclass(frozen=True)
class WorkPlan:
    """How much goes through the network at once."""

    batch: int  # frames
    tile: int | None  # side in LR pixels; None: whole frames

    def usual_call(self, size: tuple[int, int], source: ColorSpec, target: ColorSpec) -> Call:
        """What the network is given for most of a video of (height, width) frames."""
        height, width = (min(length, self.tile or length) for length in size)
        return Call(self.batch, height, width, network_dtype(source, target))


def plan_work(
    size: tuple[int, int], backend: Backend, free_bytes: int, batch: int | None, tile: int | None
) -> WorkPlan:
    """Choose frames a call and tiles so that the network's working memory fits.

    `size` is the frame's (height, width) in LR pixels; what the user gave (`batch`, `tile`) is kept.
    Half of the free memory is left to decoder, encoder and queues. On a CPU one frame a call is as fast
    as many, so more frames only cost memory.
    """
    budget = free_bytes // 2
    per_pixel = backend.bytes_per_pixel
    height, width = size
    if tile is None and per_pixel * height * width > budget:
        side = int((budget / per_pixel) ** 0.5)
        tile = max(side // 16 * 16, least_tile(backend.receptive_radius))
        if tile >= max(height, width):
            tile = None
    if batch is None:
        pixels = min(height, tile or height) * min(width, tile or width)
        most = 1 if backend.device.type == "cpu" else 16
        batch = max(1, min(most, budget // (per_pixel * pixels)))
    if backend.limits.batch is not None:
        batch = min(batch, backend.limits.batch)
    return WorkPlan(batch, tile)


@dataclass(frozen=True)
class Enlarged:
    """A batch that has gone through the network, its planes on their way to the host."""

    source: FrameBatch
    color: ColorSpec
    arrival: Arrival

    def wait(self) -> FrameBatch:
        """The enlarged frames at the source's times, on the CPU."""
        return replace(self.source, planes=self.arrival.wait(), color=self.color)


class Upscaler:
    """Enlarges batches with a backend; answers a lack of memory with smaller pieces, and remembers."""

    def __init__(
        self,
        backend: Backend,
        plan: WorkPlan,
        target: ColorSpec,
        size: tuple[int, int] | None = None,
        lanes: Lanes | None = None,
        *,
        skip: bool = False,
    ) -> None:
        """`target` is the colour of the planes that come out, `size` their (height, width).

        None is what the backend's scale gives. With `skip` nothing is computed that the frame before
        already shows; what comes out is the same to the bit.
        """
        self.plan = plan
        self.tally = Tally()
        self._backend = backend
        self._lanes = lanes_of(backend.device) if lanes is None else lanes
        self._passage = Passage(self._lanes.up, target, size)
        self._skipper = Skipper(backend, self._passage, self.tally) if skip else None

    def __call__(self, batch: FrameBatch) -> FrameBatch:
        """The same frames, larger, in the target's colour, at the same times, on the CPU."""
        return self._begin(batch).wait()

    def stream(self, batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """The same for many batches in turn; a device with lanes of its own works on several at once."""
        return ring(batches, self._begin, self._lanes.slots)

    def foresee(self, batch: FrameBatch) -> list[float]:
        """Which share of the network's work is left of each frame but the first, 0 to 1."""
        tiles = plan_tiles(*batch.size, self.plan.tile, self._backend.receptive_radius)
        if self._skipper is None:
            return [1.0] * (len(batch) - 1)
        return self._skipper.foresee(batch, tiles)

    def begin_segment(self) -> None:
        """The next frames are a new segment's: the one place where their computing may change."""
        if isinstance(self._backend, Renewable) and self._backend.renew() and self._skipper:
            self._skipper.forget()

    def _begin(self, batch: FrameBatch) -> Enlarged:
        """Queue the work on a batch; on the CPU it is done on return."""
        with self._lanes.computing():
            return Enlarged(batch, self._passage.target, self._lanes.down(self._planes(batch)))

    def _planes(self, batch: FrameBatch) -> tuple[Tensor, ...]:
        """The enlarged planes, on the backend's device; written to by nobody any more."""
        while True:
            try:
                parts = [self._upscale(part) for part in batch.split(self.plan.batch)]
            except OutOfMemory as error:
                self.plan = self._smaller(batch.size, error)
            else:
                break
        return parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts, strict=True)))

    def _upscale(self, batch: FrameBatch) -> tuple[Tensor, ...]:
        tiles = plan_tiles(*batch.size, self.plan.tile, self._backend.receptive_radius)
        if self._skipper is not None:
            return self._skipper(batch, tiles)
        there, lr = self._passage.lr(batch)
        sr = upscale_tiled(lr, self._backend, tiles)
        self.tally.add(len(batch), network=len(batch))
        return self._passage.planes(there, sr)

    def _smaller(self, size: tuple[int, int], error: OutOfMemory) -> WorkPlan:
        if self.plan.batch > 1:
            return replace(self.plan, batch=self.plan.batch // 2)
        least = least_tile(self._backend.receptive_radius)
        now = min(self.plan.tile or max(size), max(size))
        if now <= least:
            raise VidsrError(
                f"out of memory: not even one tile of {now} pixels fits; close other programs, "
                "or take a smaller model (--model) or another --backend"
            ) from error
        return replace(self.plan, tile=max(least, now // 2))
