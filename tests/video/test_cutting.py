"""A piece decodes to the frames of the whole file, wherever it is cut."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.synthetic import corrupt, make_video
from tests.video.test_reader import SEEKABLE, joined
from vidsr.frames import FrameBatch
from vidsr.video.cutting import cut_excerpt
from vidsr.video.reader import VideoReader

BUNNY = Path(__file__).parents[1] / "data" / "bunny_320x180_h264_aac.mp4"
SHARED = Path(__file__).parents[2].parent / "shared" / "clips"

KINDS: list[tuple[str, dict[str, Any]]] = [
    *SEEKABLE,
    ("interlaced.mp4", {"interlaced": True}),
    ("variable.mkv", {"pts": [3 * i + (i % 4 == 0) for i in range(32)], "bframes": 2}),
    ("without_times.h264", {"bframes": 2}),
    ("without_times.avi", {"codec": "libx264", "bframes": 2}),
    ("raw.avi", {"codec": "rawvideo", "pix_fmt": "bgr24"}),
    ("palette.mov", {"codec": "qtrle", "pix_fmt": "rgb24"}),
]


def pieces_of(path: Path, cuts: list[int]) -> tuple[FrameBatch, FrameBatch, int]:
    """All frames read from the file; those read from pieces between cuts; how many errors more."""
    reader = VideoReader(path, threads=2)
    times = reader.timeline.pts
    edges = [None, *(times[cut] for cut in cuts), None]
    parts: list[FrameBatch] = []
    errors = 0
    for start, end in pairwise(edges):
        # As another machine gets it: nothing but bytes, and a file that is not there.
        excerpt = pickle.loads(pickle.dumps(cut_excerpt(reader, start, end)))
        far = VideoReader.of_excerpt(excerpt, threads=2)
        parts += far.batches(3, start_pts=start, end_pts=end)
        errors += far.errors
    return joined(reader.batches(5)), joined(parts), errors - reader.errors


def assert_equal(ours: FrameBatch, theirs: FrameBatch) -> None:
    assert ours.pts == theirs.pts
    assert ours.durations == theirs.durations
    assert ours.color == theirs.color
    for plane, other in zip(ours.planes, theirs.planes, strict=True):
        assert np.array_equal(plane, other)


@pytest.mark.parametrize(("name", "options"), KINDS, ids=[name for name, _ in KINDS])
def test_pieces_decode_to_the_frames_of_the_file(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = make_video(tmp_path / name, frames=32, **{"gop": 6, **options})
    # In the middle of groups, at keyframes, one frame alone, and at the end.
    whole, pieces, errors = pieces_of(path, [5, 6, 7, 17, 24, 28])
    assert len(whole) == (29 if name == "edit.mp4" else 32)
    assert_equal(pieces, whole)
    assert errors == 0


def test_a_piece_is_a_piece(tmp_path: Path) -> None:
    path = make_video(tmp_path / "in.mp4", frames=96, gop=8, bframes=2)
    reader = VideoReader(path)
    times = reader.timeline.pts
    excerpt = cut_excerpt(reader, times[48], times[56])
    assert len(excerpt.packets) < 40  # of 96: from two keyframes before, to a few frames behind
    assert excerpt.timeline.pts == times[48:56]
    assert 0 < excerpt.nbytes < path.stat().st_size / 2


@pytest.mark.parametrize(
    "clip",
    [BUNNY, SHARED / "coffee_426x240_vfr_h264_aac.mp4", SHARED / "dog_320x180_hevc10.mp4"],
    ids=lambda clip: clip.name,
)
def test_real_clips(clip: Path) -> None:
    if not clip.exists():
        pytest.skip("the shared clips are not here")
    whole, pieces, errors = pieces_of(clip, [31, 77])
    assert_equal(pieces, whole)
    assert errors == 0


def test_damage_is_met_in_a_piece_as_in_the_file(tmp_path: Path) -> None:
    path = make_video(tmp_path / "in.mkv", frames=48, gop=8, size=(64, 96))
    corrupt(path)
    whole, pieces, further_errors = pieces_of(path, [16, 32])
    assert_equal(pieces, whole)
    assert further_errors == 0
    reader = VideoReader(path)
    joined(reader.batches(5))
    assert reader.errors > 0
