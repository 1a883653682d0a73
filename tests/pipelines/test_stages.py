from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from vidsr.pipelines import stages
from vidsr.pipelines.stages import ByteQueue, StageClock, run_stages


@dataclass(frozen=True)
class Parcel:
    number: int
    nbytes: int = 10


def clocks() -> tuple[StageClock, StageClock, StageClock]:
    return StageClock("decode"), StageClock("network"), StageClock("encode")


def parcels(count: int) -> Iterator[Parcel]:
    return (Parcel(i) for i in range(count))


def test_everything_arrives_once_and_in_order() -> None:
    got: list[int] = []
    run_stages(
        lambda: parcels(500),
        lambda items: (Parcel(item.number * 2) for item in items),
        lambda items: got.extend(item.number for item in items),
        limit=35,
        clocks=clocks(),
    )
    assert got == [2 * i for i in range(500)]


def test_a_fast_source_waits_for_a_slow_sink() -> None:
    most = 0
    alive = 0
    lock = threading.Lock()

    def source() -> Iterator[Parcel]:
        nonlocal alive, most
        for parcel in parcels(60):
            with lock:
                alive += 1
                most = max(most, alive)
            yield parcel

    def sink(items: Iterable[Parcel]) -> None:
        nonlocal alive
        for _ in items:
            time.sleep(0.001)
            with lock:
                alive -= 1

    run_stages(source, lambda items: items, sink, limit=40, clocks=clocks())
    # Four wait in each of the two queues; each stage holds one more, and the sink one not yet counted.
    assert most <= 4 + 4 + 4


def test_an_item_larger_than_the_limit_still_passes() -> None:
    queue: ByteQueue[Parcel] = ByteQueue(5, threading.Event())
    queue.put(Parcel(1, nbytes=1000))
    queue.close()
    assert [parcel.number for parcel in queue] == [1]


@pytest.mark.parametrize("stage", ["source", "transform", "sink"])
def test_an_error_in_any_stage_ends_all_and_is_raised_once(stage: str) -> None:
    def failing_source() -> Iterator[Parcel]:
        yield from parcels(3)
        if stage == "source":
            raise LookupError("source")
        yield from parcels(10_000_000)

    def failing_transform(items: Iterable[Parcel]) -> Iterator[Parcel]:
        for parcel in items:
            if stage == "transform":
                raise LookupError("transform")
            yield parcel

    def failing_sink(items: Iterable[Parcel]) -> None:
        for count, _ in enumerate(items):
            if stage == "sink" and count == 2:
                raise LookupError("sink")

    before = threading.active_count()
    with pytest.raises(LookupError, match=stage):
        run_stages(failing_source, failing_transform, failing_sink, limit=100, clocks=clocks())
    assert threading.active_count() == before


def test_an_interrupt_before_the_last_stage_has_begun_stops_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if len(begun) == 2:
            raise KeyboardInterrupt
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(stages, "STOP_WITHIN_S", 0.05)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_stages(lambda: parcels(100), iter, lambda items: list(items), limit=20, clocks=clocks())
    for thread in begun:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_a_stage_left_in_a_long_call_is_known_to_be_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever ends the process must see it: ending Python beneath it would abort."""
    monkeypatch.setattr(stages, "STOP_WITHIN_S", 0.05)
    leave = threading.Event()
    within: list[threading.Thread] = []

    def deep(items: Iterable[Parcel]) -> Iterator[Parcel]:
        for parcel in items:
            within.append(threading.current_thread())
            time.sleep(0.1)  # the reader has ended: it is this stage that is waited for
            signal.raise_signal(signal.SIGINT)  # Python handles it in the main thread, which waits
            leave.wait(10)
            yield parcel

    try:
        with pytest.raises(KeyboardInterrupt):
            run_stages(lambda: parcels(1), deep, lambda items: list(items), limit=20, clocks=clocks())
        assert within[0].is_alive()
    finally:
        leave.set()
    within[0].join(timeout=30)
    assert not within[0].is_alive()


def test_clocks_count_work_and_not_waiting() -> None:
    three = clocks()

    def slow(items: Iterable[Parcel]) -> Iterator[Parcel]:
        for parcel in items:
            time.sleep(0.01)
            yield parcel

    run_stages(lambda: parcels(20), slow, lambda items: [None for _ in items], limit=20, clocks=three)
    decode, network, encode = (clock.busy_s for clock in three)
    assert network >= 0.2
    assert decode < network / 2
    assert encode < network / 2


def test_a_stage_that_works_ahead_is_at_work_until_its_last_result() -> None:
    three = clocks()

    def ahead(items: Iterable[Parcel]) -> Iterator[Parcel]:
        begun = list(items)  # takes all before it gives one
        time.sleep(0.1)
        yield from begun

    got: list[int] = []
    run_stages(
        lambda: parcels(3),
        ahead,
        lambda items: got.extend(item.number for item in items),
        limit=10,
        clocks=three,
    )
    assert got == [0, 1, 2]
    assert three[1].busy_s >= 0.1
