"""What colour a picture is said to be, and what it is taken to be where nothing is said.

Code points are those of ITU-T H.273 (07/2024), which FFmpeg uses as they are; its code for the range
alone is its own.
"""

from __future__ import annotations

from typing import NamedTuple

from vidsr.errors import InputError
from vidsr.frames import ColorSpec, Matrix, Range, Siting
from vidsr.video.planar_formats import PlanarFormat, parse_pixel_format

_MATRICES: dict[int, Matrix] = {
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    9: "bt2020",
}
_MATRIX_TAGS: dict[Matrix, int] = {
    "rgb": 0,
    "bt709": 1,
    "gray": 1,  # a tag that says nothing without chroma; unspecified would make players guess
    "fcc": 4,
    "bt601": 6,
    "smpte240m": 7,
    "bt2020": 9,
}
_OTHER_MATRICES = {
    8: "YCgCo",
    10: "BT.2020 constant luminance",
    11: "SMPTE ST 2085",
    12: "chromaticity-derived",
    13: "chromaticity-derived constant luminance",
    14: "ICtCp",
    15: "IPT-PQ-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_PRIMARIES = frozenset({1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 22})  # H.273 table 2
_TRANSFERS = frozenset({1, *range(4, 19)})  # H.273 table 3
_PQ, _HLG = 16, 18

_JPEG_CODECS = frozenset({"mjpeg", "mjpegb", "jpegls", "jpeg2000", "webp"})
"""JFIF, sYCC and WebP mean BT.601 whatever the size of the picture."""

_CENTRED_CODECS = _JPEG_CODECS | {"mpeg1video", "h261", "h263", "flv1", "theora", "vp3", "speedhq"}
"""Chroma in the middle of its block by the codec's own standard (libavutil, AVCHROMA_LOC_CENTER)."""

_LEFT_CODECS = frozenset({"h264", "hevc", "vvc", "mpeg2video", "mpeg4"})
"""H.264 and H.265, annex E: a sample location that is not sent is 0; MPEG-2 and MPEG-4 know no other."""

_LIMITED_CODECS = _LEFT_CODECS | {"mpeg1video", "vp8", "vp9", "av1", "prores"}
"""Their standards read an absent full-range flag as limited, so also for gray pictures."""


class ColorTags(NamedTuple):
    """The code points that a stream or frame is tagged with; those of H.273 and of FFmpeg."""

    matrix: int  # MatrixCoefficients, FFmpeg's colorspace
    primaries: int  # ColourPrimaries
    transfer: int  # TransferCharacteristics, FFmpeg's color_trc
    range: int  # FFmpeg's color_range: 1 limited, 2 full


def h273_tags(color: ColorSpec) -> ColorTags:
    """How to tag planes of this colour.

    Codes 5 and 6 are the same matrix: 5 goes with the primaries of 625 lines, 6 with everything else.
    """
    matrix = 5 if color.matrix == "bt601" and color.primaries == 5 else _MATRIX_TAGS[color.matrix]
    return ColorTags(matrix, color.primaries, color.transfer, 1 if color.range == "limited" else 2)


def resolve_color(
    *,
    pixel_format: str,
    width: int,
    height: int,
    matrix: int = 2,
    primaries: int = 2,
    transfer: int = 2,
    color_range: int = 0,
    siting: Siting | None = None,
    codec: str = "",
) -> ColorSpec:
    """Fix every unknown of a picture's colour once, as players do.

    `matrix`, `primaries`, `transfer` are code points of H.273 (2: unspecified), `color_range` is
    FFmpeg's (0: unspecified, 1: limited, 2: full), `pixel_format` its name of the decoded frames'
    format, `codec` its canonical name of the codec; `siting` is None where the stream does not say.

    What is not tagged is guessed as mpv does (video/csputils.c and video/mp_image.c): YUV of at least
    1280 columns or more than 576 rows is BT.709, smaller is BT.601. BT.601 of 576 rows has the primaries
    of 625 lines, of 480 or 486 those of 525, of any other size BT.709's. YUV is limited unless its
    format or codec is JPEG's, RGB is full range sRGB. Beyond mpv: primaries of BT.2020, PQ and HLG imply
    the matrix of BT.2020.

    Raises InputError for pixel formats and matrices that are not supported.
    """
    planar = parse_pixel_format(pixel_format)
    large = width >= 1280 or height > 576
    if planar.family == "yuv":
        kind = _yuv_matrix(matrix, primaries, transfer, large=large, jpeg=codec in _JPEG_CODECS)
    else:
        kind = "rgb" if planar.family == "rgb" else "gray"
    if primaries not in _PRIMARIES:
        primaries = _usual_primaries(kind, height, jpeg=codec in _JPEG_CODECS)
    if transfer not in _TRANSFERS:
        transfer = _usual_transfer(kind, primaries, planar.depth)
    levels = _range(color_range, planar, codec)
    return ColorSpec(
        matrix=kind,
        primaries=primaries,
        transfer=transfer,
        range=levels,
        depth=planar.depth,
        subsampling=planar.subsampling,
        siting=siting or _usual_siting(codec, levels, planar.subsampling),
        alpha=planar.alpha,
    )


def _yuv_matrix(matrix: int, primaries: int, transfer: int, *, large: bool, jpeg: bool) -> Matrix:
    if matrix in _MATRICES:
        return _MATRICES[matrix]
    if matrix in _OTHER_MATRICES:
        raise InputError(
            f"the colour matrix {_OTHER_MATRICES[matrix]} (H.273 code {matrix}) is not supported:"
            " convert the video to BT.709 or BT.2020 non-constant luminance first"
        )
    # Unspecified, reserved, or "RGB" on planes that are not.
    if jpeg:
        return "bt601"
    if primaries == 9 or transfer in (_PQ, _HLG):
        return "bt2020"
    return "bt709" if large else "bt601"


def _usual_primaries(matrix: Matrix, height: int, *, jpeg: bool) -> int:
    if matrix == "bt601" and not jpeg:
        return {576: 5, 480: 6, 486: 6}.get(height, 1)
    return {"bt2020": 9, "smpte240m": 7, "fcc": 4}.get(matrix, 1)


def _usual_transfer(matrix: Matrix, primaries: int, depth: int) -> int:
    if matrix == "rgb":
        return 13  # sRGB
    if primaries == 9:
        return 15 if depth >= 12 else 14  # BT.2020 has one curve, with a code for each depth
    # The same curve as 1 but for SMPTE 240M's, which is its own, and the 2.2 of FCC.
    return {5: 6, 6: 6, 7: 7, 4: 4}.get(primaries, 1)


def _range(color_range: int, planar: PlanarFormat, codec: str) -> Range:
    if planar.full_range:
        # RGB too, whatever it is tagged: players and swscale know no limited RGB, and encoders write
        # the tag by mistake. Reading full as limited would clip; the reverse loses nothing.
        return "full"
    if color_range in (1, 2):
        return "limited" if color_range == 1 else "full"
    if codec in _JPEG_CODECS - {"webp"}:
        return "full"
    return "full" if planar.family == "gray" and codec not in _LIMITED_CODECS else "limited"


def _usual_siting(codec: str, levels: Range, subsampling: tuple[int, int]) -> Siting:
    if subsampling == (1, 1) or codec in _LEFT_CODECS:
        return "left"
    if codec == "dvvideo":
        return "topleft"  # SMPTE 314M
    if codec in _CENTRED_CODECS:
        return "center"
    # As mpv: full range is JPEG's world, limited is MPEG's.
    return "center" if levels == "full" else "left"
