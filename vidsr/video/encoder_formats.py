"""FFmpeg's pixel formats as this code base can fill them, and the choice of the one that loses least."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import av

from vidsr.frames import ColorSpec, Siting

Kind = Literal["yuv", "rgb", "gray"]


@dataclass(frozen=True)
class Component:
    """Where one channel lies in memory; counted in samples of one byte (8 bit) or two (deeper)."""

    plane: int
    step: int = 1  # from one sample to the next of the same channel
    offset: int = 0  # of the first sample in its row
    shift: int = 0  # bits that the value is shifted up: P010 keeps ten bits at the top of sixteen


@dataclass(frozen=True)
class PixelFormat:
    """A pixel format, its channels in the order of a FrameBatch."""

    name: str  # FFmpeg's
    kind: Kind
    depth: int  # bits a sample
    subsampling: tuple[int, int]  # luma samples per chroma sample, (vertical, horizontal)
    alpha: bool
    components: tuple[Component, ...]

    @property
    def bits_per_pixel(self) -> float:
        """Bits that carry a pixel, all channels together."""
        chroma = 0.0 if self.kind == "gray" else 2 / (self.subsampling[0] * self.subsampling[1])
        return self.depth * (1 + chroma + self.alpha)


_PACKED = {
    # RGB of 8 bit in FFV1 exists only packed.
    "bgr0": (Component(0, 4, 2), Component(0, 4, 1), Component(0, 4, 0)),
    "bgra": (Component(0, 4, 2), Component(0, 4, 1), Component(0, 4, 0), Component(0, 4, 3)),
    "ya8": (Component(0, 2, 0), Component(0, 2, 1)),
    # What hardware encoders take; the only 4:2:0 of ten bits that NVENC knows is P010.
    "nv12": (Component(0), Component(1, 2, 0), Component(1, 2, 1)),
    "p010le": (Component(0, shift=6), Component(1, 2, 0, 6), Component(1, 2, 1, 6)),
    "yuv444p10msble": (Component(0, shift=6), Component(1, shift=6), Component(2, shift=6)),
    "gbrp10msble": (Component(2, shift=6), Component(0, shift=6), Component(1, shift=6)),
}


def pixel_format(name: str) -> PixelFormat | None:
    """Describe FFmpeg's pixel format `name`, or None where its frames cannot be filled from planes.

    Left out: big-endian, floating point, palettes, Bayer patterns, hardware surfaces, most that keep
    values in the upper bits, and the deprecated "yuvj" names of full range, a tag and no format.
    """
    try:
        probe = av.VideoFormat(name, 16, 16)
    except ValueError:
        return None
    parts = probe.components
    depth = parts[0].bits if parts else 0
    if not 8 <= depth <= 16 or any(part.bits != depth for part in parts):
        return None
    if probe.is_big_endian or probe.is_bayer or probe.has_palette or name.startswith("yuvj"):
        return None
    if name in _PACKED:
        components = _PACKED[name]
    elif "msb" in name or "f16" in name:
        return None
    elif len({part.plane for part in parts}) == len(parts):
        components = tuple(Component(part.plane) for part in parts)
    else:
        return None
    colored = len(parts) >= 3
    return PixelFormat(
        name=name,
        kind="rgb" if probe.is_rgb else "yuv" if colored else "gray",
        depth=depth,
        subsampling=(16 // parts[1].height, 16 // parts[1].width) if colored else (1, 1),
        alpha=len(components) in (2, 4),
        components=components,
    )


def nearest_format(
    source: ColorSpec, offered: Iterable[PixelFormat]
) -> tuple[PixelFormat, tuple[str, ...]]:
    """The format for `source` that loses nothing at the least size, or else the one that loses least.

    Returns the format and what it loses, in words. Losses weigh in this order: alpha, bits, chroma
    samples, and the rounding from RGB to YUV. A YUV source never becomes RGB: players expect YUV.

    Raises:
        ValueError: nothing that fits is offered.
    """
    kinds: dict[Kind, tuple[Kind, ...]] = {
        "yuv": ("yuv",),
        "rgb": ("rgb", "yuv"),
        "gray": ("gray", "yuv"),
    }
    kind = source_kind(source)
    fitting = [each for each in offered if each.kind in kinds[kind]]
    if not fitting:
        raise ValueError(f"no pixel format for {kind} frames")
    best = min(fitting, key=lambda each: (_losses(source, each), each.bits_per_pixel))
    alpha, depth, chroma, mixed = _losses(source, best)
    told = []
    if alpha:
        told.append("the alpha channel is left out")
    if depth:
        told.append(f"{source.depth} bits a sample become {best.depth}")
    if chroma:
        told.append("the colour has fewer samples than the source's")
    if mixed:
        told.append("RGB is stored as YUV")
    return best, tuple(told)


def source_kind(color: ColorSpec) -> Kind:
    """Which family of formats the planes of a colour belong to."""
    return "rgb" if color.matrix == "rgb" else "gray" if color.matrix == "gray" else "yuv"


def stored_color(source: ColorSpec, target: PixelFormat) -> ColorSpec:
    """The colour of frames of `source` once they are stored in `target`: same light, other numbers."""
    stored = replace(
        source, depth=target.depth, subsampling=target.subsampling, alpha=target.alpha and source.alpha
    )
    if target.kind == "yuv" and source_kind(source) != "yuv":
        # The wide primaries have an equation of their own; everything else that is made from RGB today
        # is read by players as BT.709.
        stored = replace(stored, matrix="bt2020" if source.primaries == 9 else "bt709")
    if target.kind == "yuv" and source_kind(source) == "rgb":
        stored = replace(stored, range="limited")  # full range is misread by too many players
    return replace(stored, siting=_siting(source, target))


def _losses(source: ColorSpec, target: PixelFormat) -> tuple[bool, int, float, bool]:
    kind = source_kind(source)
    chroma = 0.0
    if kind != "gray":
        kept = [
            min(1, ours / theirs)
            for ours, theirs in zip(source.subsampling, target.subsampling, strict=True)
        ]
        chroma = 1 - kept[0] * kept[1]
    # Alpha that is not there would have to be invented: worse than leaving out what is there.
    alpha = source.alpha != target.alpha
    return alpha, max(0, source.depth - target.depth), chroma, kind == "rgb" and target.kind != "rgb"


def _siting(source: ColorSpec, target: PixelFormat) -> Siting:
    if source_kind(source) == "yuv" and source.subsampling == target.subsampling:
        return source.siting
    if target.subsampling[0] > 1:
        return "left"  # what H.264, HEVC and every player assume of 4:2:0 without a tag
    # Without vertical subsampling only the horizontal place has a meaning.
    return "center" if source.siting in ("center", "top") else "left"
