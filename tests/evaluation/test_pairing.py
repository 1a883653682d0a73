from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from vidsr.evaluation.pairing import pair_by_time, tolerance
from vidsr.frames import ColorSpec, FrameBatch

GRAY = ColorSpec(matrix="gray")


def video(pts: list[int], tick: Fraction, size: int = 3) -> Iterator[FrameBatch]:
    """Batches of one-pixel frames that hold their pts."""
    for start in range(0, len(pts), size):
        part = pts[start : start + size]
        plane = (np.array(part) % 256).astype(np.uint8).reshape(-1, 1, 1)
        yield FrameBatch((plane,), GRAY, tuple(part), tick)


def paired(
    one: list[int], other: list[int], ticks: tuple[Fraction, Fraction], sizes: tuple[int, int] = (3, 2)
) -> list[tuple[int | None, int | None]]:
    pairs = pair_by_time(
        video(one, ticks[0], sizes[0]), video(other, ticks[1], sizes[1]), tolerance(*ticks)
    )
    return [(r.pts[0] if r else None, d.pts[0] if d else None) for r, d in pairs]


SAME = (Fraction(1, 25), Fraction(1, 25))


def test_equal_times_pair_across_batch_borders() -> None:
    assert paired([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], SAME) == [(i, i) for i in range(5)]


def test_a_lost_frame_does_not_shift_what_follows() -> None:
    expected = [(0, 0), (1, None), (2, 2), (3, 3), (None, 4), (5, 5), (6, None)]
    assert paired([0, 1, 2, 3, 5, 6], [0, 2, 3, 4, 5], SAME) == expected


def test_times_rounded_to_milliseconds_pair_with_exact_ones() -> None:
    exact = [i * 1001 for i in range(50)]  # 23.976 frames a second in ticks of 1/24000
    rounded = [round(i * 1001 * 1000 / 24000) for i in range(50)]
    del rounded[7]
    pairs = paired(exact, rounded, (Fraction(1, 24000), Fraction(1, 1000)))
    assert [r for r, d in pairs if d is None] == [7 * 1001]
    assert len(pairs) == 50 and all(r is not None for r, _ in pairs)


def test_within_one_time_base_only_equal_times_pair() -> None:
    # Otherwise the frames after a loss would pair with their neighbours.
    assert tolerance(*SAME) == 0
    assert paired([0, 1, 2], [3, 4], SAME) == [(0, None), (1, None), (2, None), (None, 3), (None, 4)]


@pytest.mark.parametrize(("one", "other"), [([], [1, 2]), ([1, 2], []), ([], [])])
def test_an_empty_side(one: list[int], other: list[int]) -> None:
    assert paired(one, other, SAME) == [(p, None) for p in one] + [(None, p) for p in other]


def test_frames_keep_their_pictures() -> None:
    pairs = list(pair_by_time(video([5, 6, 7], SAME[0]), video([6], SAME[1]), Fraction(0)))
    assert [p.reference.planes[0].item() for p in pairs if p.reference is not None] == [5, 6, 7]
    assert pairs[1].distorted is not None and pairs[1].distorted.planes[0].item() == 6


def test_reads_no_further_than_it_must() -> None:
    read: list[int] = []

    def endless(tick: Fraction) -> Iterator[FrameBatch]:
        for i in range(10**9):
            read.append(i)
            yield FrameBatch((np.zeros((1, 1, 1), np.uint8),), GRAY, (i,), tick)

    pairs = pair_by_time(endless(SAME[0]), endless(SAME[1]), Fraction(0))
    for _ in range(5):
        next(pairs)
    assert max(read) <= 5
