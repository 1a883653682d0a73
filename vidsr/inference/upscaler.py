"""FrameBatch in, larger FrameBatch out: colour, tiles, network, colour again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain

from vidsr.errors import OutOfMemory, VidsrError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.backend import Abreast, Backend, Call, Renewable
from vidsr.inference.lanes import (
    Arrival,
    Arrived,
    ArrivesLater,
    HostLanes,
    Lanes,
    Planes,
    joined,
    lanes_of,
)
from vidsr.inference.passage import Passage, network_dtype
from vidsr.inference.ring import ring
from vidsr.inference.skipping import Skipper
from vidsr.inference.tally import Tally
from vidsr.inference.tiling import Tile, least_tile, plan_tiles, upscale_tiled


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
        self._lock = threading.Lock()  # of the plan and the tally: batches may be worked on side by side
        self._backend = backend
        self._lanes = lanes_of(backend.device) if lanes is None else lanes
        self._passage = Passage(self._lanes.up, target, size)
        self._skipper = Skipper(backend, self._passage, self.tally) if skip else None

    def __call__(self, batch: FrameBatch) -> FrameBatch:
        """The same frames, larger, in the target's colour, at the same times, on the CPU."""
        return self._begin(batch).wait()

    def stream(self, batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """The same for many batches in turn; a device with lanes of its own works on several at once.

        So does a processor, on small frames, where the backend gains by it: in a thread for each.
        """
        taken = iter(batches)
        first = next(taken, None)
        if first is None:
            return
        calls, backend = self._calls_at_once(first), self._backend
        whole = chain([first], taken)
        if calls == 1 or not isinstance(backend, Abreast):
            yield from ring(whole, self._begin, self._lanes.slots)
            return
        with backend.abreast(), ThreadPoolExecutor(calls, "network") as pool:
            yield from ring(whole, lambda batch: self._begin_in(pool, batch), calls)

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
            arrival = self._lanes.down(self._prepare(batch)())
        return Enlarged(batch, self._passage.target, arrival)

    def _begin_in(self, pool: ThreadPoolExecutor, batch: FrameBatch) -> Enlarged:
        """Have another thread work on a batch, beside those before it."""
        work = self._prepare(batch)
        small = self._calls_at_once(batch) > 1
        arrival = ArrivesLater(pool.submit(work)) if small else Arrived(work())
        return Enlarged(batch, self._passage.target, arrival)

    def _calls_at_once(self, batch: FrameBatch) -> int:
        if not isinstance(self._backend, Abreast) or not isinstance(self._lanes, HostLanes):
            return 1
        height, width = (min(length, self.plan.tile or length) for length in batch.size)
        return self._backend.calls_at_once(min(len(batch), self.plan.batch) * height * width)

    def _prepare(self, batch: FrameBatch) -> Callable[[], Planes]:
        """What gives the enlarged planes, on the backend's device; nobody writes to them any more.

        Batches are prepared in their order, and what is returned is called in it, but need not have
        ended when the next is called.
        """
        plan = self.plan
        parts = list(batch.split(plan.batch))
        try:
            first = self._piece(parts[0], plan)
        except OutOfMemory as error:
            self._take_less(plan, batch.size, error)
            return self._prepare(batch)

        def enlarge() -> Planes:
            try:
                done = [first(), *(self._piece(part, plan)() for part in parts[1:])]
            except OutOfMemory as error:
                self._take_less(plan, batch.size, error)
                return self._prepare(batch)()
            return joined(done)

        return enlarge

    def _piece(self, batch: FrameBatch, plan: WorkPlan) -> Callable[[], Planes]:
        """The same for what goes through the network in one call, or tile by tile."""
        tiles = plan_tiles(*batch.size, plan.tile, self._backend.receptive_radius)
        if self._skipper is not None:
            return self._skipper.prepare(batch, tiles)
        return lambda: self._enlarge(batch, tiles)

    def _enlarge(self, batch: FrameBatch, tiles: list[Tile]) -> Planes:
        there, lr = self._passage.lr(batch)
        sr = upscale_tiled(lr, self._backend, tiles)
        with self._lock:
            self.tally.add(len(batch), network=len(batch))
        return self._passage.planes(there, sr)

    def _take_less(self, plan: WorkPlan, size: tuple[int, int], error: OutOfMemory) -> None:
        """Plan smaller pieces of frames of `size`, unless somebody did so after `plan` was too large."""
        with self._lock:
            if self.plan == plan:
                self.plan = self._smaller(size, error)
        if self._skipper is not None:
            self._skipper.begin_anew()

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
