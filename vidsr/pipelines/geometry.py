"""How large the output gets, and which native factor makes it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from vidsr.config import UpscaleConfig
from vidsr.errors import UsageError
from vidsr.frames import VideoInfo

DEFAULT_SCALE = 4
MOST = 4
"""The largest factor: what the generators are trained for."""

STRETCH_TOLERANCE = Fraction(1, 100)
"""A change of shape below this comes from rounding to whole pixels and leaves the pixel shape alone."""


@dataclass(frozen=True)
class Geometry:
    """Size of the output and how it comes about."""

    height: int
    width: int
    factor: float  # of the longer stretch: what the network must reach at least
    sample_aspect_ratio: Fraction


def plan_geometry(config: UpscaleConfig, info: VideoInfo, subsampling: tuple[int, int]) -> Geometry:
    """The exact output size that the options ask for, in pixels.

    Sides are rounded to what the output's chroma subsampling (vertical, horizontal) demands. Giving both
    width and height may stretch the picture; the shape of its pixels then changes so that it is shown as
    before. Raises UsageError where the output would be smaller than the input, or over four times as
    large.
    """
    if config.width is None and config.height is None:
        factor = Fraction(config.scale or DEFAULT_SCALE).limit_denominator(10_000)
        wanted = info.height * factor, info.width * factor
    elif config.width is None:
        assert config.height is not None
        wanted = Fraction(config.height), Fraction(info.width * config.height, info.height)
    elif config.height is None:
        wanted = Fraction(info.height * config.width, info.width), Fraction(config.width)
    else:
        wanted = Fraction(config.height), Fraction(config.width)
    if wanted[0] < info.height or wanted[1] < info.width:
        raise UsageError(
            f"the output would be {float(wanted[1]):.4g}x{float(wanted[0]):.4g}, "
            f"smaller than the input's {info.width}x{info.height}"
        )
    height = _multiple(wanted[0], subsampling[0], info.height)
    width = _multiple(wanted[1], subsampling[1], info.width)
    for name, asked, side in (("height", config.height, height), ("width", config.width, width)):
        if asked is not None and asked != side:
            raise UsageError(
                f"--{name} {asked} cannot be had in this pixel format, {side} can (or --pix-fmt yuv444p)"
            )
    vertical, horizontal = Fraction(height, info.height), Fraction(width, info.width)
    factor_asked = max(wanted[0] / info.height, wanted[1] / info.width)
    if factor_asked > MOST:
        raise UsageError(
            f"{width}x{height} is {float(factor_asked):.3g} times the input's "
            f"{info.width}x{info.height}; {MOST} times is the most: run vidsr twice for more"
        )
    aspect = info.sample_aspect_ratio
    if abs(vertical / horizontal - 1) > STRETCH_TOLERANCE:
        aspect = aspect * vertical / horizontal
    return Geometry(height, width, float(factor_asked), aspect)


def _multiple(side: Fraction, step: int, least: int) -> int:
    """The nearest multiple of `step`, but not below `least`."""
    return max(round(side / step), -(-least // step)) * step
