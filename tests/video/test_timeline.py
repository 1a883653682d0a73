from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.synthetic import concatenate, corrupt, decoded_pts, make_video, truncate
from vidsr.errors import InputError
from vidsr.video.timeline import FrameClock, Timeline, scan_timeline


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mpg"])
def test_times_are_those_of_the_decoded_frames_in_order(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, bframes=2)
    timeline = scan_timeline(path, 0)
    assert list(timeline.pts) == decoded_pts(path)
    assert timeline.exact
    assert timeline.repaired == 0
    assert timeline.count == 12
    assert 1 <= timeline.reorder <= 2  # one is needed; x264 announces two


def test_every_wait_of_a_variable_rate_is_kept_to_the_tick(tmp_path: Path) -> None:
    pts = [0, 7, 8, 1000, 1001, 90000]
    path = make_video(tmp_path / "vfr.mkv", frames=6, pts=pts, time_base=Fraction(1, 1000))
    timeline = scan_timeline(path, 0)
    assert list(timeline.pts) == pts
    assert timeline.time_base == Fraction(1, 1000)


def test_frames_before_an_edit_list_begins_are_no_frames(tmp_path: Path) -> None:
    path = make_video(tmp_path / "edit.mp4", start=-3, bframes=2)
    timeline = scan_timeline(path, 0)
    assert timeline.count == 9
    assert timeline.start == 0
    assert timeline.keyframes[0] < 0, "decoding begins before the first frame shown"


def test_a_late_start_stays_late(tmp_path: Path) -> None:
    timeline = scan_timeline(make_video(tmp_path / "late.mp4", start=100), 0)
    assert timeline.start * timeline.time_base == 4


def test_the_last_frame_lasts_as_stated(tmp_path: Path) -> None:
    timeline = scan_timeline(make_video(tmp_path / "one.mp4", frames=1), 0)
    assert timeline.count == 1
    assert timeline.last_duration * timeline.time_base == Fraction(1, 25)
    assert timeline.end * timeline.time_base == Fraction(1, 25)


def test_keyframes_are_found_backwards(tmp_path: Path) -> None:
    path = make_video(tmp_path / "keys.mkv", frames=12, gop=4)
    timeline = scan_timeline(path, 0)
    assert timeline.keyframes == (0, 160, 320)
    assert timeline.keyframe_before(320) == 320
    assert timeline.keyframe_before(319) == 160
    assert timeline.keyframe_before(400, 3) == 0
    assert timeline.keyframe_before(400, 4) is None
    assert timeline.has_keyframe(160)
    assert not timeline.has_keyframe(161)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.h264", "libx264"), ("a.avi", "libx264"), ("a.hevc", "libx265")]
)
def test_missing_times_follow_the_frame_rate(tmp_path: Path, name: str, codec: str) -> None:
    path = make_video(tmp_path / name, codec=codec, bframes=2)
    timeline = scan_timeline(path, 0)
    assert timeline.clock == "missing"
    assert timeline.repaired == 12
    assert [pts * timeline.time_base for pts in timeline.pts] == [Fraction(i, 25) for i in range(12)]


def test_repeated_times_move_by_the_least(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "dup.mkv", frames=8, pts=[0, 1, 1, 1, 2, 3, 30, 31], time_base=Fraction(1, 1000)
    )
    timeline = scan_timeline(path, 0)
    assert timeline.clock == "repeated"
    assert timeline.pts == (0, 1, 2, 3, 4, 5, 30, 31)
    assert timeline.repaired == 4


def test_a_recording_joined_behind_another_keeps_its_spacing(tmp_path: Path) -> None:
    part = make_video(tmp_path / "part.ts", frames=30)
    timeline = scan_timeline(concatenate(tmp_path / "joined.ts", [part, part]), 0)
    assert timeline.clock == "repeated"
    waits = {b - a for a, b in zip(timeline.pts, timeline.pts[1:], strict=False)}
    assert timeline.count == 60
    assert waits == {3600}
    assert timeline.repaired == 30


def test_holes_in_a_constant_rate_are_counted(tmp_path: Path) -> None:
    pts = [*range(20), *range(26, 46)]
    assert scan_timeline(make_video(tmp_path / "a.mkv", frames=40, pts=pts), 0).gaps == 6
    assert scan_timeline(make_video(tmp_path / "b.mkv", frames=40), 0).gaps == 0


def test_waits_of_a_variable_rate_are_no_holes(tmp_path: Path) -> None:
    pts = [i * i for i in range(20)]
    assert scan_timeline(make_video(tmp_path / "a.mkv", frames=20, pts=pts), 0).gaps == 0


def test_what_a_demuxer_skips_shows_as_a_hole(tmp_path: Path) -> None:
    path = corrupt(make_video(tmp_path / "a.mkv", frames=200), length=600)
    timeline = scan_timeline(path, 0)
    assert timeline.count < 200
    assert timeline.count + timeline.gaps == 200


def test_a_truncated_file_has_the_frames_that_are_left(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", frames=40)
    whole = scan_timeline(path, 0).pts
    left = scan_timeline(truncate(path, 0.6), 0).pts
    assert 10 < len(left) < 40
    assert left == whole[: len(left)]


def test_a_stream_without_frames_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", audio=1)
    with pytest.raises(InputError, match="not video"):
        scan_timeline(path, 1)


class TestFrameClock:
    def test_exact_times_pass_unchanged(self) -> None:
        clock = FrameClock(Timeline(Fraction(1, 25), (3, 5, 9), (2, 4, 1)))
        assert [clock.time(pts) for pts in (3, 5, 9)] == [3, 5, 9]

    def test_a_time_that_repeats_moves_on_by_one_tick(self) -> None:
        clock = FrameClock(Timeline(Fraction(1, 25), (3, 5, 9), (2, 4, 1)))
        assert [clock.time(pts) for pts in (3, 3, None, 9)] == [3, 4, 5, 9]

    def test_frames_behind_a_loss_keep_their_times(self) -> None:
        times = tuple(range(0, 400, 40))
        timeline = Timeline(Fraction(1, 1000), times, (40,) * 10, clock="missing", reorder=1, step=40)
        clock = FrameClock(timeline)
        # Packets 1 to 4 are lost; packet 5 is a keyframe, and 6 may be shown one place early at most.
        shown = [clock.time(0, keyframe=True), clock.time(5, keyframe=True), clock.time(6)]
        assert shown == [0, 200, 240]

    def test_more_frames_than_packets_go_on_at_the_rate(self) -> None:
        timeline = Timeline(Fraction(1, 1000), (0, 40), (40, 40), clock="missing", step=40)
        clock = FrameClock(timeline)
        assert [clock.time(None) for _ in range(4)] == [0, 40, 80, 120]
