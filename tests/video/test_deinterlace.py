from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.synthetic import flat_rows, frame_numbers, make_video, picture, to_frame
from vidsr.frames import FrameBatch
from vidsr.video.reader import VideoReader

SIZE = (96, 128)


def read(reader: VideoReader, **options: int) -> list[FrameBatch]:
    return [frame for batch in reader.batches(4, **options) for frame in batch.split(1)]


def combing(batch: FrameBatch) -> float:
    """How much neighbouring rows differ, against rows two apart; far above 1 where fields are woven."""
    luma = batch.planes[0][0, flat_rows(SIZE[0]) :].astype(float)
    return float(np.abs(luma[1:] - luma[:-1]).mean() / np.abs(luma[2:] - luma[:-2]).mean())


@pytest.mark.parametrize(
    ("name", "codec", "bframes"),
    [("a.mkv", "libx264", 0), ("a.ts", "mpeg2video", 2), ("b.mov", "prores_ks", 0)],
)
def test_woven_fields_become_whole_frames_at_their_own_times(
    tmp_path: Path, name: str, codec: str, bframes: int
) -> None:
    pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    path = make_video(
        tmp_path / name, codec=codec, pix_fmt=pix_fmt, size=SIZE, interlaced=True, bframes=bframes
    )
    reader = VideoReader(path)
    assert reader.info.interlaced
    assert reader.deinterlacing
    frames = read(reader)
    assert [frame.pts[0] for frame in frames] == list(reader.timeline.pts)
    assert [frame_numbers(frame)[0] for frame in frames] == list(range(12))
    woven = read(VideoReader(path, deinterlace=False))
    assert [frame_numbers(frame)[0] for frame in woven] == list(range(12))
    assert min(combing(frame) for frame in woven) > 1.5 * max(combing(frame) for frame in frames)


def test_the_kept_field_is_the_first_one(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", codec="ffv1", size=SIZE, interlaced=True)
    frames = read(VideoReader(path))
    woven = read(VideoReader(path, deinterlace=False))
    for frame, source in zip(frames, woven, strict=True):
        kept, first = (each.planes[0][:, ::2] for each in (frame, source))
        assert np.array_equal(kept, first), "the top field is kept"
    # Frame i weaves pictures 2i (top) and 2i + 1; what comes out is close to picture 2i.
    number = 5
    top, bottom = (
        np.frombuffer(
            memoryview(to_frame(picture(2 * number + odd, *SIZE), "yuv420p").planes[0]), np.uint8
        )
        .reshape(SIZE[0], -1)[flat_rows(SIZE[0]) :, : SIZE[1]]
        .astype(float)
        for odd in (0, 1)
    )
    luma = frames[number].planes[0][0, flat_rows(SIZE[0]) :].astype(float)
    assert np.abs(luma - top).mean() < 0.5 * np.abs(luma - bottom).mean()


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "libx264"), ("a.ts", "mpeg2video"), ("a.mkv", "ffv1")]
)
def test_a_read_from_the_middle_equals_a_read_from_the_beginning(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = make_video(
        tmp_path / name,
        codec=codec,
        frames=24,
        gop=4,
        interlaced=True,
        bframes=2 if codec == "mpeg2video" else 0,
    )
    reader = VideoReader(path)
    whole = read(reader)
    for start in range(0, 24, 3):
        part = read(reader, start_pts=whole[start].pts[0])
        assert [f.pts for f in part] == [f.pts for f in whole[start:]]
        for ours, theirs in zip(part, whole[start:], strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(ours.planes, theirs.planes, strict=True))


def test_progressive_content_is_not_touched(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", codec="ffv1")
    reader = VideoReader(path)
    assert not reader.info.interlaced
    assert not reader.deinterlacing


def test_interlaced_frames_that_pass_are_counted(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", interlaced=True)
    woven, whole = VideoReader(path, deinterlace=False), VideoReader(path)
    read(woven)
    read(whole)
    assert (woven.woven, whole.woven) == (12, 0)


def test_a_single_interlaced_frame_comes_out(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", frames=1, interlaced=True)
    assert [frame_numbers(frame) for frame in read(VideoReader(path))] == [[0]]
