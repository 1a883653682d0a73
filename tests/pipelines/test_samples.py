"""Runs of frames: spread, without overlap, within reach of a keyframe; repeats are counted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.synthetic import make_video
from vidsr.pipelines.samples import MOST_RUN_UP, look_at, spread
from vidsr.video.reader import VideoReader
from vidsr.video.timeline import Clock, Timeline


def timeline(frames: int, every: int, clock: Clock = "exact") -> Timeline:
    pts = tuple(range(1000, 1000 + 10 * frames, 10))
    return Timeline(Fraction(1, 250), pts, (10,) * frames, keyframes=pts[::every], clock=clock)


def test_runs_lie_in_the_middle_of_equal_parts() -> None:
    runs = spread(timeline(1000, 10), places=4, frames=20)
    assert [(run.start_pts - 1000) // 10 for run in runs] == [115, 365, 615, 865]
    assert all(run.end_pts == run.start_pts + 200 and run.frames == 20 for run in runs)
    assert [run.run_up for run in runs] == [5] * 4


def test_a_short_video_is_taken_whole_and_once() -> None:
    runs = spread(timeline(30, 30), places=5, frames=24)
    frames = [pts for run in runs for pts in range(run.start_pts, run.end_pts or 1300, 10)]
    assert frames == sorted(set(frames))
    assert sum(run.frames for run in runs) == len(frames) <= 30
    assert runs[-1].end_pts is None
    (only,) = spread(timeline(1, 1))
    assert (only.start_pts, only.end_pts, only.frames) == (1000, None, 1)


@pytest.mark.parametrize("clock", ["exact", "missing"])
def test_nobody_waits_for_a_long_run_up(clock: Clock) -> None:
    # One keyframe at the beginning; or times that hold only for a decoder that starts there.
    every = 10_000 if clock == "exact" else 10
    runs = spread(timeline(10_000, every, clock), places=3, frames=8)
    firsts = [(run.start_pts - 1000) // 10 for run in runs]
    assert firsts == [MOST_RUN_UP, MOST_RUN_UP + 8, MOST_RUN_UP + 16]
    assert [run.run_up for run in runs] == firsts


def test_repeated_frames_are_counted(tmp_path: Path) -> None:
    moving, still = tmp_path / "moving.mkv", tmp_path / "still.mkv"
    make_video(moving, frames=12, codec="ffv1")
    make_video(still, frames=[index // 4 for index in range(12)], codec="ffv1")
    for path, share in ((moving, 0.0), (still, 9 / 11)):
        with VideoReader(path) as reader:
            found = look_at(reader, spread(reader.timeline, places=1, frames=12))
        assert found.frames == 12
        assert found.unchanged == pytest.approx(share)
        assert found.seconds_a_frame > 0
