"""Planes to RGB and back, and what the numbers in the planes mean: decided here and nowhere else.

The equations are those of ITU-T H.273 (07/2024), section 8.3: everything follows from Kr and Kb of the
matrix, the range and the depth. What surrounds the equations has files of its own, whose public names
can be imported from here: `color_tags` (what is meant), `planar_formats` (where it lies), `chroma` (its
resampling) and `resize`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vidsr.frames import ColorSpec, FrameBatch, Matrix
from vidsr.video.chroma import chroma_size, enlarge_chroma, shrink_chroma, shrunk_reach
from vidsr.video.color_tags import ColorTags, h273_tags, resolve_color
from vidsr.video.planar_formats import (
    PlanarFormat,
    ffmpeg_plane_order,
    parse_pixel_format,
    pixel_format_name,
)
from vidsr.video.resize import resize_alpha, resize_plane, resize_rgb

__all__ = [
    "ColorTags",
    "PlanarFormat",
    "chroma_size",
    "ffmpeg_plane_order",
    "h273_tags",
    "parse_pixel_format",
    "pixel_format_name",
    "resize_alpha",
    "resize_plane",
    "resize_rgb",
    "resolve_color",
    "to_planes",
    "to_rgb",
    "to_signal",
]

LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11),
    # Gray has no equation; the one of its usual primaries turns a network's colour cast into luma.
    "gray": (0.2126, 0.0722),
}
"""(Kr, Kb): H.273 table 4, MatrixCoefficients 5 and 6, 1, 9, 7, 4."""


class _Levels(NamedTuple):
    """How code values and signal go together: code = signal * span + zero."""

    luma_zero: float
    luma_span: float
    chroma_zero: float
    chroma_span: float
    least: int  # the least and the greatest code that may be written
    most: int


def _levels(color: ColorSpec) -> _Levels:
    """H.273, section 8.3: limited range grows with 2**(depth-8), full range is 2**depth - 1 wide."""
    peak = (1 << color.depth) - 1
    if color.range == "full":
        return _Levels(0, peak, 1 << (color.depth - 1), peak, 0, peak)
    unit = 1 << (color.depth - 8)
    # Foot- and headroom may be used, the codes of timing references not (BT.709-6 and
    # BT.2100-2, "video data"): 1 to 254 of 8 bits, 4 to 1019 of 10.
    return _Levels(16 * unit, 219 * unit, 128 * unit, 224 * unit, unit, 255 * unit - 1)


class _Mix(NamedTuple):
    """RGB from luma and chroma: R = Y + red_v V, G = Y - green_u U - green_v V, B = Y + blue_u U."""

    red_weight: float
    green_weight: float
    blue_weight: float
    red_v: float
    green_u: float
    green_v: float
    blue_u: float


def _mix(matrix: Matrix) -> _Mix:
    """H.273, section 8.3, solved for R, G and B; chroma runs from -1/2 to 1/2."""
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    red_v, blue_u = 2 * (1 - red), 2 * (1 - blue)
    return _Mix(red, green, blue, red_v, blue * blue_u / green, red * red_v / green, blue_u)


_CPU_PIXELS = 1 << 18
_DEVICE_PIXELS = 1 << 24
"""Pixels of luma worked on at once: their floats fit a CPU's last cache, or fill a GPU."""

_LEAST_ROWS = 128
"""Of a strip, luma samples: up to eight of them, which chroma filters read beyond it, are read twice."""


