"""Pictures in and out, alone and in sequence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.pipelines.test_upscale import Stop, run, stopping_after, times
from tests.synthetic import decoded_numbers, frame_numbers, make_video
from vidsr.errors import JobError, OutputError, UsageError
from vidsr.video.reader import VideoReader
from vidsr.video.sequences import numbered
from vidsr.video.stills import read_still, write_still


@pytest.fixture
def pattern(tmp_path: Path) -> Path:
    """Ten pictures, numbered from 3."""
    path = tmp_path / "in" / "%04d.png"
    path.parent.mkdir()
    reader = VideoReader(make_video(tmp_path / "a.mkv", codec="ffv1", pix_fmt="bgr0", frames=10))
    for number, frame in enumerate(reader.batches(1), start=3):
        write_still(numbered(path, number), frame)
    return path


def numbers(pattern: Path, first: int, count: int) -> list[int]:
    found = [read_still(numbered(pattern, first + i)) for i in range(count)]
    assert {batch.size for batch in found} == {(96, 128)}
    return [number for batch in found for number in frame_numbers(batch)]


def test_a_sequence_keeps_its_numbers(pattern: Path, tmp_path: Path) -> None:
    target = tmp_path / "out_%04d.png"
    report = run(pattern, target)
    assert report.frames == 10
    assert numbers(target, 3, 10) == list(range(10))
    assert not list(tmp_path.glob("*.vidsr"))


def test_a_stopped_sequence_goes_on(pattern: Path, tmp_path: Path) -> None:
    target = tmp_path / "out_%04d.png"
    with pytest.raises(Stop):
        run(pattern, target, stopping_after(4))
    kept = numbered(target, 3).stat().st_mtime_ns
    report = run(pattern, target)
    assert report.resumed_frames >= 4
    assert report.frames == 10
    assert numbers(target, 3, 10) == list(range(10))
    assert numbered(target, 3).stat().st_mtime_ns == kept
    with pytest.raises(OutputError, match=r"out_0003\.png: exists already"):
        run(pattern, target)
    run(pattern, target, overwrite=True)


def test_other_settings_do_not_go_on(pattern: Path, tmp_path: Path) -> None:
    target = tmp_path / "out_%04d.png"
    with pytest.raises(Stop):
        run(pattern, target, stopping_after(4))
    with pytest.raises(JobError, match="--restart"):
        run(pattern, target, scale=4)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_one_picture_becomes_one_picture(pattern: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"large{suffix}"
    run(numbered(pattern, 7), target)
    large = read_still(target)
    assert large.size == (96, 128)
    assert frame_numbers(large) == [4]


def test_a_video_becomes_pictures_and_pictures_a_video(pattern: Path, tmp_path: Path) -> None:
    run(make_video(tmp_path / "v.mp4", frames=6), tmp_path / "v_%02d.png")
    assert numbers(tmp_path / "v_%02d.png", 1, 6) == list(range(6))
    run(pattern, tmp_path / "film.mp4", fps=Fraction(10))
    assert decoded_numbers(tmp_path / "film.mp4") == list(range(10))
    assert times(tmp_path / "film.mp4") == [Fraction(i, 10) for i in range(10)]


def test_a_video_does_not_fit_into_one_picture(tmp_path: Path) -> None:
    source = make_video(tmp_path / "v.mp4", frames=6)
    with pytest.raises(
        UsageError, match=r"one picture cannot hold 6 frames; give a pattern such as p_%05d\.png"
    ):
        run(source, tmp_path / "p.png")
    run(make_video(tmp_path / "one.mp4", frames=1), tmp_path / "p.png")
    assert read_still(tmp_path / "p.png").size == (96, 128)
