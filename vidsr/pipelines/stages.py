"""Stages of a pipeline, each in a thread of its own, joined by queues that count bytes.

Decoder, network and encoder all release the interpreter's lock while they work, so threads overlap
them. The queues bound memory: a stage that is ahead waits.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

STOP_WITHIN_S = 1.0
"""How long a stop waits for the stages: Ctrl-C answers within two seconds."""


class Sized(Protocol):
    """Something that knows how much memory it holds."""

    @property
    def nbytes(self) -> int:
        """Bytes."""


Item = TypeVar("Item", bound=Sized)
Result = TypeVar("Result", bound=Sized)


class Stopped(Exception):
    """Not an error: another stage failed, or the user stopped the run."""


@dataclass
class StageClock:
    """How long a stage worked, without what it waited for the others; seconds."""

    name: str
    busy_s: float = 0.0
    started: float | None = field(default=None, repr=False)

    def working(self) -> None:
        """The stage begins to work."""
        self.started = time.perf_counter()

    def waiting(self) -> None:
        """The stage begins to wait."""
        if self.started is not None:
            self.busy_s += time.perf_counter() - self.started
            self.started = None


def slowest(clocks: Iterable[StageClock]) -> str:
    """The stage that worked longest so far: what the others wait for."""
    return max(clocks, key=lambda clock: clock.busy_s).name


class ByteQueue(Generic[Item]):
    """A queue between two threads, bounded by the bytes of what is in it.

    One item always fits, however large, so that no size can block it for ever.
    """

    def __init__(self, limit: int, stop: threading.Event) -> None:
        self._limit = limit
        self._stop = stop
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Add an item; waits while the queue is full. Raises Stopped."""
        with self._changed:
            while self._items and self._bytes + item.nbytes > self._limit:
                self._wait()
            self._items.append(item)
            self._bytes += item.nbytes
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        """Take items until the queue is closed and empty. Raises Stopped."""
        while True:
            with self._changed:
                while not self._items:
                    if self._closed:
                        return
                    self._wait()
                item = self._items.popleft()
                self._bytes -= item.nbytes
                self._changed.notify_all()
            yield item

    def _wait(self) -> None:
        if self._stop.is_set():
            raise Stopped
        self._changed.wait(timeout=0.1)  # the stop comes from outside the condition: look again
        if self._stop.is_set():
            raise Stopped


def run_stages(
    source: Callable[[], Iterable[Item]],
    transform: Callable[[Iterable[Item]], Iterable[Result]],
    sink: Callable[[Iterable[Result]], None],
    *,
    limit: int,
    clocks: tuple[StageClock, StageClock, StageClock],
    stop: threading.Event | None = None,
) -> None:
    """Pass everything of `source` through `transform` into `sink`, all three at once, in order.

    `transform` takes items as it wants them, so that it may begin several before it gives a result.
    `limit` bounds the bytes waiting between two stages. The first error of any stage stops all of them
    and is raised here, once; so does KeyboardInterrupt in the calling thread, within STOP_WITHIN_S
    (a stage deep in a long call is left behind; it is a daemon and touches nothing finished). `stop` is
    set then: a source that waits for somebody else gives one of its own, and looks at it.
    """
    stop = stop or threading.Event()
    errors: list[BaseException] = []
    before: ByteQueue[Item] = ByteQueue(limit, stop)
    after: ByteQueue[Result] = ByteQueue(limit, stop)
    reading, working, writing = clocks

    def read() -> None:
        reading.working()
        for item in source():
            reading.waiting()
            before.put(item)
            reading.working()
        reading.waiting()
        before.close()

    def work() -> None:
        for result in transform(taken()):
            working.waiting()
            after.put(result)
            working.working()
        working.waiting()
        after.close()

    def taken() -> Iterator[Item]:
        yield from timed(before, working)
        working.working()  # nothing more comes, but some may not be done yet

    def write() -> None:
        sink(timed(after, writing))
        writing.waiting()

    def guarded(stage: Callable[[], None], end: threading.Event) -> Callable[[], None]:
        def run() -> None:
            try:
                stage()
            except Stopped:
                pass
            except BaseException as error:
                errors.append(error)
                stop.set()
            finally:
                end.set()

        return run

    # Not by joining: a join that Ctrl-C interrupts takes its thread for ended (CPython before 3.13), and
    # whoever leaves the process would not know of a stage that is left behind.
    ends = [threading.Event() for _ in clocks]
    threads = [
        threading.Thread(target=guarded(stage, end), name=clock.name, daemon=True)
        for stage, end, clock in zip((read, work, write), ends, clocks, strict=True)
    ]
    try:
        for thread in threads:
            thread.start()
        for end in ends:
            while not end.wait(timeout=0.2):  # one without a limit would not see Ctrl-C everywhere
                pass
    except BaseException:
        stop.set()
        deadline = time.monotonic() + STOP_WITHIN_S
        for end in ends:
            end.wait(timeout=max(0.0, deadline - time.monotonic()))
        raise
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def until_stopped(items: Iterable[Item]) -> Iterator[Item]:
    """Hand the items on; a stop is their end, so that what is made of them is brought to its own."""
    try:
        yield from items
    except Stopped:
        return


def timed(items: Iterable[Item], clock: StageClock) -> Iterator[Item]:
    """Hand the items on; between them the taker works, before them it waits."""
    for item in items:
        clock.working()
        yield item
        clock.waiting()
