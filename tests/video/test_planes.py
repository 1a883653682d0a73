from __future__ import annotations

import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from tests.synthetic import picture, to_frame
from tests.video.kinds import Kind, both_kinds
from vidsr.errors import InputError
from vidsr.video.planes import FrameStack, fill_frame, planar_frame

HEIGHT, WIDTH = 6, 22


def noise(
    pixel_format: str, *, shift: int = 0
) -> tuple[VideoFrame, list[NDArray[np.uint8 | np.uint16]]]:
    """A frame of random samples, and the rows of its planes; the lowest `shift` bits are 0."""
    generator = np.random.default_rng(7)
    frame = VideoFrame(WIDTH, HEIGHT, pixel_format)
    kind = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    rows = []
    for plane in frame.planes:
        count = plane.buffer_size // np.dtype(kind).itemsize
        samples = generator.integers(0, 1 << (8 * np.dtype(kind).itemsize), count).astype(kind)
        samples = samples >> shift << shift
        plane.update(samples.tobytes())
        rows.append(samples.reshape(plane.height, -1))
    return frame, rows


def planes_of(frame: VideoFrame) -> list[NDArray[np.uint8 | np.uint16]]:
    stack = FrameStack(frame.format.name, frame.height, frame.width, 1)
    stack.add(frame)
    return [plane[0] for plane in stack.take()]


@pytest.mark.parametrize(("name", "shift"), [("nv12", 0), ("nv21", 0), ("p010le", 6), ("p016le", 0)])
def test_chroma_in_one_plane_is_taken_apart(name: str, shift: int) -> None:
    frame, (luma, chroma) = noise(name, shift=shift)
    first = 1 if name == "nv21" else 0
    y, u, v = planes_of(planar_frame(frame))
    assert np.array_equal(y, luma[:, :WIDTH] >> shift)
    assert np.array_equal(u, chroma[:, first:WIDTH:2] >> shift)
    assert np.array_equal(v, chroma[:, 1 - first : WIDTH : 2] >> shift)


def test_packed_yuv_is_taken_apart() -> None:
    frame, (rows,) = noise("yuyv422")
    y, u, v = planes_of(planar_frame(frame))
    assert np.array_equal(y, rows[:, : 2 * WIDTH : 2])
    assert np.array_equal(u, rows[:, 1 : 2 * WIDTH : 4])
    assert np.array_equal(v, rows[:, 3 : 2 * WIDTH : 4])


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("rgb24", "rgb"),
        ("bgr24", "bgr"),
        ("rgba", "rgba"),
        ("argb", "argb"),
        ("bgr0", "bgr0"),
        ("rgb48le", "rgb"),
    ],
)
def test_packed_rgb_comes_out_as_red_green_blue_alpha(name: str, order: str) -> None:
    frame, (rows,) = noise(name)
    planes = planes_of(planar_frame(frame))
    assert len(planes) == (4 if "a" in order else 3)
    for channel, plane in zip("rgba", planes, strict=False):
        expected = rows[:, order.index(channel) : len(order) * WIDTH : len(order)]
        assert np.array_equal(plane, expected)


def test_big_endian_samples_are_turned() -> None:
    frame, (rows,) = noise("gray16be")
    (gray,) = planes_of(planar_frame(frame))
    assert np.array_equal(gray, rows[:, :WIDTH].byteswap())


def test_planar_frames_are_not_copied() -> None:
    frame = to_frame(picture(0, HEIGHT, WIDTH), "yuv420p")
    assert planar_frame(frame) is frame


def test_what_has_no_planar_form_is_refused() -> None:
    with pytest.raises(InputError, match="gbrpf32le"):
        planar_frame(VideoFrame(WIDTH, HEIGHT, "gbrpf32le"))


def test_rows_longer_than_the_picture_are_cut() -> None:
    frame = to_frame(picture(0, 5, 13), "yuv420p10le")
    assert frame.planes[1].line_size > 7 * 2, "the rows are padded"
    luma, blue, _ = planes_of(frame)
    assert luma.shape == (5, 13)
    assert blue.shape == (3, 7)
    stored = np.frombuffer(memoryview(frame.planes[0]), np.uint16)
    assert np.array_equal(luma, stored.reshape(5, -1)[:, :13])


def test_a_stack_gives_what_was_added_so_far() -> None:
    stack = FrameStack("yuv420p", HEIGHT, WIDTH, 4)
    for number in (3, 5):
        stack.add(to_frame(picture(number, HEIGHT, WIDTH), "yuv420p"))
    luma, blue, red = stack.take()
    assert (luma.shape, blue.shape, red.shape) == ((2, 6, 22), (2, 3, 11), (2, 3, 11))
    assert luma.dtype == np.uint8
    assert not np.array_equal(luma[0], luma[1])


def test_a_frame_of_another_kind_does_not_fit() -> None:
    stack = FrameStack("yuv420p", HEIGHT, WIDTH, 4)
    with pytest.raises(ValueError, match="yuv422p"):
        stack.add(VideoFrame(WIDTH, HEIGHT, "yuv422p"))
    with pytest.raises(ValueError, match="24x6"):
        stack.add(VideoFrame(24, HEIGHT, "yuv420p"))


@both_kinds
@pytest.mark.parametrize("name", ["yuv420p", "gbrap", "yuv444p12le", "gray"])
def test_a_filled_frame_has_the_planes_it_was_given(name: str, kind: Kind) -> None:
    planes = planes_of(noise(name, shift=0)[0])
    frame = fill_frame(VideoFrame(WIDTH, HEIGHT, name), list(map(kind.of, planes)))
    for ours, theirs in zip(planes_of(frame), planes, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["p210le", "y210le"])
def test_a_conversion_gives_the_same_samples_every_time(name: str) -> None:
    """FFmpeg's own default, several threads, does not: one frame in ten came out otherwise."""
    frame = to_frame(picture(3, 48, 100), "yuv422p10le").reformat(format=name, threads=1)
    first = planes_of(planar_frame(frame))
    for _ in range(40):
        again = planes_of(planar_frame(frame))
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
