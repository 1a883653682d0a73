"""Which planes FFmpeg's pixel formats become, and the name of the format that planes make.

vidsr works on planes of one sample per element in the machine's (little-endian) order. Whatever else
FFmpeg decodes to (semi-planar, packed, palettes, big-endian) has a planar format that holds exactly the
same samples; FFmpeg converts to it, without arithmetic on the values, before they come here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from vidsr.errors import InputError
from vidsr.frames import ColorSpec

Family = Literal["yuv", "rgb", "gray"]


@dataclass(frozen=True)
class PlanarFormat:
    """A planar format and what its planes hold."""

    name: str  # FFmpeg's
    family: Family
    depth: int  # bits a sample: 8, 9, 10, 12, 14 or 16
    subsampling: tuple[int, int]  # luma samples per chroma sample, (vertical, horizontal)
    alpha: bool
    full_range: bool  # the name itself says full range: yuvj*, and RGB
    via: str = ""  # FFmpeg's name of a format to pass through on the way here; mostly none


_SUBSAMPLING = {
    "444": (1, 1),
    "440": (2, 1),
    "422": (1, 2),
    "420": (2, 2),
    "411": (1, 4),
    "410": (4, 4),
}
"""FFmpeg's digits to luma samples per chroma sample, (vertical, horizontal)."""

_DIGITS = {subsampling: digits for digits, subsampling in _SUBSAMPLING.items()}

_DEPTHS: dict[str, tuple[int, ...]] = {
    "gray": (8, 9, 10, 12, 14, 16),
    "gbrp": (8, 9, 10, 12, 14, 16),
    "gbrap": (8, 10, 12, 14, 16),
    "yuv444p": (8, 9, 10, 12, 14, 16),
    "yuv422p": (8, 9, 10, 12, 14, 16),
    "yuv420p": (8, 9, 10, 12, 14, 16),
    "yuv440p": (8, 10, 12),
    "yuv411p": (8,),
    "yuv410p": (8,),
    "yuva444p": (8, 9, 10, 12, 16),
    "yuva422p": (8, 9, 10, 12, 16),
    "yuva420p": (8, 9, 10, 16),
}
"""The depths in which each planar layout exists (libavutil/pixfmt.h)."""

_PLANAR_EQUIVALENT = {
    # Semi-planar: both kinds of chroma in one plane.
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "nv42": "yuv444p",
    "nv20": "yuv422p10le",
    "p010": "yuv420p10le",
    "p012": "yuv420p12le",
    "p016": "yuv420p16le",
    "p210": "yuv422p10le",
    "p212": "yuv422p12le",
    "p216": "yuv422p16le",
    "p410": "yuv444p10le",
    "p412": "yuv444p12le",
    "p416": "yuv444p16le",
    # Packed YUV.
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "yvyu422": "yuv422p",
    "y210le": "yuv422p10le",
    "y212le": "yuv422p12le",
    "y216le": "yuv422p16le",
    "vyu444": "yuv444p",
    "vuyx": "yuv444p",
    "vuya": "yuva444p",
    "uyva": "yuva444p",
    "ayuv": "yuva444p",
    "xv30le": "yuv444p10le",
    "v30xle": "yuv444p10le",
    "xv36": "yuv444p12le",
    "xv48": "yuv444p16le",
    "ayuv64": "yuva444p16le",
    # Packed RGB.
    "rgb24": "gbrp",
    "bgr24": "gbrp",
    "rgb0": "gbrp",
    "bgr0": "gbrp",
    "0rgb": "gbrp",
    "0bgr": "gbrp",
    "rgba": "gbrap",
    "bgra": "gbrap",
    "argb": "gbrap",
    "abgr": "gbrap",
    "rgb48": "gbrp16le",
    "bgr48": "gbrp16le",
    "rgba64": "gbrap16le",
    "bgra64": "gbrap16le",
    "x2rgb10le": "gbrp10le",
    "x2bgr10le": "gbrp10le",
    # Fewer than 8 bits a component: those that FFmpeg widens to the full scale, by way of _VIA.
    "rgb565le": "gbrp",
    "bgr565le": "gbrp",
    "rgb555le": "gbrp",
    "bgr555le": "gbrp",
    "monow": "gray",
    "monob": "gray",
    # A palette may hold transparency; and FFmpeg has no planar gray with alpha.
    "pal8": "gbrap",
    "ya8": "gbrap",
    "ya16": "gbrap16le",
}
"""Formats that are not planar to the planar ones with the same samples. Byte order is left out where
FFmpeg reads both."""

