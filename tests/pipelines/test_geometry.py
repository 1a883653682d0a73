from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from vidsr.config import UpscaleConfig
from vidsr.errors import UsageError
from vidsr.frames import ColorSpec, VideoInfo
from vidsr.pipelines.geometry import plan_geometry

SD = VideoInfo(
    720, 576, Fraction(1, 25), Fraction(25), None, ColorSpec(), sample_aspect_ratio=Fraction(16, 15)
)


def plan(info: VideoInfo = SD, sub: tuple[int, int] = (2, 2), **values):
    return plan_geometry(UpscaleConfig(Path("a"), Path("b"), **values), info, sub)


@pytest.mark.parametrize(
    ("options", "size", "factor"),
    [
        ({}, (2304, 2880), 4),
        ({"scale": 2}, (1152, 1440), 2),
        ({"scale": 1.5}, (864, 1080), 1.5),
        ({"height": 1080}, (1080, 1350), 1.875),
        ({"width": 1920}, (1536, 1920), 1920 / 720),
        ({"scale": 1}, (576, 720), 1),
    ],
)
def test_sizes(options, size: tuple[int, int], factor: float) -> None:
    geometry = plan(**options)
    assert (geometry.height, geometry.width) == size
    assert geometry.factor == pytest.approx(factor)
    assert geometry.sample_aspect_ratio == Fraction(16, 15)


def test_stretching_keeps_the_shown_shape() -> None:
    geometry = plan(width=1440, height=1080)
    shown = Fraction(720, 576) * Fraction(16, 15)
    assert Fraction(geometry.width, geometry.height) * geometry.sample_aspect_ratio == shown


def test_odd_sides_are_rounded_where_chroma_demands_it() -> None:
    odd = VideoInfo(33, 21, Fraction(1, 25), None, None, ColorSpec())
    assert (plan(odd, scale=1.5).height, plan(odd, scale=1.5).width) == (32, 50)
    assert (plan(odd, (1, 1), scale=1.5).height, plan(odd, (1, 1), scale=1.5).width) == (32, 50)
    assert (plan(odd, (1, 1), scale=3).height, plan(odd, (1, 1), scale=3).width) == (63, 99)
    assert (plan(odd, scale=1).height, plan(odd, scale=1).width) == (22, 34)
    assert (plan(odd, scale=4).height, plan(odd, scale=4).width) == (84, 132)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"height": 500}, "smaller than the input"),
        ({"height": 3000}, "4 times is the most"),
        ({"width": 721, "height": 577}, "--height 577 cannot be had"),
    ],
)
def test_impossible_sizes_are_refused(options, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(**options)
