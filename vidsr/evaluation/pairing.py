"""Which frame of one video belongs to which of another: by the time at which they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from vidsr.frames import FrameBatch


class Pair(NamedTuple):
    """Two frames of one time, or one frame whose partner is missing; single-frame batches."""

    reference: FrameBatch | None
    distorted: FrameBatch | None


def pair_by_time(
    reference: Iterable[FrameBatch], distorted: Iterable[FrameBatch], tolerance_s: Fraction
) -> Iterator[Pair]:
    """Walk through both videos once and give every frame exactly once, paired where times agree.

    Times agree when they differ by at most `tolerance_s` seconds; the order is that of time. Holds one
    batch of each side at most.
    """
    ours, theirs = _frames(reference), _frames(distorted)
    one, other = next(ours, None), next(theirs, None)
    while one is not None or other is not None:
        if one is not None and other is not None and abs(_time(one) - _time(other)) <= tolerance_s:
            yield Pair(one, other)
            one, other = next(ours, None), next(theirs, None)
        elif other is None or (one is not None and _time(one) < _time(other)):
            yield Pair(one, None)
            one = next(ours, None)
        else:
            yield Pair(None, other)
            other = next(theirs, None)


def tolerance(one: Fraction, other: Fraction) -> Fraction:
    """Seconds by which the same moment may differ in two time bases (seconds a tick).

    Rounding to ticks moves a time by half a tick at most; within one time base nothing is rounded.
    """
    return Fraction(0) if one == other else (one + other) / 2


def _frames(batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
    for batch in batches:
        yield from batch.split(1)


def _time(frame: FrameBatch) -> Fraction:
    return frame.pts[0] * frame.time_base
