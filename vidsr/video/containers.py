"""What each target container can hold: video, time before zero, chapters, fonts, cover art, text."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from vidsr.errors import UsageError

# Text subtitles that say the same in another dress: words, line breaks, bold, italic, underline.
# ASS is not among them: its positions, fonts and effects have no place in the others.
PLAIN_TEXT = frozenset({"subrip", "mov_text", "webvtt", "text"})


@dataclass(frozen=True)
class Container:
    """A kind of file that can be written, and the limits that FFmpeg's muxer for it has.

    Only what the muxer does not say by itself stands here. Which codecs of the copied streams it takes
    is asked of the muxer, by a rehearsal with their first packets (see `plan_remux`).
    """

    muxer: str  # FFmpeg's name
    suffixes: tuple[str, ...]
    video: frozenset[str]  # codecs of the upscaled video, FFmpeg's names, that players expect in it
    negative_times: bool = False  # a stream may start before zero (an edit list cuts it off there)
    stores_dts: bool = False  # decoding times are written as they are, so never negative either
    tick: Fraction | None = None  # the one grid of time of all streams, seconds; None: each has its own
    codec_delay: bool = False  # says how much of an audio stream's beginning is only warm-up
    chapters: bool = True
    attachments: bool = False
    cover_art: str | None = None  # "stream": a video stream so marked; "attachment": an attached file
    text: str | None = None  # the text subtitle codec that others are turned into
    rotation: bool = False  # a display matrix beside the picture
    color_tags: bool = True  # matrix, primaries and transfer beside the picture
    constant_rate: bool = False  # frames have no times of their own, only a rate
    copies: frozenset[str] | None = None  # codecs of copied streams; None: whatever the muxer takes
    raw_formats: frozenset[str] | None = None  # of raw video, FFmpeg's names; None: all that FFmpeg has


_MP4_VIDEO = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mjpeg", "ffv1"})
_MOV_VIDEO = frozenset({"h264", "hevc", "prores", "dnxhd", "mpeg4", "mpeg2video", "mjpeg"})
_MKV_VIDEO = frozenset(
    {"h264", "hevc", "av1", "vp9", "vp8", "prores", "ffv1", "mpeg4", "mpeg2video", "mjpeg", "rawvideo"}
)
# The muxer for transport streams takes every codec, most as private data that no player recognises.
_TS_VIDEO = frozenset({"h264", "hevc", "mpeg2video", "mpeg4"})
_TS_OTHERS = frozenset(
    {"aac", "mp2", "mp3", "ac3", "eac3", "dts", "truehd", "opus", "dvb_subtitle", "dvb_teletext"}
    | {"hdmv_pgs_subtitle", "klv", "scte_35", "timed_id3"}
)

SELF_TAGGED = frozenset({"h264", "hevc", "av1", "prores", "mpeg2video"})
"""Codecs that say their colour in their own headers, so that it does not depend on the container."""

INTRA = frozenset({"rawvideo", "ffv1", "mjpeg", "prores"})
"""Codecs that encode each frame by itself, so that decoding and showing go in one order."""

CONTAINERS = (
    Container(
        "mp4",
        (".mp4", ".m4v"),
        _MP4_VIDEO,
        negative_times=True,
        cover_art="stream",
        text="mov_text",
        rotation=True,
    ),
    Container(
        "mov",
        (".mov",),
        _MOV_VIDEO,
        negative_times=True,
        text="mov_text",
        rotation=True,
    ),
    Container(
        "matroska",
        (".mkv",),
        _MKV_VIDEO,
        tick=Fraction(1, 1000),  # FFmpeg's muxer knows no other TimestampScale
        codec_delay=True,
        attachments=True,
        cover_art="attachment",  # the muxer would make it an ordinary video track
        text="subrip",
        rotation=True,
        # Those with a code that players know (libavcodec/raw.c, checked by libavformat/matroskaenc.c).
        raw_formats=frozenset({"yuv420p", "yuv422p", "yuv411p", "yuv410p", "gray"}),
    ),
    Container(
        "webm",
        (".webm",),
        frozenset({"av1", "vp9", "vp8"}),
        tick=Fraction(1, 1000),
        codec_delay=True,
        text="webvtt",
        rotation=True,
    ),
    Container(
        "mpegts",
        (".ts", ".m2ts", ".mts"),
        _TS_VIDEO,
        stores_dts=True,
        tick=Fraction(1, 90000),
        chapters=False,
        color_tags=False,
        copies=_TS_VIDEO | _TS_OTHERS,
    ),
    Container(
        "avi",
        (".avi",),
        # No B-frames: AVI has no presentation times. The writer's H.264 has them, so it is not here.
        frozenset({"mpeg4", "mjpeg", "ffv1"}),
        stores_dts=True,
        chapters=False,
        color_tags=False,
        constant_rate=True,
    ),
    # NUT's syncpoints hold decoding times as unsigned numbers.
    Container("nut", (".nut",), _MKV_VIDEO - {"prores"}, stores_dts=True, color_tags=False),
)


def container_for(path: Path) -> Container:
    """The container that a file name asks for.

    Raises UsageError, naming the known endings, if the ending means no video file.
    """
    suffix = path.suffix.lower()
    for container in CONTAINERS:
        if suffix in container.suffixes:
            return container
    known = ", ".join(known_suffixes())
    what = f"'{suffix}' is no video file that can be written" if suffix else "no ending of a video file"
    raise UsageError(f"{path}: {what}: use one of {known}")


def known_suffixes() -> tuple[str, ...]:
    """All endings that `container_for` takes."""
    return tuple(suffix for container in CONTAINERS for suffix in container.suffixes)


def codec_of(encoder: str) -> str:
    """FFmpeg's name of the codec that an encoder or decoder is for: libx264 is h264.

    Raises UsageError if this build has neither.
    """
    for mode in ("w", "r"):
        try:
            return av.Codec(encoder, "w" if mode == "w" else "r").canonical_name
        except av.codec.codec.UnknownCodecError:
            continue
    raise UsageError(f"'{encoder}' is no codec that this build of FFmpeg knows")