_VIA = {"rgb565le": "rgb24", "bgr565le": "rgb24", "rgb555le": "rgb24", "bgr555le": "rgb24"}
"""Straight to planar, FFmpeg leaves the new low bits empty, and white turns gray."""


def _planar_formats() -> dict[str, PlanarFormat]:
    """Every planar format vidsr takes, by each of FFmpeg's names for it."""
    formats = {}
    for layout, depths in _DEPTHS.items():
        family: Family = "gray" if layout == "gray" else "rgb" if layout.startswith("gbr") else "yuv"
        subsampling = _SUBSAMPLING[layout[-4:-1]] if family == "yuv" else (1, 1)
        alpha = layout.startswith(("yuva", "gbra"))
        for depth in depths:
            name = _name(layout, depth)
            planar = PlanarFormat(name, family, depth, subsampling, alpha, full_range=family == "rgb")
            formats[name] = planar
            if depth > 8:
                formats[f"{layout}{depth}be"] = planar
            elif family == "yuv" and not alpha and layout != "yuv410p":
                # The same planes under an older name: converting them would squeeze their range.
                jpeg = layout.replace("yuv", "yuvj")
                formats[jpeg] = replace(planar, name=jpeg, full_range=True)
    return formats


def _name(layout: str, depth: int) -> str:
    return layout if depth == 8 else f"{layout}{depth}le"


_PLANAR = _planar_formats()


def parse_pixel_format(name: str) -> PlanarFormat:
    """Find the planar format for frames of FFmpeg's pixel format `name`: itself where it is planar.

    Frames of a format with another name than the result's are converted by FFmpeg first, which loses
    nothing. Raises InputError for what has no lossless planar form of at most 16 bits: floating point,
    Bayer patterns, XYZ, and frames in a hardware decoder's memory.
    """
    bare = name.removesuffix("le").removesuffix("be")
    planar = _PLANAR_EQUIVALENT.get(name) or _PLANAR_EQUIVALENT.get(bare) or name
    if planar not in _PLANAR:
        raise InputError(
            f"pixel format {name} is not supported: convert the video to a YUV, RGB or gray format"
            " of 8 to 16 bits first"
        )
    return replace(_PLANAR[planar], via=_VIA.get(name, ""))


def pixel_format_name(color: ColorSpec) -> str:
    """FFmpeg's name of the planar format of these planes: yuv420p10le, gbrp, gray, yuva444p12le.

    FFmpeg keeps RGB as G, B, R: `ffmpeg_plane_order` says which plane is which. Raises ValueError for
    a combination that FFmpeg has no planar format for (4:1:1 of 10 bits, gray with alpha).
    """
    if color.matrix == "rgb":
        layout = "gbrap" if color.alpha else "gbrp"
    elif color.matrix == "gray":
        layout = "graya" if color.alpha else "gray"
    else:
        layout = f"yuv{'a' if color.alpha else ''}{_DIGITS.get(color.subsampling, '')}p"
    if color.depth not in _DEPTHS.get(layout, ()):
        raise ValueError(f"FFmpeg has no planar pixel format for {color}")
    return _name(layout, color.depth)


def ffmpeg_plane_order(color: ColorSpec) -> tuple[int, ...]:
    """Where FFmpeg keeps the planes of a FrameBatch: item i is the AVFrame's plane for our plane i."""
    if color.matrix == "rgb":
        return (2, 0, 1, 3)[: color.channels]
    return tuple(range(color.channels))
