"""Text subtitles from one codec to another, by FFmpeg's own decoders and encoders."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from typing import Any

from av.codec.context import CodecContext
from av.packet import Packet
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle

# Boxes behind the text of an MP4 text sample (3GPP TS 26.245): only styles have a counterpart.
_TRANSLATED_BOXES = frozenset({b"styl"})

_STYLE = re.compile(r"\{\\[^}]*\}")  # an override of ASS


class SubtitleConverter:
    """Turns the packets of one text subtitle stream into another codec's, one by one.

    Both sides are compared through a third form (SubRip, which can say bold, italic, underline, colour,
    font and place): `altered` counts the texts that do not say the same any more.
    """

    def __init__(self, template: SubtitleStream, codec: str) -> None:
        self.codec = codec
        self.altered = 0
        self._source_codec = template.codec_context.codec.canonical_name
        self._decoder = _decoder(self._source_codec, template.codec_context.extradata)
        self.header = self._decoder.subtitle_header or b""
        self._encoder = _encoder(codec, self.header)
        self._check = _decoder(codec, self._encoder.extradata)
        self._before = _encoder("subrip", self.header)
        self._after = _encoder("subrip", self._check.subtitle_header or b"")

    def convert(self, packet: Packet[SubtitleStream]) -> bytes | None:
        """The packet's text as a packet of the other codec; None for one that only fills a gap."""
        data = bytes(packet)
        if is_gap(self._source_codec, data):
            return None
        subtitle = self._decoder.decode2(_timed(data))
        if subtitle is None or not len(subtitle):
            return None
        converted = bytes(self._encoder.encode_subtitle(subtitle))
        again = self._check.decode2(_timed(converted))
        before = bytes(self._before.encode_subtitle(subtitle))
        after = bytes(self._after.encode_subtitle(again)) if again is not None else b""
        if before != after or not _boxes(self._source_codec, data) <= _TRANSLATED_BOXES:
            self.altered += 1
        return converted


def is_gap(codec: str, data: bytes) -> bool:
    """Whether a subtitle packet says nothing: MP4 fills the time between two texts with such."""
    return codec == "mov_text" and (len(data) < 2 or data[:2] == b"\0\0")


def spoken_text(stream: SubtitleStream, packet: Packet[Any]) -> str | None:
    """The words of a text subtitle, without styles; None for a picture, or nothing."""
    subtitle = stream.codec_context.decode2(packet)
    if subtitle is None:
        return None
    lines = [rect.ass.decode(errors="replace") for rect in subtitle if isinstance(rect, AssSubtitle)]
    # FFmpeg's ASS events: eight fields, each ended by a comma, then the text.
    texts = [_STYLE.sub("", line.split(",", 8)[-1]) for line in lines]
    return "\n".join(text.replace("\\N", "\n").strip() for text in texts) if texts else None


def _boxes(codec: str, data: bytes) -> frozenset[bytes]:
    """The kinds of box behind the text of an MP4 sample; none for other codecs."""
    if codec != "mov_text":
        return frozenset()
    found = set()
    position = 2 + int.from_bytes(data[:2], "big")
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        found.add(kind)
        position += max(8, size)
    return frozenset(found)


def _timed(data: bytes) -> Packet[Any]:
    packet: Packet[Any] = Packet(data)
    packet.pts, packet.dts, packet.duration = 0, 0, 1000
    return packet


def _decoder(codec: str, extradata: bytes | None) -> SubtitleCodecContext:
    context = CodecContext.create(codec, "r")
    assert isinstance(context, SubtitleCodecContext)
    if extradata:
        context.extradata = extradata
    context.open(strict=False)
    return context


def _encoder(codec: str, header: bytes) -> SubtitleCodecContext:
    context = CodecContext.create(codec, "w")
    assert isinstance(context, SubtitleCodecContext)
    context.subtitle_header = header
    context.time_base = Fraction(1, 1000)
    context.open(strict=False)
    return context
