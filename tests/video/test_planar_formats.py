"""Pixel formats: FFmpeg knows each by the same name and layout, and converts to it without loss."""

from __future__ import annotations

import av
import numpy as np
import pytest

from vidsr.errors import InputError
from vidsr.frames import ColorSpec
from vidsr.video.planar_formats import (
    PlanarFormat,
    ffmpeg_plane_order,
    parse_pixel_format,
    pixel_format_name,
)


def supported() -> dict[str, PlanarFormat]:
    """Every format of this FFmpeg that vidsr takes."""
    found = {}
    for name in sorted(av.video.format.names):
        try:
            found[name] = parse_pixel_format(name)
        except InputError:
            continue
    return found


SUPPORTED = supported()
CONVERTED = [name for name, planar in SUPPORTED.items() if planar.name != name]
# What has no way back from planar without dither or a colour conversion is tested by value below.
ONE_WAY = {
    "monow",
    "monob",
    "pal8",
    "ya8",
    "ya16le",
    "ya16be",
    "rgb565le",
    "bgr565le",
    "rgb555le",
    "bgr555le",
}


def samples(frame: av.VideoFrame) -> list[np.ndarray]:
    depth = parse_pixel_format(frame.format.name).depth
    kind = np.dtype("u1") if depth == 8 else np.dtype("<u2")
    return [
        np.frombuffer(plane, np.uint8)
        .reshape(plane.height, plane.line_size)[:, : plane.width * kind.itemsize]
        .copy()
        .view(kind)
        for plane in frame.planes
    ]


def packed(name: str, rows: np.ndarray, width: int) -> av.VideoFrame:
    """A frame of one plane from its bytes, (height, bytes a row)."""
    frame = av.VideoFrame(width, rows.shape[0], name)
    plane = frame.planes[0]
    padded = np.zeros((plane.height, plane.line_size), np.uint8)
    padded[:, : rows.shape[1]] = rows
    plane.update(padded.tobytes())
    return frame


def noise(name: str, width: int = 32, height: int = 16) -> av.VideoFrame:
    depth = parse_pixel_format(name).depth
    generator = np.random.default_rng(5)
    frame = av.VideoFrame(width, height, name)
    for plane in frame.planes:
        values = generator.integers(0, 1 << depth, (plane.height, plane.width))
        data = values.astype("u1" if depth == 8 else "<u2").view(np.uint8)
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : data.shape[1]] = data
        plane.update(padded.tobytes())
    return frame


def test_the_usual_formats_are_there() -> None:
    assert len(SUPPORTED) > 150
    assert {"yuv420p", "yuvj420p", "nv12", "p010le", "yuyv422", "rgb24", "pal8", "gbrp10le"} <= set(
        SUPPORTED
    )


