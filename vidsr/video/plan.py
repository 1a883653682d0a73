"""The plan of a join: which stream of the source goes where, and what the user should know of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from av.container import InputContainer
from av.stream import Discard, Disposition, Stream

from vidsr.plain import plain
from vidsr.video.color_tags import ColorTags

Action = Literal["upscale", "copy", "convert", "attach", "rebuild", "drop"]

# Tags that described the old file and are false of the new one, or that the muxer writes itself.
_FILE_TAGS = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "filename"}
)
OWN_MARK = "vidsr/"
"""How the text begins in which vidsr says how it made a file (see video.provenance)."""

# Matroska's statistics (mkvmerge and FFmpeg write them, with or without "-eng" behind) count bytes and
# frames; the rest is kept by the muxer in other fields.
_STREAM_TAGS = frozenset(
    {"bps", "duration", "number_of_bytes", "number_of_frames", "source_id", "language"}
)

# ISO 639-2: the bibliographic codes that differ from the terminologic ones.
_DOUBLE_CODES = (
    "alb sqi, arm hye, baq eus, bur mya, chi zho, cze ces, dut nld, fre fra, geo kat, ger deu, gre ell,"
    " ice isl, mac mkd, mao mri, may msa, per fas, rum ron, slo slk, tib bod, wel cym"
)
_TERMINOLOGIC = {pair[:3]: pair[4:] for pair in _DOUBLE_CODES.split(", ")}


@dataclass(frozen=True)
class StreamPlan:
    """What becomes of one stream of the source."""

    index: int  # in the source, over all kinds of stream
    kind: str  # "video", "audio", "subtitle", "data", "attachment"
    codec: str  # FFmpeg's name; "unknown" where it has none
    action: Action
    target_codec: str = ""  # as it will be in the result; empty if dropped
    tag: str = ""  # four-character code wanted in the result; empty: the muxer's choice
    language: str = "und"
    title: str = ""
    disposition: int = 0  # FFmpeg's bits
    shown_disposition: int = 0  # those of them that the container can say, as a rehearsal showed
    start: Fraction | None = None  # seconds, of its first packet on the source's clock
    codec_delay: Fraction = Fraction(0)  # seconds of warm-up that the result's track header must state
    reason: str = ""  # why it is converted, rebuilt or dropped

    @property
    def kept(self) -> bool:
        """Whether the result has it as a stream of packets."""
        return self.action in ("upscale", "copy", "convert")

    @property
    def label(self) -> str:
        """How messages name it: `subtitle stream 3 (dvd_subtitle, eng)`."""
        language = "" if self.language == "und" else f", {self.language}"
        return f"{self.kind} stream {self.index} ({self.codec}{language})"


@dataclass(frozen=True)
class RemuxPlan:
    """Everything about the result that is decided before the first frame."""

    source: Path
    container: str  # FFmpeg's name of the muxer
    suffix: str  # of the target, lower case
    main_stream: int  # index in the source of the stream that is upscaled
    video_codec: str  # of the upscaled stream, FFmpeg's name of the codec
    streams: tuple[StreamPlan, ...]  # all streams of the source, in its order
    shift: Fraction  # seconds added to every time of the source
    chapters: int  # how many chapters the result has
    width: int  # pixels of the upscaled video
    height: int
    color: ColorTags  # of the upscaled video
    color_told: bool = True  # whether container or codec can say it
    sample_aspect_ratio: Fraction = Fraction(1)
    display_matrix: tuple[int, ...] | None = None
    frame_rate: Fraction | None = None  # nominal; whether it is constant shows in the times
    all_tags: bool = False  # whether the muxer is told to keep tags it has no standard name for
    lost: tuple[
        str, ...
    ] = ()  # tags without a place in the container: "file: comment", "stream 1: title"
    notices: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[StreamPlan, ...]:
        """The streams of packets of the result, in its order."""
        return tuple(stream for stream in self.streams if stream.kept)

    @property
    def main(self) -> StreamPlan:
        """The stream that is upscaled."""
        return next(stream for stream in self.streams if stream.action == "upscale")

    def to_json(self) -> dict[str, object]:
        """Plain values for a manifest; fractions and paths as text."""
        return {key: plain(value) for key, value in dataclasses.asdict(self).items()}


def matched_streams(plan: RemuxPlan, result: InputContainer) -> dict[int, Stream]:
    """The streams of a joined file by the index that they have in the source.

    The order is that of the source, but cover art may come last, and streams that the muxer made by
    itself (the text track of MP4's chapters, a time code track) belong to nothing in the source.
    """
    covers = [stream for stream in result.streams if stream.disposition & Disposition.attached_pic]
    tracks = [
        stream
        for stream in result.streams
        if stream not in covers
        and stream.type != "attachment"
        and not (
            stream.type == "data" and (stream.discard == Discard.all or "timecode" in stream.metadata)
        )
    ]
    matched = {}
    for stream in plan.kept:
        rest = covers if stream.disposition & Disposition.attached_pic else tracks
        if rest:
            matched[stream.index] = rest.pop(0)
    return matched


def same_language(one: str, other: str) -> bool:
    """Whether two codes mean one language: ISO 639-2 has two for some, and QuickTime knows but one."""
    return _TERMINOLOGIC.get(one, one) == _TERMINOLOGIC.get(other, other)


def missing_tags(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Which of the wanted tags did not come through as they were."""
    there = {key.lower(): value for key, value in found.items()}
    there.setdefault("language", "und")
    there.setdefault("title", there.get("name", ""))  # a track's title in MP4 and MOV
    lost = []
    for key, value in wanted.items():
        now = there.get(key.lower())
        same = now is not None and key == "language" and same_language(value, now)
        if not same and now != value:
            lost.append(key)
    return lost


def quicktime_language(language: str) -> str:
    """The code by which FFmpeg's table of QuickTime's languages knows one that has two."""
    if language in ("fre", "rum", "cze", "slo"):
        return _TERMINOLOGIC[language]
    if language in ("fra", "ron", "ces", "slk"):
        return language
    return next((old for old, new in _TERMINOLOGIC.items() if new == language), language)


def file_tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """The tags of a source file that stay true of the result."""
    return {
        key: value
        for key, value in metadata.items()
        if value and key.lower() not in _FILE_TAGS and not value.startswith(OWN_MARK)
    }


def stream_tags(metadata: Mapping[str, str], *, upscaled: bool) -> dict[str, str]:
    """The tags of a stream that stay true in the result; an upscaled stream has another encoder."""
    return {
        key: value
        for key, value in metadata.items()
        if value and not _is_statistic(key) and not (upscaled and key.lower() == "encoder")
    }


def _is_statistic(key: str) -> bool:
    name = key.lower()
    return name.startswith("_statistics_") or name.partition("-")[0] in _STREAM_TAGS
