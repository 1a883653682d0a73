"""A constant rate for a stream whose end nobody knows: the same ticks as with all times at hand."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from vidsr.frames import ColorSpec, FrameBatch
from vidsr.video.retime import ConstantRate, RunningRate

BASE = Fraction(1, 1000)


def frames(times: list[int], size: int) -> list[FrameBatch]:
    """Batches of gray frames of one pixel, each as bright as its place."""
    color = ColorSpec(matrix="gray", subsampling=(1, 1))
    planes = (np.arange(len(times), dtype=np.uint8)[:, None, None],)
    waits = [after - before for before, after in pairwise(times)]
    whole = FrameBatch(planes, color, tuple(times), BASE, (*waits, 40))
    return list(whole.split(size))


@pytest.mark.parametrize("fps", [Fraction(10), Fraction(24000, 1001), Fraction(60)])
@pytest.mark.parametrize("size", [1, 4])
def test_it_shows_what_the_whole_timeline_would_show(fps: Fraction, size: int) -> None:
    chance = random.Random(7)
    times = [250]
    for _ in range(40):
        times.append(times[-1] + chance.choice([1, 20, 33, 34, 40, 180]))
    known = ConstantRate(times, 40, BASE, fps)
    running = RunningRate(times[0], BASE, fps)
    shown = [
        (batch.pts[0] * batch.time_base, batch.planes[0].item(), batch.durations[0] * batch.time_base)
        for frame in running.select(frames(times, size))
        for batch in running.repeat(frame)
    ]
    assert [time for time, _, _ in shown] == [pts * known.time_base for pts in known.output_pts]
    expected = [
        batch.planes[0].item()
        for one in known.select(frames(times, size))
        for batch in known.repeat(one)
    ]
    assert [place for _, place, _ in shown] == expected
    assert {length for _, _, length in shown} == {1 / fps}


def test_what_is_no_frame_keeps_its_place() -> None:
    first, second = frames([0, 40], 1)
    running = RunningRate(0, BASE, Fraction(25))
    items = list(running.select([first, "between", second, "behind"]))
    assert [item if isinstance(item, str) else item.pts[0] for item in items] == [
        *("between", 0, "behind", 40)
    ]
