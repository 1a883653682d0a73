"""Who does which segment, by bookkeeping alone: no clock but the test's, no process."""

from __future__ import annotations

import pytest

from vidsr.errors import VidsrError
from vidsr.pipelines.dispatch import Dispatch
from vidsr.pipelines.segment import Segment


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def dispatch(count: int, clock: Clock | None = None) -> Dispatch:
    return Dispatch((Segment(i, i, i + 1) for i in range(count)), clock=clock or Clock())


def take(work: Dispatch, worker: str, workers: int = 2) -> Segment:
    segment = work.take(worker, workers=workers)
    assert segment is not None
    return segment


def test_each_segment_is_done_once_and_in_order_of_time() -> None:
    work = dispatch(8)
    first = [take(work, "a"), take(work, "b"), take(work, "a"), take(work, "b")]
    assert [segment.index for segment in first] == [0, 1, 2, 3]
    assert work.take("a", workers=2) is None, "two at once are enough"
    assert all(work.done(segment) for segment in first)
    assert not work.finished
    while not work.finished:
        assert work.done(take(work, "a", workers=1))
    assert work.take("a", workers=1) is None


def test_the_last_segments_are_kept_for_whoever_has_none() -> None:
    work = dispatch(3)
    take(work, "a")
    take(work, "a")  # two more are left, and two workers
    assert work.take("a", workers=2) is None
    assert take(work, "b").index == 2


def test_a_failed_segment_is_tried_elsewhere_three_times_in_all() -> None:
    work = dispatch(2)
    segment = take(work, "a")
    work.failed(segment, "a", "too bright")
    assert take(work, "a").index == 1, "not the one it failed at"
    assert take(work, "b") == segment
    work.failed(segment, "b", "too bright")
    assert work.take("b", workers=1) == segment, "unless there is nobody else"
    with pytest.raises(VidsrError, match=r"segment 0 failed 3 times, last with: too bright; .* kept"):
        work.failed(segment, "b", "too bright")


def test_what_a_lost_worker_had_comes_first_again() -> None:
    work = dispatch(6)
    had = [take(work, "a"), take(work, "a")]
    take(work, "b")
    work.lost("a")
    assert [take(work, "c", 3), take(work, "c", 3)] == had
    assert not work.finished


def test_a_segment_that_loses_its_workers_stops_the_job() -> None:
    work = dispatch(1)
    for worker in "ab":
        take(work, worker)
        work.lost(worker)
    take(work, "c")
    with pytest.raises(VidsrError, match="its worker was lost"):
        work.lost("c")


def test_a_slow_segment_is_begun_a_second_time_and_counts_once() -> None:
    clock = Clock()
    work = dispatch(3, clock)
    slow = take(work, "a")
    quick = take(work, "b")
    clock.now_s = 10
    assert work.done(quick)
    last = take(work, "b")
    clock.now_s = 15
    assert work.take("c", workers=3) is None, "10 s are usual: 15 are not yet slow"
    clock.now_s = 16
    assert work.take("c", workers=3) == slow
    assert work.take("d", workers=4) is None, "a third time would be of no use"
    assert work.done(slow)
    work.failed(slow, "a", "too late to matter")
    assert not work.done(slow), "the second result is not taken"
    assert work.done(last)
    assert work.finished


def test_a_lost_worker_leaves_the_second_one_at_its_segment() -> None:
    clock = Clock()
    work = dispatch(2, clock)
    slow, quick = take(work, "a"), take(work, "b")
    clock.now_s = 10
    work.done(quick)
    clock.now_s = 20
    assert work.take("b", workers=2) == slow
    work.lost("a")
    assert work.take("c", workers=2) is None, "it is in good hands"
    assert work.done(slow)
    assert work.finished
