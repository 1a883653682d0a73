"""Static HDR metadata in the words of each encoder that writes it into its stream.

PyAV cannot attach side data to a frame, so it goes in by the encoders' own parameters:
`--mastering-display` and `--cll` of x264, `--master-display` and `--max-cll` of x265,
`mastering-display` and `content-light` of SVT-AV1, each described in that project's own manual.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from vidsr.frames import ColorSpec, HdrMetadata

PQ, HLG = 16, 18
"""TransferCharacteristics of ITU-T H.273 that mean HDR."""

_Display = tuple[tuple[str, tuple[Fraction, Fraction]], ...]


def hdr_params(encoder: str, hdr: HdrMetadata | None, color: ColorSpec) -> dict[str, str]:
    """FFmpeg options that make an encoder store `hdr`; none where only the container can hold it."""
    if hdr is None:
        return {}
    display = _display(hdr)
    light = None
    if hdr.max_cll is not None or hdr.max_fall is not None:
        light = f"{hdr.max_cll or 0},{hdr.max_fall or 0}"
    words: Mapping[str, str | None]
    if encoder == "libx264":
        option = "x264-params"
        words = {"mastering-display": _in_units(display), "cll": light}
    elif encoder == "libx265":
        option = "x265-params"
        # hdr10-opt spends the bits by the PQ curve; x265 has it for PQ of ten bits alone.
        tuned = "1" if color.transfer == PQ and color.depth == 10 else None
        words = {"master-display": _in_units(display), "max-cll": light, "hdr10-opt": tuned}
    elif encoder == "libsvtav1":
        option = "svtav1-params"
        words = {"mastering-display": _in_decimals(display), "content-light": light}
    else:
        return {}
    given = ":".join(f"{key}={value}" for key, value in words.items() if value is not None)
    return {option: given} if given else {}


def _display(hdr: HdrMetadata) -> _Display | None:
    """The display as (letter, pair) in the order that all three parse; None unless it is complete."""
    if not (hdr.red and hdr.green and hdr.blue and hdr.white and hdr.luminance):
        return None
    greatest_first = (hdr.luminance[1], hdr.luminance[0])
    return (("G", hdr.green), ("B", hdr.blue), ("R", hdr.red), ("WP", hdr.white), ("L", greatest_first))


def _in_units(display: _Display | None) -> str | None:
    """As SMPTE ST 2086 stores it: steps of 0.00002 for x and y, of 0.0001 cd/m2 for luminance."""
    if display is None:
        return None
    return "".join(
        f"{name}({round(first * steps)},{round(second * steps)})"
        for name, (first, second) in display
        for steps in (10_000 if name == "L" else 50_000,)
    )


def _in_decimals(display: _Display | None) -> str | None:
    """As plain numbers; SVT-AV1 rounds them to the fixed point of AV1 (its specification, 6.7.4)."""
    if display is None:
        return None
    return "".join(
        f"{name}({float(first):.6f},{float(second):.6f})" for name, (first, second) in display
    )
