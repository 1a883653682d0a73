"""Planes to RGB and back, and what the numbers in the planes mean: decided here and nowhere else.

The equations are those of ITU-T H.273 (07/2024), section 8.3: everything follows from Kr and Kb of the
matrix, the range and the depth. What surrounds the equations has files of its own, whose public names
can be imported from here: `color_tags` (what is meant), `planar_formats` (where it lies), `chroma` (its
resampling) and `resize`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vidsr.arrays import (
    Array,
    Device,
    accumulate,
    add_scaled,
    cast,
    device_of,
    dtype_of,
    empty,
    floats,
    is_floating,
    namespace,
    store_floored,
)
from vidsr.cores import side_by_side
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


def _frames_at_once(size: tuple[int, int], device: Device) -> int:
    pixels = _CPU_PIXELS if device.type == "cpu" else _DEVICE_PIXELS
    return max(1, pixels // max(1, size[0] * size[1]))


def to_rgb(batch: FrameBatch) -> Array:
    """RGB of a batch, (N, H, W, 3), where the planes are: uint8 of 8-bit video, else float32 in [0, 1].

    Colours outside the RGB cube are clipped to it. Primaries and transfer stay as they are, so the
    values are non-linear, as a network expects them. Alpha is left out.
    """
    color = batch.color
    height, width = batch.size
    count, device = len(batch), device_of(batch.planes[0])
    rgb = empty((count, height, width, 3), "uint8" if color.depth == 8 else "float32", device)
    opaque = batch.planes[: color.channels - color.alpha]
    step = _frames_at_once((height, width), device)
    for start in range(0, count, step):
        part = slice(start, start + step)
        _rgb_of([plane[part] for plane in opaque], color, rgb[part])
    return rgb


def _rgb_of(planes: list[Array], color: ColorSpec, out: Array) -> None:
    """Fill `out`, (N, H, W, 3) uint8 or float32, from planes of the same frames."""
    levels = _levels(color)
    # A byte is rounded half up: the half comes with the offset, the conversion cuts off.
    span, half = (1.0, 0.0) if is_floating(out) else (255.0, 0.5)
    # Subtracted and divided in this order, black is exactly 0 and white exactly the span.
    unit = levels.luma_span / span
    zero = levels.luma_zero - half * unit
    if color.matrix in ("rgb", "gray"):
        if unit == 1 and levels.luma_zero == 0:
            for channel in range(3):
                out[..., channel] = planes[channel % len(planes)]
            return
        signals = [_signal(plane, zero, unit) for plane in planes]
        _interleave([signals[channel % len(signals)] for channel in range(3)], span, out)
        return
    mix = _mix(color.matrix)
    size = (int(out.shape[1]), int(out.shape[2]))
    luma = _signal(planes[0], zero, unit)
    u, v = (
        enlarge_chroma(_signal(plane, levels.chroma_zero, levels.chroma_span / span), size, color)
        for plane in planes[1:3]
    )
    red = add_scaled(luma, v, mix.red_v)
    blue = add_scaled(luma, u, mix.blue_u)
    green = luma
    accumulate(green, u, -mix.green_u)
    accumulate(green, v, -mix.green_v)
    _interleave([red, green, blue], span, out)


def _signal(plane: Array, zero: float, unit: float) -> Array:
    """(plane - zero) / unit, float32."""
    signal = floats(plane)
    signal -= zero
    signal /= unit
    return signal


def _interleave(channels: list[Array], span: float, out: Array) -> None:
    """Write channels, of which one may come more than once, beside each other; they are overwritten."""
    for index, channel in enumerate(channels):
        namespace(channel).clip(channel, 0, span, out=channel)
        # The conversion to bytes before the scattered write: a strided copy that converts is slower.
        out[..., index] = cast(channel, dtype_of(out))


def to_signal(plane: Array, color: ColorSpec, *, chroma: bool = False) -> Array:
    """The signal that the codes of a plane mean: float32, 0 to 1 of luma, R, G and B; +-1/2 of chroma.

    `plane` is of any shape, of codes as integers or as floats that keep fractions of a code. Nothing is
    clamped.
    """
    levels = _levels(color)
    if chroma:
        return _signal(plane, levels.chroma_zero, levels.chroma_span)
    return _signal(plane, levels.luma_zero, levels.luma_span)


def to_planes(rgb: Array, color: ColorSpec) -> tuple[Array, ...]:
    """Planes of `color` from RGB, where that is: uint8 for 8 bits, uint16 for more; without alpha.

    `rgb` is (N, H, W, 3), uint8 or floating in [0, 1]. Values are rounded half up, without dither, and
    clamped to the codes that may be written: all in full range; in limited range 1 to 254 for 8 bits
    and accordingly for more, so the overshoot of chroma filters is kept.
    """
    count, height, width, _ = rgb.shape
    dtype = "uint8" if color.depth == 8 else "uint16"
    sizes = [(height, width)]
    if color.matrix != "gray":
        small = (
            (height, width) if color.matrix == "rgb" else chroma_size((height, width), color.subsampling)
        )
        sizes += [small, small]
    device = device_of(rgb)
    planes = tuple(empty((count, *size), dtype, device) for size in sizes)
    step = _frames_at_once((height, width), device)
    pieces = [
        (slice(start, start + step), strip)
        for start in range(0, count, step)
        for strip in _strips((height, width), color, device)
    ]

    def convert(piece: tuple[slice, _Strip]) -> None:
        frames, strip = piece
        _planes_of(rgb[frames, strip.read], color, [plane[frames] for plane in planes], strip)

    # PyTorch shares each operation among its threads; NumPy does not, but lets others work beside it.
    each = side_by_side if isinstance(rgb, np.ndarray) else map
    for _ in each(convert, pieces):
        pass
    return planes


class _Strip(NamedTuple):
    """Rows of luma: which are converted, and which of them are read for it; whole chroma samples."""

    keep: slice
    read: slice

    def place(self, part: Array, whole: Array, unit: int) -> tuple[Array, Array]:
        """Where what is kept of a part's plane, each row of which is `unit` rows of luma, belongs."""
        first, last = self.keep.start // unit, -(-self.keep.stop // unit)
        skipped = self.read.start // unit
        return part[:, first - skipped : last - skipped], whole[:, first:last]


