from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.synthetic import frame_numbers, make_video
from vidsr.errors import InputError
from vidsr.video.reader import VideoReader
from vidsr.video.sequences import SequenceReader, is_sequence, numbered, numbered_files
from vidsr.video.stills import write_still


@pytest.fixture
def pattern(tmp_path: Path) -> Path:
    """Twelve pictures, numbered from 7."""
    path = tmp_path / "frames" / "shot%03d.png"
    reader = VideoReader(make_video(tmp_path / "a.mkv", codec="ffv1", pix_fmt="bgr0"))
    path.parent.mkdir()
    for number, frame in enumerate(reader.batches(1), start=7):
        write_still(numbered(path, number), frame)
    return path


def test_pictures_are_numbered_in_order(pattern: Path) -> None:
    assert sorted(file.name for file in pattern.parent.iterdir()) == [
        f"shot{number:03d}.png" for number in range(7, 19)
    ]
    reader = SequenceReader(pattern, rate=Fraction(24))
    assert reader.first_number == 7
    assert reader.info.frame_count == 12
    assert reader.info.time_base == Fraction(1, 24)
    assert reader.info.duration_s == 0.5
    assert (reader.info.width, reader.info.height) == (64, 48)
    numbers = [n for batch in reader.batches(5) for n in frame_numbers(batch)]
    assert numbers == list(range(12))


def test_batches_follow_times_cuts_and_size(pattern: Path) -> None:
    reader = SequenceReader(pattern)
    assert [b.pts for b in reader.batches(4, start_pts=3, end_pts=10, cuts=[3, 5, 11])] == [
        (3, 4),
        (5, 6, 7, 8),
        (9,),
    ]
    assert [len(b) for b in reader.batches(100)] == [12]
    assert reader.timeline.pts == tuple(range(12))
    part = next(reader.batches(2, start_pts=6))
    assert frame_numbers(part) == [6, 7]
    assert part.durations == (1, 1)


def test_a_gap_is_named(pattern: Path) -> None:
    numbered(pattern, 10).unlink()
    with pytest.raises(InputError, match=r"shot010\.png: missing"):
        SequenceReader(pattern)


def test_a_picture_of_another_size_is_named(pattern: Path, tmp_path: Path) -> None:
    other = VideoReader(make_video(tmp_path / "b.mkv", codec="ffv1", pix_fmt="bgr0", size=(32, 32)))
    write_still(numbered(pattern, 9), next(other.batches(1)))
    reader = SequenceReader(pattern)
    with pytest.raises(InputError, match=r"shot009\.png: 32x32 pixels, but shot007\.png has 64x48"):
        list(reader.batches(4))


def test_a_damaged_picture_is_named(pattern: Path) -> None:
    file = numbered(pattern, 11)
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(InputError, match=r"shot011\.png"):
        list(SequenceReader(pattern).batches(4))


def test_a_single_picture_is_a_video_of_one_frame(pattern: Path) -> None:
    reader = SequenceReader(numbered(pattern, 9))
    (batch,) = reader.batches(8)
    assert frame_numbers(batch) == [2]
    assert batch.pts == (0,)


def test_other_files_in_the_folder_do_not_count(pattern: Path) -> None:
    for name in ("shot7.png", "shot0007.png", "shot007.png.part", "xshot006.png", "shot006.jpg"):
        (pattern.parent / name).touch()
    assert min(numbered_files(pattern)) == 7
    assert len(numbered_files(pattern)) == 12


def test_numbers_may_outgrow_their_width(tmp_path: Path) -> None:
    for number in (8, 9, 10, 11):
        (tmp_path / f"a{number}.png").touch()
    assert list(numbered_files(tmp_path / "a%d.png")) == [8, 9, 10, 11]
    assert list(numbered_files(tmp_path / "a%01d.png")) == [8, 9, 10, 11]


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        SequenceReader(tmp_path / "%05d.png")
    with pytest.raises(InputError, match="absent"):
        SequenceReader(tmp_path / "absent" / "%05d.png")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("%05d.png", True), ("a%d.jpg", True), ("a.png", False), ("%05d.mp4", False), ("50%.png", False)],
)
def test_what_counts_as_a_pattern(name: str, expected: bool) -> None:
    assert is_sequence(Path("frames") / name) is expected


def test_samples_survive_a_round_trip_through_pictures(pattern: Path, tmp_path: Path) -> None:
    source = next(VideoReader(tmp_path / "a.mkv").batches(12))
    back = next(SequenceReader(pattern).batches(12))
    assert all(np.array_equal(a, b) for a, b in zip(source.planes, back.planes, strict=True))