@pytest.mark.parametrize("name", sorted({planar.name for planar in SUPPORTED.values()}))
def test_planar_formats_are_what_ffmpeg_says(name: str) -> None:
    planar = parse_pixel_format(name)
    assert planar.name == name
    theirs = av.VideoFormat(name, 32, 32)
    parts = theirs.components
    assert len({part.plane for part in parts}) == len(parts)
    assert {part.bits for part in parts} == {planar.depth}
    assert theirs.is_rgb == (planar.family == "rgb")
    assert len(parts) == (1 if planar.family == "gray" else 3) + planar.alpha
    if planar.family != "gray":
        assert planar.subsampling == (32 // parts[1].height, 32 // parts[1].width)


@pytest.mark.parametrize("name", [name for name in CONVERTED if name not in ONE_WAY])
def test_conversion_to_planar_loses_nothing(name: str) -> None:
    planar = noise(SUPPORTED[name].name)
    again = planar.reformat(format=name, threads=1).reformat(format=planar.format.name, threads=1)
    for ours, theirs in zip(samples(again), samples(planar), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(("name", "bits"), [("rgb565le", (5, 6, 5)), ("rgb555le", (5, 5, 5))])
def test_short_rgb_is_widened_to_the_full_scale(name: str, bits: tuple[int, int, int]) -> None:
    values = np.random.default_rng(6).integers(0, 1 << sum(bits), (16, 32)).astype("<u2")
    for stored, order in ((name, (0, 1, 2)), (name.replace("rgb", "bgr"), (2, 1, 0))):
        planar = parse_pixel_format(stored)
        frame = packed(stored, values.view(np.uint8), 32).reformat(format=planar.via, threads=1)
        green, blue, red = samples(frame.reformat(format=planar.name, threads=1))
        shift = 0
        # The last letter of the name has the lowest bits.
        for channel in reversed(order):
            width = bits[channel]
            code = (values >> shift) & ((1 << width) - 1)
            widened = (code << (8 - width)) | (code >> (2 * width - 8))
            assert np.array_equal((red, green, blue)[channel], widened)
            shift += width


@pytest.mark.parametrize(
    ("name", "planar", "kind"), [("ya8", "gbrap", "u1"), ("ya16le", "gbrap16le", "<u2")]
)
def test_gray_with_alpha_becomes_rgb_with_alpha(name: str, planar: str, kind: str) -> None:
    assert parse_pixel_format(name).name == planar
    values = np.random.default_rng(7).integers(0, 256, (16, 64 * np.dtype(kind).itemsize)).astype("u1")
    frame = packed(name, values, 32).reformat(format=planar, threads=1)
    gray, alpha = values.view(kind)[:, ::2], values.view(kind)[:, 1::2]
    for ours, theirs in zip(samples(frame), (gray, gray, gray, alpha), strict=True):
        assert np.array_equal(ours, theirs)


def test_palettes_and_single_bits_are_looked_up() -> None:
    generator = np.random.default_rng(8)
    places = generator.integers(0, 256, (16, 32)).astype(np.uint8)
    palette = generator.integers(0, 256, (256, 4)).astype(np.uint8)  # alpha, red, green, blue
    frame = av.VideoFrame.from_ndarray((places, palette), format="pal8").reformat(
        format="gbrap", threads=1
    )
    for ours, channel in zip(samples(frame), (2, 3, 1, 0), strict=True):
        assert np.array_equal(ours, palette[places][..., channel])
    bits = generator.integers(0, 256, (16, 4)).astype(np.uint8)
    lit = np.unpackbits(bits, axis=1) * 255
    assert np.array_equal(samples(packed("monob", bits, 32).reformat(format="gray", threads=1))[0], lit)
    assert np.array_equal(
        samples(packed("monow", bits, 32).reformat(format="gray", threads=1))[0], 255 - lit
    )


def test_older_names_of_full_range_are_not_converted() -> None:
    planar = parse_pixel_format("yuvj422p")
    assert planar.name == "yuvj422p"
    assert planar.full_range
    assert not parse_pixel_format("yuv422p").full_range


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (ColorSpec(depth=10), "yuv420p10le"),
        (ColorSpec(subsampling=(1, 1), depth=12, alpha=True), "yuva444p12le"),
        (ColorSpec(subsampling=(1, 4)), "yuv411p"),
        (ColorSpec(subsampling=(4, 4)), "yuv410p"),
        (ColorSpec(subsampling=(2, 1), depth=12), "yuv440p12le"),
        (ColorSpec("rgb", subsampling=(1, 1)), "gbrp"),
        (ColorSpec("rgb", subsampling=(1, 1), depth=16, alpha=True), "gbrap16le"),
        (ColorSpec("gray"), "gray"),
        (ColorSpec("gray", depth=10), "gray10le"),
    ],
)
def test_names_of_planes(spec: ColorSpec, name: str) -> None:
    assert pixel_format_name(spec) == name
    planar = parse_pixel_format(name)
    assert (planar.depth, planar.alpha) == (spec.depth, spec.alpha)


def test_planes_without_a_format_are_an_error() -> None:
    for spec in (
        ColorSpec("gray", alpha=True),
        ColorSpec(subsampling=(1, 4), depth=10),
        ColorSpec(depth=11),
    ):
        with pytest.raises(ValueError, match="no planar pixel format"):
            pixel_format_name(spec)


def test_planes_of_rgb_are_in_another_order() -> None:
    red = packed("rgb24", np.tile(np.array([200, 10, 30], np.uint8), (4, 4)), 4).reformat(
        format="gbrp", threads=1
    )
    planes = samples(red)
    order = ffmpeg_plane_order(ColorSpec("rgb", subsampling=(1, 1)))
    assert [int(planes[place][0, 0]) for place in order] == [200, 10, 30]
    assert ffmpeg_plane_order(ColorSpec("rgb", alpha=True)) == (2, 0, 1, 3)
    assert ffmpeg_plane_order(ColorSpec(alpha=True)) == (0, 1, 2, 3)
    assert ffmpeg_plane_order(ColorSpec("gray")) == (0,)
