from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.synthetic import (
    concatenate,
    corrupt,
    decoded_pts,
    frame_numbers,
    make_video,
    picture,
    to_frame,
    truncate,
)
from vidsr.errors import InputError
from vidsr.frames import FrameBatch
from vidsr.video.decoding import Decoding
from vidsr.video.planar_formats import parse_pixel_format
from vidsr.video.planes import FrameStack
from vidsr.video.reader import VideoReader

CLIPS = Path(__file__).parents[2].parent / "shared" / "clips"

OPEN_GOP = {"x264-params": "open-gop=1:b-adapt=0:scenecut=0:keyint=6:b-pyramid=normal"}
OPEN_GOP_265 = {"x265-params": "log-level=none:open-gop=1:keyint=6:bframes=3:b-adapt=0"}
REFRESH = {"x264-params": "intra-refresh=1:keyint=6"}

SEEKABLE: list[tuple[str, dict[str, Any]]] = [
    ("closed.mp4", {}),
    ("open.mp4", {"bframes": 3, "options": OPEN_GOP}),
    ("open.mkv", {"bframes": 3, "options": OPEN_GOP}),
    ("open.ts", {"bframes": 3, "options": OPEN_GOP}),
    ("refresh.mkv", {"options": REFRESH}),
    ("edit.mp4", {"bframes": 2, "start": -3}),
    ("late.mp4", {"bframes": 2, "start": 50}),
    ("hevc.mp4", {"codec": "libx265", "bframes": 3, "options": OPEN_GOP_265}),
    ("hevc.mkv", {"codec": "libx265", "bframes": 3, "options": OPEN_GOP_265}),
    ("hevc.ts", {"codec": "libx265", "bframes": 3, "options": OPEN_GOP_265}),
    ("mpeg2.mpg", {"bframes": 2}),
    ("mpeg2.ts", {"codec": "mpeg2video", "bframes": 2}),
    ("mpeg2.mkv", {"codec": "mpeg2video", "bframes": 2}),
    ("vp9.webm", {}),
    ("av1.mkv", {"codec": "libsvtav1", "size": (64, 64)}),
    ("mpeg4.avi", {}),
    ("prores.mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}),
]


def joined(batches: Iterable[FrameBatch]) -> FrameBatch:
    """All frames in one batch."""
    parts = list(batches)
    return FrameBatch(
        tuple(np.concatenate(planes) for planes in zip(*(part.planes for part in parts), strict=True)),
        parts[0].color,
        tuple(pts for part in parts for pts in part.pts),
        parts[0].time_base,
        tuple(duration for part in parts for duration in part.durations),
    )


def same(ours: FrameBatch, theirs: FrameBatch, start: int, stop: int | None = None) -> bool:
    """Whether `ours` holds frames start to stop of `theirs`, bit for bit, with their times."""
    part = slice(start, stop)
    return ours.pts == theirs.pts[part] and all(
        np.array_equal(a, b[part]) for a, b in zip(ours.planes, theirs.planes, strict=True)
    )


@pytest.mark.parametrize(("name", "options"), SEEKABLE, ids=[name for name, _ in SEEKABLE])
def test_a_read_from_anywhere_equals_a_read_from_the_beginning(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = make_video(tmp_path / name, frames=32, **{"gop": 6, **options})
    reader = VideoReader(path)
    whole = joined(reader.batches(5))
    assert whole.pts == reader.timeline.pts
    first = 3 if name == "edit.mp4" else 0
    assert frame_numbers(whole) == list(range(first, 32))
    count = len(whole)
    for start in (1, count // 3, count // 2, count - 2, count - 1):
        assert same(joined(reader.batches(4, start_pts=whole.pts[start])), whole, start)
    middle = joined(reader.batches(4, start_pts=whole.pts[17], end_pts=whole.pts[21]))
    assert same(middle, whole, 17, 21)
    assert reader.errors == 0
    if name.endswith(".mpg"):
        return  # after a seek its times are guesses: found out, and read from the beginning
    with Decoding(path, 0) as decoding:
        late = decoding.packets_from(whole.pts[-1], reader.timeline)
        assert late is not None, "a seek was possible"
        assert next(late).pts >= whole.pts[count // 3], "and spared most of the file"


@pytest.mark.parametrize("name", ["a.h264", "a.avi"])
def test_missing_times_are_the_same_wherever_reading_begins(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, codec="libx264", frames=30, bframes=2, gop=8)
    reader = VideoReader(path)
    whole = joined(reader.batches(7))
    assert frame_numbers(whole) == list(range(30))
    assert [pts * whole.time_base for pts in whole.pts] == [Fraction(i, 25) for i in range(30)]
    for start in (1, 13, 29):
        assert same(joined(reader.batches(4, start_pts=whole.pts[start])), whole, start)


def test_repeated_times_are_the_same_wherever_reading_begins(tmp_path: Path) -> None:
    pts = [0, 40, 40, 40, 80, *range(120, 1120, 40)]
    path = make_video(tmp_path / "a.mkv", frames=30, pts=pts, time_base=Fraction(1, 1000), gop=4)
    reader = VideoReader(path)
    whole = joined(reader.batches(7))
    assert whole.pts == reader.timeline.pts == (0, 40, 41, 42, 80, *range(120, 1120, 40))
    assert frame_numbers(whole) == list(range(30))
    for start in (2, 3, 20):
        assert same(joined(reader.batches(4, start_pts=whole.pts[start])), whole, start)


def test_batches_end_at_cuts_and_at_their_size(tmp_path: Path) -> None:
    reader = VideoReader(make_video(tmp_path / "a.mkv", frames=20))
    pts = reader.timeline.pts
    lengths = [len(batch) for batch in reader.batches(6, cuts=[pts[4], pts[5], pts[12] - 1])]
    assert lengths == [4, 1, 6, 1, 6, 2]
    lengths = [
        len(b) for b in reader.batches(50, start_pts=pts[3], end_pts=pts[9], cuts=[pts[3], pts[7]])
    ]
    assert lengths == [4, 2]


def test_segments_read_apart_are_the_whole(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30, bframes=3, options=OPEN_GOP)
    reader = VideoReader(path)
    whole = joined(reader.batches(30))
    borders = [None, *(whole.pts[i] for i in (7, 14, 22)), None]
    parts = [joined(VideoReader(path).batches(4, start_pts=a, end_pts=b)) for a, b in pairwise(borders)]
    assert same(joined(parts), whole, 0)


def test_two_reads_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    reader = VideoReader(make_video(tmp_path / "a.mp4", frames=20, bframes=2))
    pairs = list(zip(reader.batches(3), reader.batches(3), strict=True))
    assert all(same(a, b, 0) for a, b in pairs)
    assert sum(len(a) for a, _ in pairs) == 20


def test_frames_carry_their_durations(tmp_path: Path) -> None:
    reader = VideoReader(make_video(tmp_path / "a.mp4", bframes=2))
    batch = joined(reader.batches(5))
    assert {duration * batch.time_base for duration in batch.durations} == {Fraction(1, 25)}


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        ("ffv1", "yuv444p", ".mkv"),
        ("ffv1", "yuv420p", ".mkv"),
        ("ffv1", "yuv422p10le", ".mkv"),
        ("ffv1", "yuv444p12le", ".mkv"),
        ("ffv1", "yuva420p", ".mkv"),
        ("ffv1", "gbrp10le", ".mkv"),
        ("ffv1", "bgr0", ".mkv"),
        ("rawvideo", "nv12", ".mkv"),
        ("rawvideo", "yuyv422", ".avi"),
        ("rawvideo", "bgr24", ".avi"),
        ("rawvideo", "gray16le", ".nut"),
    ],
)
def test_every_sample_of_a_lossless_codec_arrives(
    tmp_path: Path, codec: str, pix_fmt: str, suffix: str
) -> None:
    size = (35, 37) if codec == "ffv1" else (36, 38)
    path = make_video(tmp_path / f"a{suffix}", codec=codec, pix_fmt=pix_fmt, size=size, frames=5)
    reader = VideoReader(path)
    batch = joined(reader.batches(2))
    planar = parse_pixel_format(pix_fmt)
    assert batch.size == size
    assert batch.color.depth == planar.depth
    assert batch.color.subsampling == planar.subsampling
    assert batch.color.alpha == planar.alpha
    source = to_frame(picture(3, *size), pix_fmt)
    stack = FrameStack(planar.name, *size, 1)
    stack.add(source if pix_fmt == planar.name else source.reformat(format=planar.name, threads=1))
    for plane, expected in zip(batch.planes, stack.take(), strict=True):
        assert np.array_equal(plane[3], expected[0])


def test_one_frame_and_a_batch_larger_than_the_video(tmp_path: Path) -> None:
    reader = VideoReader(make_video(tmp_path / "a.mp4", frames=1))
    assert [(len(b), b.pts) for b in reader.batches(64)] == [(1, (0,))]
    assert list(reader.batches(1, start_pts=reader.timeline.end)) == []


def test_truncated_mp4_gives_all_that_is_left(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mp4", frames=40, bframes=2, container_options={"movflags": "faststart"}
    )
    whole = joined(VideoReader(path).batches(8))
    truncate(path, 0.5)
    reader = VideoReader(path)
    left = joined(reader.batches(8))
    assert reader.errors > 0
    # All but the frames of the packet that is cut; also the ones that the decoder still held back.
    assert reader.timeline.count - len(left) <= 1
    numbers = frame_numbers(left)
    assert numbers == list(range(len(numbers)))
    assert same(left, whole, 0, len(left))
    late = left.pts[-2]
    assert same(joined(reader.batches(8, start_pts=late)), left, len(left) - 2)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mkv", {"bframes": 2}),
        ("a.mp4", {"bframes": 2}),
        ("a.ts", {"bframes": 2}),
        ("a.avi", {}),
        ("b.avi", {"codec": "libx264", "bframes": 2}),
        ("a.mpg", {"bframes": 2}),
        ("b.mkv", {"codec": "ffv1"}),
        ("c.mkv", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ],
)
def test_reading_goes_on_behind_damage(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path = make_video(tmp_path / name, frames=60, gop=10, size=(96, 128), **options)
    whole = joined(VideoReader(path).batches(8))
    corrupt(path, at=0.4, length=3000)
    reader = VideoReader(path)
    batch = joined(reader.batches(8))
    if name != "b.avi":  # the decoder of H.264 hides damage without a word
        assert reader.errors + reader.timeline.gaps > 0, "the damage was noticed"
    assert len(batch) > 40
    # The last group of pictures is far behind the damage: same frames at the same times.
    assert frame_numbers(batch)[-10:] == list(range(50, 60))
    if not name.endswith(".avi"):  # there times come from counting packets, of which some are gone
        assert batch.pts[-10:] == whole.pts[-10:]


def test_a_size_that_changes_in_the_middle_is_refused_with_its_time(tmp_path: Path) -> None:
    first = make_video(tmp_path / "a.ts", frames=10)
    second = make_video(tmp_path / "b.ts", frames=10, size=(64, 96))
    reader = VideoReader(concatenate(tmp_path / "c.ts", [first, second]))
    with pytest.raises(InputError, match=r"c\.ts.*from 64x48 to 96x64 at 0\.[34]\d\d s"):
        list(reader.batches(4))


def test_a_range_that_changes_in_the_middle_is_converted_and_counted(tmp_path: Path) -> None:
    first = make_video(tmp_path / "a.h264", frames=10, matrix=6, range=1)
    second = make_video(tmp_path / "b.h264", frames=range(10, 20), matrix=1, range=2)
    reader = VideoReader(concatenate(tmp_path / "c.h264", [first, second]))
    batch = joined(reader.batches(4))
    assert (batch.color.matrix, batch.color.range) == ("bt601", "limited")
    assert frame_numbers(batch) == list(range(20))
    assert reader.converted == 10


def test_the_chosen_stream_is_read(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", frames=6, extra_videos=[4], audio=1)
    second = VideoReader(path, video_stream=1)
    assert second.info.stream_index == 1
    assert frame_numbers(joined(second.batches(8))) == [100, 101, 102, 103]
    assert VideoReader(path).info.stream_index == 0


def test_what_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi", codec="mjpeg", pix_fmt="yuvj420p", frames=3)
    data = bytearray(path.read_bytes())
    start = data.index(b"movi")
    end = data.index(b"idx1")
    at = start
    while (at := data.find(b"00dc", at, end)) >= 0:  # every frame's bytes become noise
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        data[at + 8 : at + 8 + size] = bytes(size)
        at += 8 + size
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="decoded"):
        list(VideoReader(path).batches(2))


@pytest.mark.parametrize(
    "name",
    [
        "bunny_320x180_h264_aac.mp4",
        "coffee_426x240_vfr_h264_aac.mp4",
        "dog_320x180_hevc10.mp4",
        "flower_480x270_h264_aac_subs_chapters.mp4",
        "nasa_320x180_480x270_2video_2audio_2subs.mp4",
    ],
)
def test_real_clips_keep_every_time_and_read_the_same_from_the_middle(name: str) -> None:
    path = CLIPS / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    reader = VideoReader(path)
    assert list(reader.timeline.pts) == decoded_pts(path)
    pts = reader.timeline.pts
    middle = len(pts) // 2
    near = joined(reader.batches(4, start_pts=pts[middle], end_pts=pts[middle + 4]))
    early = joined(reader.batches(4, start_pts=pts[middle - 30], end_pts=pts[middle + 4]))
    assert same(near, early, 30)