def _strips(size: tuple[int, int], color: ColorSpec, device: Device) -> Iterator[_Strip]:
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


def _planes_of(rgb: Array, color: ColorSpec, out: list[Array], strip: _Strip) -> None:
    """Fill a strip of `out`, which are whole planes, from what it reads of a picture.

    `rgb` is (N, rows, W, 3), uint8 or floating.
    """
    levels = _levels(color)
    span = 1.0 if is_floating(rgb) else 255.0
    scale = levels.luma_span / span
    if color.matrix == "rgb":
        for index, plane in enumerate(out):
            channel, target = strip.place(rgb[..., index], plane, 1)
            if scale == 1 and levels.luma_zero == 0 and channel.dtype == target.dtype:
                target[...] = channel
            else:
                _store_codes(floats(channel), scale, levels.luma_zero, levels, target)
        return
    red, green, blue = (floats(rgb[..., index]) for index in range(3))
    mix = _mix(color.matrix)
    luma = green
    luma *= mix.green_weight
    accumulate(luma, red, mix.red_weight)
    accumulate(luma, blue, mix.blue_weight)
    if color.matrix != "gray":
        for plane, primary, reach in ((out[1], blue, mix.blue_u), (out[2], red, mix.red_v)):
            # Filters are linear and keep a constant: scale and offset are cheaper behind them.
            primary -= luma
            chroma, target = strip.place(shrink_chroma(primary, color), plane, color.subsampling[0])
            _store_codes(chroma, levels.chroma_span / (span * reach), levels.chroma_zero, levels, target)
    luma, target = strip.place(luma, out[0], 1)
    _store_codes(luma, scale, levels.luma_zero, levels, target)


def _store_codes(signal: Array, scale: float, zero: float, levels: _Levels, out: Array) -> None:
    """Write signal * scale + zero, rounded half up and clamped; `signal` is overwritten."""
    signal *= scale
    signal += zero + 0.5
    namespace(signal).clip(signal, levels.least, levels.most + 0.5, out=signal)
    store_floored(signal, out)
