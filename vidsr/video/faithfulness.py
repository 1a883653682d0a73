"""How faithful an enlarged frame is to the one it was made from: reduced again, it should be the same.

An enlarged picture may hold whatever the input leaves open. What it may not do is contradict the input:
reduced to the input's size it must give the input back. The PSNR between the two is the consistency
measure of the super-resolution literature, "LR-PSNR" (A. Lugmayr, M. Danelljan, R. Timofte, "NTIRE 2021
Learning the Super-Resolution Space Challenge", CVPRW 2021, which demands 45 dB of a method before
anything is compressed). No reference in high resolution is needed, so it can be had of every frame.

Luma is reduced by the antialiased bicubic filter of `resample`, with which "LR-PSNR" is defined, and
chroma by the same with the samples where the siting says. Errors are mean squares in codes of 8-bit
limited range, luma and chroma apart, whatever depth and range the planes have; so PSNR has the peak and
the scale that it has everywhere else in super-resolution (peak 255, luma 16 to 235).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidsr.frames import ColorSpec, FrameBatch
from vidsr.video.banded import Banded
from vidsr.video.color import to_planes, to_rgb, to_signal
from vidsr.video.frame_score import AREA_PX, FrameScore
from vidsr.video.resize_taps import resize_taps

Floats: TypeAlias = NDArray[np.float32]

LUMA_CODES, CHROMA_CODES = 219.0, 224.0
"""Codes that the signal's 0 to 1, and -1/2 to 1/2, take in 8-bit limited range (H.273, section 8.3)."""

CARRIER = ColorSpec(matrix="bt709", depth=16, subsampling=(1, 1))
"""In which frames are compared that have no luma of their own: RGB."""


def comparable(source: FrameBatch, target: ColorSpec) -> FrameBatch:
    """Frames of the input in the planes in which output of the colour `target` can be compared.

    These are its own planes where both are YUV, or gray, of one matrix and layout, at any range and
    depth. Otherwise they go through RGB, as they went through the network.
    """
    carrier = CARRIER if target.matrix == "rgb" else target
    if _layout(source.color) == _layout(carrier):
        return source
    exact = replace(carrier, depth=16, alpha=False)
    return replace(source, planes=to_planes(to_rgb(source), exact), color=exact)


def score(source: FrameBatch, enlarged: FrameBatch) -> FrameScore:
    """Reduce one enlarged frame to the size of the frame it was made from, and compare.

    `source` is what `comparable` gave for the colour of `enlarged`; both hold one frame, on the host.
    """
    if enlarged.color.matrix == "rgb":
        enlarged = _reduced_rgb(enlarged, source.size)
    color = enlarged.color
    luma = _reduced_luma(enlarged.planes[0], color, source.size)
    luma -= to_signal(source.planes[0], source.color)
    luma *= LUMA_CODES
    squares = np.square(luma, out=luma)
    row, column, worst = _worst_area(squares[0])
    chroma = None
    if color.matrix != "gray":
        chroma = 0.0
        for plane, wanted in zip(enlarged.planes[1:3], source.planes[1:3], strict=True):
            reduced = _reduced_chroma(plane, color, enlarged.size, source.size, wanted.shape)
            reduced -= to_signal(wanted, source.color, chroma=True)
            reduced *= CHROMA_CODES
            chroma += float(np.square(reduced, out=reduced).mean()) / 2
    return FrameScore(float(squares.mean()), chroma, worst, row, column)


def _layout(color: ColorSpec) -> tuple[object, ...]:
    siting = None if color.subsampling == (1, 1) else color.siting
    return color.matrix, color.subsampling if color.matrix != "gray" else None, siting


def _reduced_luma(plane: NDArray[Any], color: ColorSpec, size: tuple[int, int]) -> Floats:
    """Signal (1, *size) of a plane (1, H, W) of luma, R, G or B, not rounded to codes."""
    full = int(plane.shape[1]), int(plane.shape[2])
    signal: Floats = to_signal(_reduced(plane, full, size, size, (0.0, 0.0)), color)
    return signal


def _reduced_rgb(enlarged: FrameBatch, size: tuple[int, int]) -> FrameBatch:
    """An RGB frame at `size`, in CARRIER; to reduce first comes to the same, and is cheaper."""
    signals = [_reduced_luma(plane, enlarged.color, size) for plane in enlarged.planes[:3]]
    planes = to_planes(np.stack(signals, axis=-1).clip(0, 1), CARRIER)
    return replace(enlarged, planes=planes, color=CARRIER)


def _reduced_chroma(
    plane: NDArray[Any],
    color: ColorSpec,
    full: tuple[int, int],
    size: tuple[int, int],
    wanted: tuple[int, ...],
) -> Floats:
    """Signal of the shape `wanted`, (1, h, w), of a chroma plane of a frame of `full` luma pixels.

    Where chroma lies on the first luma sample of its block, not in the middle, the same is so in the
    reduced frame, which is another place: with s luma pixels to one and blocks of k, sample i is found
    at s i + (s - 1) / (2 k), and not at s i + (s - 1) / 2.
    """
    cosited = (color.siting in ("topleft", "top"), color.siting in ("topleft", "left"))
    down, across = (
        (full[axis] / size[axis] - 1) / 2 * (1 / block - 1) if on_first else 0.0
        for axis, (block, on_first) in enumerate(zip(color.subsampling, cosited, strict=True))
    )
    reduced = _reduced(plane, full, size, wanted[1:], (down, across))
    signal: Floats = to_signal(reduced, color, chroma=True)
    return signal


def _reduced(
    plane: NDArray[Any],
    full: tuple[int, int],
    size: tuple[int, int],
    wanted: Sequence[int],
    shift: tuple[float, float],
) -> Floats:
    """Codes (1, *wanted), not rounded, of a plane (1, H, W), where frames go from `full` to `size`."""
    down, across = (
        _filter(int(plane.shape[axis + 1]), wanted[axis], size[axis] / full[axis], shift[axis])
        for axis in (0, 1)
    )
    # Columns first: their matrices are products with whole rows, and what is left is small.
    return across.across(down.down(plane[0]))[None]


@lru_cache(maxsize=16)
def _filter(length: int, out: int, factor: float, shift: float) -> Banded:
    return Banded(*resize_taps(length, out, factor, "bicubic", True, shift))


def _worst_area(squares: Floats) -> tuple[int, int, float]:
    """(row, column, mean) of the area of AREA_PX in which squares (H, W) are greatest on average."""
    height, width = squares.shape
    down, across = _areas(height), _areas(width)
    means = across.across(down.down(squares))
    place = int(means.argmax())
    row, column = divmod(place, across.length)
    return row * height // down.length, column * width // across.length, float(means.flat[place])


@lru_cache(maxsize=16)
def _areas(length: int) -> Banded:
    """Means over about AREA_PX samples each, side by side; neighbours may have a sample in common."""
    count = math.ceil(length / AREA_PX)
    firsts = np.arange(count) * length // count
    sizes = -(-(np.arange(count) + 1) * length // count) - firsts
    places = firsts[:, None] + np.arange(sizes.max())
    weights = np.where(np.arange(sizes.max()) < sizes[:, None], 1 / sizes[:, None], 0.0)
    return Banded(places.clip(max=length - 1), weights)