def _frames_at_once(size: tuple[int, int], device: torch.device) -> int:
    pixels = _CPU_PIXELS if device.type == "cpu" else _DEVICE_PIXELS
    return max(1, pixels // max(1, size[0] * size[1]))


def to_rgb(batch: FrameBatch) -> Tensor:
    """RGB of a batch, (N, H, W, 3), on the planes' device: uint8 of 8-bit video, else float32 in [0, 1].

    Colours outside the RGB cube are clipped to it. Primaries and transfer stay as they are, so the
    values are non-linear, as a network expects them. Alpha is left out.
    """
    color = batch.color
    height, width = batch.size
    count, device = len(batch), batch.planes[0].device
    dtype = torch.uint8 if color.depth == 8 else torch.float32
    rgb = torch.empty(count, height, width, 3, dtype=dtype, device=device)
    opaque = batch.planes[: color.channels - color.alpha]
    step = _frames_at_once((height, width), device)
    for start in range(0, count, step):
        part = slice(start, start + step)
        _rgb_of([plane[part] for plane in opaque], color, rgb[part])
    return rgb


def _rgb_of(planes: list[Tensor], color: ColorSpec, out: Tensor) -> None:
    """Fill `out`, (N, H, W, 3) uint8 or float32, from planes of the same frames."""
    levels = _levels(color)
    # A byte is rounded half up: the half comes with the offset, the conversion cuts off.
    span, half = (255.0, 0.5) if out.dtype == torch.uint8 else (1.0, 0.0)
    # Subtracted and divided in this order, black is exactly 0 and white exactly the span.
    unit = levels.luma_span / span
    zero = levels.luma_zero - half * unit
    if color.matrix in ("rgb", "gray"):
        exact = unit == 1 and levels.luma_zero == 0
        signals = (
            planes if exact else [plane.to(torch.float32).sub_(zero).div_(unit) for plane in planes]
        )
        _interleave([signals[channel % len(signals)] for channel in range(3)], span, out)
        return
    mix = _mix(color.matrix)
    size = (int(out.shape[1]), int(out.shape[2]))
    chroma_scale = span / levels.chroma_span
    luma = planes[0].to(torch.float32).sub_(zero).div_(unit)
    u, v = (
        enlarge_chroma(plane.to(torch.float32).sub_(levels.chroma_zero).mul_(chroma_scale), size, color)
        for plane in planes[1:3]
    )
    red = torch.add(luma, v, alpha=mix.red_v)
    blue = torch.add(luma, u, alpha=mix.blue_u)
    green = luma.sub_(u, alpha=mix.green_u).sub_(v, alpha=mix.green_v)
    _interleave([red, green, blue], span, out)


def _interleave(channels: list[Tensor], span: float, out: Tensor) -> None:
    for index, channel in enumerate(channels):
        # The conversion to bytes before the scattered write: a strided copy that converts is slower.
        out[..., index] = channel.clamp(0, span).to(out.dtype)


def to_signal(plane: Tensor, color: ColorSpec, *, chroma: bool = False) -> Tensor:
    """The signal that the codes of a plane mean: float32, 0 to 1 of luma, R, G and B; +-1/2 of chroma.

    `plane` is a tensor of any shape, of codes as integers or as floats that keep fractions of a code.
    Nothing is clamped.
    """
    levels = _levels(color)
    zero, span = (
        (levels.chroma_zero, levels.chroma_span) if chroma else (levels.luma_zero, levels.luma_span)
    )
    return plane.to(torch.float32).sub(zero).div_(span)


def to_planes(rgb: Tensor, color: ColorSpec) -> tuple[Tensor, ...]:
    """Planes of `color` from RGB, on the same device: uint8 for 8 bits, uint16 for more; without alpha.

    `rgb` is (N, H, W, 3), uint8 or floating in [0, 1]. Values are rounded half up, without dither, and
    clamped to the codes that may be written: all in full range; in limited range 1 to 254 for 8 bits
    and accordingly for more, so the overshoot of chroma filters is kept.
    """
    count, height, width, _ = rgb.shape
    dtype = torch.uint8 if color.depth == 8 else torch.uint16
    sizes = [(height, width)]
    if color.matrix != "gray":
        small = (
            (height, width) if color.matrix == "rgb" else chroma_size((height, width), color.subsampling)
        )
        sizes += [small, small]
    planes = tuple(torch.empty(count, *size, dtype=dtype, device=rgb.device) for size in sizes)
    step = _frames_at_once((height, width), rgb.device)
    for start in range(0, count, step):
        frames = slice(start, start + step)
        for strip in _strips((height, width), color, rgb.device):
            _planes_of(rgb[frames, strip.read], color, [plane[frames] for plane in planes], strip)
    return planes


class _Strip(NamedTuple):
    """Rows of luma: which are converted, and which of them are read for it; whole chroma samples."""

    keep: slice
    read: slice

    def place(self, part: Tensor, whole: Tensor, unit: int) -> None:
        """Write what is kept of a part's plane, each row of which is `unit` rows of luma."""
        first, last = self.keep.start // unit, -(-self.keep.stop // unit)
        skipped = self.read.start // unit
        _store_codes(part[:, first - skipped : last - skipped], whole[:, first:last])


def _strips(size: tuple[int, int], color: ColorSpec, device: torch.device) -> Iterator[_Strip]:
    """A picture of `size` = (height, width) in strips whose floats are few enough."""
    height, width = size
    unit = color.subsampling[0] if color.matrix not in ("rgb", "gray") else 1
    reach = shrunk_reach((unit, 1))
    rows = height
    if device.type == "cpu":
        rows = max(_LEAST_ROWS, _CPU_PIXELS // max(1, width)) // unit * unit
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        above, below = max(0, start - reach), min(height, stop + reach)
        yield _Strip(slice(start, stop), slice(above, below))


def _planes_of(rgb: Tensor, color: ColorSpec, out: list[Tensor], strip: _Strip) -> None:
    """Fill a strip of `out`, which are whole planes, from what it reads of a picture.

    `rgb` is (N, rows, W, 3), uint8 or floating.
    """
    levels = _levels(color)
    span = 255.0 if rgb.dtype == torch.uint8 else 1.0
    scale = levels.luma_span / span
    if color.matrix == "rgb":
        for index, plane in enumerate(out):
            channel = rgb[..., index]
            if scale == 1 and levels.luma_zero == 0 and channel.dtype == plane.dtype:
                strip.place(channel, plane, 1)
            else:
                codes = _codes(_floats(channel).mul_(scale), levels.luma_zero, levels)
                strip.place(codes, plane, 1)
        return
    red, green, blue = (_floats(rgb[..., index]) for index in range(3))
    mix = _mix(color.matrix)
    luma = green.mul_(mix.green_weight).add_(red, alpha=mix.red_weight).add_(blue, alpha=mix.blue_weight)
    if color.matrix != "gray":
        for plane, primary, reach in ((out[1], blue, mix.blue_u), (out[2], red, mix.red_v)):
            # Filters are linear and keep a constant: scale and offset are cheaper behind them.
            chroma = shrink_chroma(primary.sub_(luma), color)
            chroma.mul_(levels.chroma_span / (span * reach))
            strip.place(_codes(chroma, levels.chroma_zero, levels), plane, color.subsampling[0])
    strip.place(_codes(luma.mul_(scale), levels.luma_zero, levels), out[0], 1)


def _floats(channel: Tensor) -> Tensor:
    """A float32 copy that is dense and that the caller may overwrite."""
    if channel.dtype == torch.uint8:
        # Gathering bytes first and converting them then is faster than both in one pass.
        channel = channel.contiguous()
    return channel.to(torch.float32, memory_format=torch.contiguous_format, copy=True)


def _codes(values: Tensor, zero: float, levels: _Levels) -> Tensor:
    """Half above what is to be written, clamped to it; `values` is overwritten."""
    return values.add_(zero + 0.5).clamp_(levels.least, levels.most + 0.5)


def _store_codes(codes: Tensor, out: Tensor) -> None:
    """Cut off what is behind the point, and write."""
    if codes.is_floating_point():
        # PyTorch converts floats to integers of their own size, or half of it, in vectors, but to bytes
        # one by one: on a CPU the way around is three times as fast.
        codes = codes.to(torch.int16 if out.dtype == torch.uint8 else torch.int32)
    out.copy_(codes)
