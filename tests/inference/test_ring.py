"""Work begun ahead: order, back-pressure, errors in any slot."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from vidsr.inference.ring import ring


@dataclass
class Device:
    """Finishes what is begun in threads of its own, in any order; counts what is on its way."""

    pool: ThreadPoolExecutor
    failing: frozenset[int] = frozenset()
    begun: list[int] = field(default_factory=list)
    given: int = 0
    most: int = 0

    def begin(self, number: int) -> Work:
        if -number in self.failing:
            raise LookupError(f"refuses {number}")
        self.begun.append(number)
        self.most = max(self.most, len(self.begun) - self.given)
        return Work(self, self.pool.submit(self._work, number))

    def _work(self, number: int) -> int:
        time.sleep(random.Random(number).random() / 500)
        if number in self.failing:
            raise LookupError(f"fails {number}")
        return number * 10


@dataclass
class Work:
    device: Device
    future: Future[int]

    def wait(self) -> int:
        self.device.given += 1
        return self.future.result()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize("slots", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_results_come_in_order_and_no_more_are_begun_than_slots(
    slots: int, count: int, pool: ThreadPoolExecutor
) -> None:
    device = Device(pool)
    results = list(ring(range(1, count + 1), device.begin, slots))
    assert results == [10 * number for number in range(1, count + 1)]
    assert device.most == min(slots, count)


def test_a_taker_that_waits_holds_the_source_back(pool: ThreadPoolExecutor) -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1, 100):
            taken.append(number)
            yield number

    results = ring(source(), Device(pool).begin, 3)
    assert taken == []
    assert next(results) == 10
    assert taken == [1, 2, 3]
    assert next(results) == 20
    assert taken == [1, 2, 3, 4]


def test_one_slot_gives_each_result_before_the_next_is_taken(pool: ThreadPoolExecutor) -> None:
    events: list[str] = []

    def source() -> Iterator[int]:
        for number in (1, 2):
            events.append(f"take {number}")
            yield number

    for result in ring(source(), Device(pool).begin, 1):
        events.append(f"give {result}")
    assert events == ["take 1", "give 10", "take 2", "give 20"]


@pytest.mark.parametrize("failing", [1, 3, 4, 6, -1, -3, -4, -6])
def test_an_error_comes_where_its_result_would_have(failing: int, pool: ThreadPoolExecutor) -> None:
    """Positive: the work fails, later; negative: it cannot even be begun."""
    device = Device(pool, frozenset({failing}))
    results: list[int] = []
    with pytest.raises(LookupError, match=str(abs(failing))):
        for result in ring(range(1, 7), device.begin, 3):
            results.append(result)
    assert results == [10 * number for number in range(1, abs(failing))]
    assert len(device.begun) <= abs(failing) + 2  # at most the other two slots were filled


def test_an_error_of_the_source_is_raised_at_once(pool: ThreadPoolExecutor) -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        next(ring(source(), Device(pool).begin, 3))


def test_a_ring_left_early_begins_nothing_more(pool: ThreadPoolExecutor) -> None:
    device = Device(pool)
    before = threading.active_count()
    results = ring(range(1, 100), device.begin, 3)
    next(results)
    results.close()  # type: ignore[attr-defined]  # a generator
    assert device.begun == [1, 2, 3]
    assert threading.active_count() <= before + 3  # the pool's own


def test_no_slots_is_a_mistake(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(ValueError, match="slot"):
        next(ring([1], Device(pool).begin, 0))
