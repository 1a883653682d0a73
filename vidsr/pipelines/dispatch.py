"""Which worker does which segment: each until it is done, failures elsewhere, slow ones twice."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

from vidsr.errors import VidsrError
from vidsr.pipelines.segment import Segment

AT_ONCE = 2
"""Segments that a worker has at a time: one to work on, and one that is there when it is done."""

ATTEMPTS = 3
"""Failures of one segment after which the job stops: by then it is the segment's fault."""

SLOW = 1.5
"""A segment that takes this many times the usual is begun a second time where a worker has nothing else.
(Backup tasks: J. Dean and S. Ghemawat, MapReduce, OSDI 2004, section 3.6.)"""


@dataclass
class _Given:
    """A segment in somebody's hands."""

    segment: Segment
    since_s: float
    workers: list[str] = field(default_factory=list)


class Dispatch:
    """Hands out segments and remembers who has which; plain bookkeeping, without any waiting."""

    def __init__(
        self, segments: Iterable[Segment], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._left = deque(segments)
        self._given: dict[int, _Given] = {}
        self._holding: Counter[str] = Counter()  # segments, by worker
        self._failures: Counter[int] = Counter()
        self._avoid: dict[int, str] = {}  # the worker that failed at a segment last
        self._took_s: deque[float] = deque(maxlen=64)
        self._clock = clock

    @property
    def finished(self) -> bool:
        """Whether no segment is left."""
        return not self._left and not self._given

    def take(self, worker: str, *, workers: int) -> Segment | None:
        """What one of so many workers shall do next; None where it has enough, or there is nothing.

        The last segments are kept for whoever has none, and one that failed is not given to the same
        worker again while there are others.
        """
        holding = self._holding[worker]
        if holding >= AT_ONCE or (holding and len(self._left) < workers):
            return None
        for place, segment in enumerate(self._left):
            if workers == 1 or self._avoid.get(segment.index) != worker:
                del self._left[place]
                self._given[segment.index] = _Given(segment, self._clock(), [worker])
                self._holding[worker] += 1
                return segment
        return None if holding or self._left else self._second(worker)

    def _second(self, worker: str) -> Segment | None:
        """A segment that takes another worker so long that an idle one may be the faster."""
        if not self._took_s:
            return None
        patience = SLOW * median(self._took_s)
        now = self._clock()
        slow = [
            given
            for given in self._given.values()
            if len(given.workers) == 1 and now - given.since_s > patience
        ]
        if not slow:
            return None
        oldest = min(slow, key=lambda given: given.since_s)
        oldest.workers.append(worker)
        self._holding[worker] += 1
        return oldest.segment

    def done(self, segment: Segment) -> bool:
        """A worker finished a segment; False where another one was the first."""
        given = self._given.pop(segment.index, None)
        if given is None:
            return False
        for worker in given.workers:
            self._holding[worker] -= 1
        self._took_s.append(self._clock() - given.since_s)
        return True

    def failed(self, segment: Segment, worker: str, reason: str) -> None:
        """A worker could not do a segment. Raises VidsrError when it was the third time."""
        if segment.index not in self._given:
            return  # another one had done it
        self._count_failure(segment.index, reason)
        self._avoid[segment.index] = worker
        self._give_back(segment.index, worker)

    def lost(self, worker: str) -> None:
        """A worker is gone: what it had is done by others, before the rest.

        What it was at counts as a failure, for it may be what killed the worker, and would kill them
        all in turn.
        """
        held = [given for given in self._given.values() if worker in given.workers]
        if held:
            at_work = min(held, key=lambda given: given.since_s).segment.index
            self._count_failure(at_work, "its worker was lost")
        for given in sorted(held, key=lambda given: -given.segment.index):
            self._give_back(given.segment.index, worker)

    def _count_failure(self, index: int, reason: str) -> None:
        self._failures[index] += 1
        if self._failures[index] >= ATTEMPTS:
            raise VidsrError(
                f"segment {index} failed {ATTEMPTS} times, last with: {reason}; "
                "finished segments are kept, the same command goes on"
            )

    def _give_back(self, index: int, worker: str) -> None:
        given = self._given[index]
        given.workers.remove(worker)
        self._holding[worker] -= 1
        if given.workers:
            given.since_s = self._clock()  # the other one began later: it is not slow yet
        else:
            self._left.appendleft(self._given.pop(index).segment)
