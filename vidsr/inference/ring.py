"""Work begun ahead: several batches are on their way through a device, and come out in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Given = TypeVar("Given", covariant=True)


class Pending(Protocol[Given]):
    """Something begun whose result is not there yet."""

    def wait(self) -> Given:
        """The result, once it is whole. Raises what the work on it raised."""


def ring(
    items: Iterable[Item], begin: Callable[[Item], Pending[Result]], slots: int
) -> Iterator[Result]:
    """Begin each item in turn and give the results in that order; at most `slots` are begun at once.

    With one slot every result is waited for before the next item is taken. With more, the host takes
    and begins the next items while the device works: it never runs dry, and yet no more than `slots`
    batches hold memory. The slowest taker of results decides when the next item is taken.

    What goes wrong with one item is raised where its result would have come, behind the results of all
    before it; nothing after it is begun. An error of `items` itself is raised at once.
    """
    if slots < 1:
        raise ValueError(f"a ring needs a slot, not {slots}")
    begun: deque[Pending[Result]] = deque()
    failure: Exception | None = None
    for item in items:
        try:
            begun.append(begin(item))
        except Exception as error:
            failure = error
            break
        if len(begun) == slots:
            yield begun.popleft().wait()
    while begun:
        yield begun.popleft().wait()
    if failure is not None:
        raise failure
