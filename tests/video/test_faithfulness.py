"""A frame reduced again: what contradicts the input shows, what the input leaves open does not."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vidsr.frames import ColorSpec, FrameBatch, Siting
from vidsr.video.color import to_planes, to_rgb
from vidsr.video.faithfulness import _areas, _worst_area, comparable, score
from vidsr.video.frame_score import AREA_PX, BEST_DB, FrameScore, decibels

SIZE = (32, 48)
RGB = ColorSpec("rgb", range="full", subsampling=(1, 1))


def frame(color: ColorSpec, planes: list[NDArray[Any]]) -> FrameBatch:
    """Codes (H, W), of any kind, as a batch of one frame."""
    kind = np.uint8 if color.depth == 8 else np.uint16
    stored = tuple(np.floor(plane + 0.5).astype(kind)[None] for plane in planes)
    return FrameBatch(stored, color, (0,), Fraction(1))


def ramp(color: ColorSpec, scale: int) -> FrameBatch:
    """One picture at 1 or several times SIZE: a slope in every plane, sampled where the siting says."""
    unit = 1 / scale
    down, across = color.subsampling
    first_row = color.siting in ("topleft", "top")
    first_column = color.siting in ("topleft", "left")

    def slope(
        height: int, width: int, rows: tuple[int, bool], columns: tuple[int, bool]
    ) -> NDArray[Any]:
        y, x = (
            (np.arange(length) * block + (0 if on_first else (block - 1) / 2) + 0.5) * unit - 0.5
            for length, (block, on_first) in ((height, rows), (width, columns))
        )
        codes: NDArray[Any] = (60.2 + 2 * y[:, None] + 1.5 * x[None]) * (1 << color.depth - 8)
        return codes

    height, width = SIZE[0] * scale, SIZE[1] * scale
    chroma = slope(height // down, width // across, (down, first_row), (across, first_column))
    luma = slope(height, width, (1, True), (1, True))
    return frame(color, [luma, chroma, np.flip(chroma) if down == across == 1 else chroma])


def noise(color: ColorSpec, *, seed: int = 0) -> FrameBatch:
    rgb = np.random.default_rng(seed).random((1, *SIZE, 3), np.float32)
    return FrameBatch(to_planes(rgb, color), color, (0,), Fraction(1))


def nearest(batch: FrameBatch, scale: int = 2) -> FrameBatch:
    planes = tuple(plane.repeat(scale, 1).repeat(scale, 2) for plane in batch.planes)
    return replace(batch, planes=planes)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("siting", ["left", "center", "topleft", "top"])
@pytest.mark.parametrize("subsampling", [(2, 2), (1, 2), (1, 1)])
def test_the_same_picture_at_another_size_is_the_same_picture(
    siting: Siting, subsampling: tuple[int, int], scale: int
) -> None:
    color = ColorSpec(depth=10, subsampling=subsampling, siting=siting)
    found = score(ramp(color, 1), ramp(color, scale))
    # Nothing is left but the rounding to codes of ten bits, and the mirrored edges of the slope.
    assert decibels(found.luma) > 60
    assert found.chroma is not None
    assert decibels(found.chroma) > 57


def test_an_error_of_two_codes_is_42_decibels() -> None:
    gray = [np.full(SIZE, 100.0), np.full((16, 24), 128.0), np.full((16, 24), 128.0)]
    source = frame(ColorSpec(), gray)
    brighter = nearest(frame(ColorSpec(), [gray[0] + 2, gray[1] + 1, gray[2]]))
    found = score(source, brighter)
    assert found.luma == pytest.approx(4, rel=1e-4)
    assert decibels(found.luma) == pytest.approx(42.11, abs=0.01)  # 10 log10(255^2 / 4)
    assert found.chroma == pytest.approx(0.5, rel=1e-3)  # one of the two planes is off by one
    assert score(source, nearest(source)).luma == pytest.approx(0, abs=1e-9)
    assert decibels(0) == BEST_DB


def test_the_scale_is_the_same_at_every_depth_and_range() -> None:
    """Twenty codes of 8-bit limited range, told in 12 bits and in full range."""
    for color in (ColorSpec(depth=12), ColorSpec(range="full"), ColorSpec(depth=10, range="full")):
        peak = (1 << color.depth) - 1
        unit = (1 << color.depth - 8) if color.range == "limited" else peak / 219
        gray = [np.full(SIZE, 100 * unit)] + [np.full((16, 24), 128.0 * (1 << color.depth - 8))] * 2
        brighter = [gray[0] + 20 * unit, *gray[1:]]
        found = score(frame(color, gray), nearest(frame(color, brighter)))
        assert found.luma == pytest.approx(400, rel=0.1)  # full range unscaled: 542


def test_invented_detail_shows_where_it_contradicts_the_input() -> None:
    source = noise(ColorSpec(range="full"))
    honest = nearest(source, 4)
    before = score(source, honest)
    planes = [plane.copy() for plane in honest.planes]
    planes[0][0, 16 * 4 : 24 * 4, 32 * 4 : 40 * 4] = 255  # a white square of 8x8 input pixels
    after = score(source, replace(honest, planes=tuple(planes)))
    assert after.luma > 2 * before.luma
    assert after.area > 4 * before.area
    assert after.area > 4 * after.luma  # the area tells more than the whole frame
    assert (after.area_row, after.area_column) == (AREA_PX, 2 * AREA_PX)
    assert after.chroma == before.chroma


def test_detail_that_the_input_leaves_open_costs_nothing() -> None:
    """A checkerboard of single output pixels is gone when the picture is reduced by four."""
    gray = [np.full(SIZE, 100.0), np.full((16, 24), 128.0), np.full((16, 24), 128.0)]
    source = frame(ColorSpec(), gray)
    plain = nearest(source, 4)
    rows, columns = np.indices((128, 192))
    texture = np.where((rows + columns) % 2 == 0, 20, -20)
    luma = (plain.planes[0][0] + texture).astype(np.uint8)[None]
    found = score(source, replace(plain, planes=(luma, *plain.planes[1:])))
    assert decibels(found.luma) > 60


def test_a_shift_of_colour_shows_in_chroma() -> None:
    source = noise(ColorSpec())
    honest = nearest(source)
    luma, blue, red = honest.planes
    tinted = replace(honest, planes=(luma, (blue.astype(int) + 6).astype(np.uint8), red))
    before, after = score(source, honest), score(source, tinted)
    assert after.luma == before.luma
    assert before.chroma is not None and after.chroma is not None
    assert after.chroma > before.chroma + 10


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (RGB, RGB),
        (RGB, ColorSpec(subsampling=(1, 1))),
        (ColorSpec(subsampling=(1, 1)), replace(RGB, depth=16)),
        (ColorSpec(subsampling=(1, 1)), ColorSpec("bt601", range="full", subsampling=(1, 1))),
        (ColorSpec("gray", range="full", subsampling=(1, 1)), ColorSpec(subsampling=(1, 1))),
        (ColorSpec(depth=10), ColorSpec(depth=8, subsampling=(2, 2))),
    ],
)
def test_pictures_of_different_kind_are_compared_as_what_they_show(
    source: ColorSpec, target: ColorSpec
) -> None:
    """The same content in two forms; a wrong matrix or range would cost 20 dB."""
    rgb = to_rgb(ramp(ColorSpec(subsampling=(1, 1)), 1))
    if source.matrix == "gray":
        rgb = rgb[..., :1].repeat(3, -1)
    large = rgb.repeat(2, 1).repeat(2, 2)
    lr, hr = (
        FrameBatch(to_planes(picture, color), color, (0,), Fraction(1))
        for picture, color in ((rgb, source), (large, target))
    )
    found = score(comparable(lr, target), hr)
    assert decibels(found.luma) > 44
    if found.chroma is not None:
        assert decibels(found.chroma) > 40


def test_gray_has_no_chroma() -> None:
    source = frame(ColorSpec("gray", range="full", subsampling=(1, 1)), [np.full(SIZE, 90.0)])
    found = score(comparable(source, source.color), nearest(source))
    assert found.chroma is None
    assert FrameScore.from_json(found.to_json()).chroma is None


def test_a_frame_smaller_than_an_area_is_one_area() -> None:
    planes = [np.full((5, 7), 100.0), np.full((3, 4), 128.0), np.full((3, 4), 128.0)]
    source = frame(ColorSpec(), planes)
    large = frame(ColorSpec(), [np.full((10, 14), 104.0)] + [np.full((5, 7), 128.0)] * 2)
    found = score(source, large)
    assert (found.area_row, found.area_column) == (0, 0)
    assert found.area == pytest.approx(found.luma) == pytest.approx(16, rel=1e-3)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (15, 17), (16, 32), (33, 47), (100, 250), (181, 321), (270, 480)]
)
def test_areas_are_those_that_a_network_would_pool(height: int, width: int) -> None:
    squares = np.random.default_rng(height).random((height, width), np.float32)
    down, across = _areas(height), _areas(width)
    counts = -(-height // AREA_PX), -(-width // AREA_PX)
    assert (down.length, across.length) == counts
    means = functional.adaptive_avg_pool2d(torch.from_numpy(squares)[None], counts)[0].numpy()
    assert np.abs(across.across(down.down(squares)) - means).max() < 1e-6
    row, column = divmod(int(means.argmax()), counts[1])
    found = _worst_area(squares)
    assert found[:2] == (row * height // counts[0], column * width // counts[1])
    assert found[2] == pytest.approx(means.max(), abs=1e-6)


def test_a_score_survives_the_record_with_five_digits() -> None:
    found = FrameScore(1.23456789, 0.000012345678, 123456.789, 16, 32)
    again = FrameScore.from_json(found.to_json())
    assert again == FrameScore(1.2346, 0.000012346, 123460.0, 16, 32)
    with pytest.raises((TypeError, ValueError)):
        FrameScore.from_json([1.0, 2.0])
