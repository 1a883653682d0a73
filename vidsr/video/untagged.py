"""Colour where nothing can be said of it: written so that whoever guesses, guesses right."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from vidsr.frames import ColorSpec, Siting, VideoInfo
from vidsr.video.color_tags import h273_tags, resolve_color

_NAMES = {"bt601": "BT.601", "bt709": "BT.709", "bt2020": "BT.2020"}
_GUESSED = ("bt601", "bt709")

# As FFmpeg's options call them (libavutil/pixdesc.c), for the program that reads the pipe.
_TRANSFERS = {14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 18: "arib-std-b67"}


def guessable(
    info: VideoInfo,
    color: ColorSpec,
    pixel_format: str,
    *,
    range_is_told: bool = False,
    sitings_told: Collection[Siting] = (),
) -> tuple[ColorSpec, tuple[str, ...]]:
    """The colour in which frames are written to a container without colour tags, and what to say of it.

    Enlarging takes a video from the sizes that players take for BT.601 to those that they take for
    BT.709 (see `resolve_color`): kept as it was, every colour would move. So the planes are written as
    players will read them. What nobody guesses, BT.2020 and HDR, is kept and has to be told.

    `info` has the output's size; `color` is that of the planes and `pixel_format` FFmpeg's name of
    theirs; `range_is_told` and `sitings_told` are what the container does say of range and siting.
    """
    guess = resolve_color(
        pixel_format=pixel_format,
        width=info.width,
        height=info.height,
        color_range=h273_tags(color).range if range_is_told else 0,
        codec="rawvideo",
    )
    siting = color.siting if color.siting in sitings_told else guess.siting
    written = replace(color, range=guess.range, siting=siting)
    if color.matrix in _GUESSED:
        written = replace(written, matrix=guess.matrix)
    notices = []
    if written.matrix != color.matrix:
        notices.append(
            f"{_NAMES[color.matrix]} becomes {_NAMES[written.matrix]}, as which players read"
            f" {info.width}x{info.height} without colour tags"
        )
    if written.range != color.range:
        notices.append(f"levels become {written.range}, as which players read them without a tag")
    if color.matrix == "bt2020" or color.transfer in (16, 18):
        told = f"-colorspace {'bt2020nc' if color.matrix == 'bt2020' else color.matrix}"
        if color.primaries == 9:
            told += " -color_primaries bt2020"
        if color.transfer in _TRANSFERS:
            told += f" -color_trc {_TRANSFERS[color.transfer]}"
        notices.append(
            f"its colours cannot be told: give the program that reads it {told},"
            " or take --format matroska"
        )
    return written, tuple(notices)
