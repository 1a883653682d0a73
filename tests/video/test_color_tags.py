"""What untagged and half-tagged pictures are taken to be."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from vidsr.errors import InputError
from vidsr.frames import ColorSpec, Matrix, Range, Siting
from vidsr.video import color

YUV: tuple[Matrix, ...] = ("bt601", "bt709", "bt2020", "smpte240m", "fcc")
RANGES: tuple[Range, ...] = get_args(Range)


def test_tags_name_the_resolved_colour() -> None:
    assert color.h273_tags(ColorSpec()) == (1, 1, 1, 1)
    assert color.h273_tags(ColorSpec(matrix="bt601", primaries=5, transfer=6)) == (5, 5, 6, 1)
    assert color.h273_tags(ColorSpec(matrix="bt601", primaries=6, transfer=6)) == (6, 6, 6, 1)
    assert color.h273_tags(ColorSpec(matrix="rgb", transfer=13, range="full")) == (0, 1, 13, 2)
    # What is tagged is resolved to the same again.
    for matrix, levels in product(YUV, RANGES):
        spec = ColorSpec(matrix=matrix, primaries=9, transfer=16, range=levels, siting="topleft")
        tags = color.h273_tags(spec)
        again = color.resolve_color(
            pixel_format=color.pixel_format_name(spec),
            width=720,
            height=576,
            matrix=tags.matrix,
            primaries=tags.primaries,
            transfer=tags.transfer,
            color_range=tags.range,
            siting="topleft",
        )
        assert again == spec


@pytest.mark.parametrize(
    ("size", "matrix", "primaries", "transfer"),
    [
        ((1920, 1080), "bt709", 1, 1),
        ((1280, 536), "bt709", 1, 1),  # wide screen cut to its picture
        ((1024, 720), "bt709", 1, 1),
        ((720, 576), "bt601", 5, 6),
        ((720, 480), "bt601", 6, 6),
        ((720, 486), "bt601", 6, 6),
        ((640, 360), "bt601", 1, 1),
        ((320, 180), "bt601", 1, 1),
    ],
)
def test_untagged_video_is_resolved_by_size(
    size: tuple[int, int], matrix: Matrix, primaries: int, transfer: int
) -> None:
    spec = color.resolve_color(pixel_format="yuv420p", width=size[0], height=size[1], codec="h264")
    assert spec == ColorSpec(matrix, primaries, transfer, "limited", 8, (2, 2), "left")


def resolve(pixel_format: str, codec: str = "", siting: Siting | None = None, **tags: int) -> ColorSpec:
    return color.resolve_color(
        pixel_format=pixel_format, width=640, height=480, codec=codec, siting=siting, **tags
    )


def test_tags_win_over_guesses() -> None:
    spec = resolve("yuv420p10le", "hevc", "topleft", matrix=9, primaries=9, transfer=16, color_range=1)
    assert spec == ColorSpec("bt2020", 9, 16, "limited", 10, (2, 2), "topleft")
    assert resolve("yuv444p", matrix=1, primaries=6).primaries == 6
    assert resolve("yuv420p", color_range=2).range == "full"


def test_partial_tags_are_completed() -> None:
    assert resolve("yuv420p10le", primaries=9).matrix == "bt2020"
    assert resolve("yuv420p10le", transfer=18) == ColorSpec("bt2020", 9, 18, depth=10)
    assert resolve("yuv420p10le", matrix=9).transfer == 14
    assert resolve("yuv420p12le", matrix=9).transfer == 15
    assert resolve("yuv420p", matrix=7).primaries == 7
    # Reserved code points, and the matrix of RGB on planes of YUV, say nothing.
    assert resolve("yuv420p", matrix=3, primaries=0, transfer=3) == resolve("yuv420p")
    assert resolve("yuv420p", matrix=0) == resolve("yuv420p")


def test_ranges_that_formats_and_codecs_imply() -> None:
    assert resolve("yuvj420p", "h264").range == "full"
    assert resolve("yuvj420p", color_range=1).range == "full"
    assert resolve("yuv420p", "mjpeg").range == "full"
    assert resolve("yuv420p", "webp").range == "limited"
    assert resolve("gray", "png").range == "full"
    assert resolve("gray10le", "hevc").range == "limited"
    assert resolve("gray", color_range=1).range == "limited"
    rgb = resolve("bgra", "png", matrix=1, color_range=1)
    assert rgb == ColorSpec("rgb", 1, 13, "full", 8, (1, 1), "left", alpha=True)


def test_jpeg_is_bt601_at_every_size() -> None:
    spec = color.resolve_color(pixel_format="yuvj422p", width=4000, height=3000, codec="mjpeg")
    assert spec == ColorSpec("bt601", 1, 1, "full", 8, (1, 2), "center")


@pytest.mark.parametrize(
    ("pixel_format", "codec", "siting"),
    [
        ("yuv420p", "h264", "left"),
        ("yuvj420p", "h264", "left"),  # telephones: full range, but H.264's place
        ("yuv420p", "hevc", "left"),
        ("yuv420p", "mpeg2video", "left"),
        ("yuv420p", "mpeg4", "left"),
        ("yuv420p", "mpeg1video", "center"),
        ("yuvj420p", "mjpeg", "center"),
        ("yuv420p", "webp", "center"),
        ("yuv420p", "vp9", "left"),
        ("yuv420p", "dvvideo", "topleft"),
        ("yuv422p10le", "prores", "left"),
        ("yuv444p", "mjpeg", "left"),
    ],
)
def test_untagged_siting(pixel_format: str, codec: str, siting: Siting) -> None:
    assert resolve(pixel_format, codec).siting == siting


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(InputError, match="ICtCp"):
        resolve("yuv420p10le", matrix=14)
    for name in ("grayf32le", "bayer_rggb8", "xyz12le", "cuda", "nonsense"):
        with pytest.raises(InputError, match=name):
            resolve(name)
