"""Colour without tags: written as whoever reads it guesses."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from vidsr.frames import ColorSpec, VideoInfo
from vidsr.video.color_tags import h273_tags, resolve_color
from vidsr.video.untagged import guessable

SMALL, LARGE = (576, 720), (720, 1280)


def info(size: tuple[int, int]) -> VideoInfo:
    return VideoInfo(size[1], size[0], Fraction(1, 25), Fraction(25), None, ColorSpec())


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("levels", ["limited", "full"])
@pytest.mark.parametrize("told", [False, True])
def test_the_guess_of_whoever_reads_it_is_right(
    size: tuple[int, int], matrix: str, levels: str, told: bool
) -> None:
    color = replace(ColorSpec(), matrix=matrix, range=levels, siting="center")
    written, notices = guessable(info(size), color, "yuv420p", range_is_told=told)
    read = resolve_color(
        pixel_format="yuv420p",
        width=size[1],
        height=size[0],
        color_range=h273_tags(written).range if told else 0,
        codec="rawvideo",
    )
    assert (written.matrix, written.range, written.siting) == (read.matrix, read.range, read.siting)
    assert len(notices) == (written.matrix != matrix) + (written.range != levels)
    assert written.range == levels or not told


def test_a_siting_that_can_be_told_stays() -> None:
    color = replace(ColorSpec(), siting="topleft")
    assert guessable(info(SMALL), color, "yuv420p", sitings_told=("topleft",))[0].siting == "topleft"
    assert guessable(info(SMALL), color, "yuv420p", sitings_told=("left",))[0].siting == "left"


def test_nobody_guesses_hdr_so_it_is_kept_and_named() -> None:
    color = ColorSpec(matrix="bt2020", primaries=9, transfer=16, depth=10)
    written, notices = guessable(info(LARGE), color, "yuv420p10le", range_is_told=True)
    assert (written.matrix, written.transfer) == ("bt2020", 16)
    (notice,) = notices
    assert "-colorspace bt2020nc -color_primaries bt2020 -color_trc smpte2084" in notice
    assert "--format matroska" in notice
