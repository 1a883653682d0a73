"""A piece of a video's packets that can be decoded far from its file.

No container comes between: a muxer would round times, forget a parameter of the codec, or refuse it.
The packets travel as the demuxer gave them, with all that the decoder was told before the first one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, cast

from av.codec.context import CodecContext
from av.packet import Packet, PacketSideData, packet_sidedata_type_from_literal
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidsr.errors import InputError
from vidsr.frames import VideoInfo
from vidsr.video.color_tags import ColorTags
from vidsr.video.decoding import Decoding, prepare
from vidsr.video.timeline import Timeline

_PARAMETERS = (
    "width",
    "height",
    "pix_fmt",
    "codec_tag",  # tells kinds of ProRes, raw and Motion JPEG video apart
    "extradata",
    "bits_per_coded_sample",
    "reorder_depth",
    "field_order",
    "sample_aspect_ratio",
    "color_range",
    "color_primaries",
    "color_trc",
    "colorspace",
    "framerate",
)
"""Of a fresh decoder's context: what the container said of the stream (AVCodecParameters), as far as
decoders look at it."""


@dataclass(frozen=True)
class Decoder:
    """A decoder before its first packet."""

    name: str  # FFmpeg's
    parameters: tuple[tuple[str, object], ...]

    @classmethod
    def of(cls, stream: VideoStream, path: Path) -> Decoder:
        """That of a stream of a file just opened. Raises InputError where it cannot be told in words."""
        context = stream.codec_context
        parameters = []
        for name in _PARAMETERS:
            try:
                value = getattr(context, name)
            except UnicodeDecodeError as error:  # PyAV knows tags of ASCII letters alone
                raise InputError(
                    f"{path}: video stream {stream.index} ({context.name}) has a codec tag that cannot "
                    "be sent to another machine: copy it into .mkv first"
                ) from error
            if value is not None:
                parameters.append((name, value))
        return cls(context.codec.name, tuple(parameters))

    def open(self) -> VideoCodecContext:
        """A context like the stream's own, not yet opened, so that threads can still be chosen."""
        context = cast("VideoCodecContext", CodecContext.create(self.name, "r"))
        for name, value in self.parameters:
            setattr(context, name, value)
        return context


class StoredPacket(NamedTuple):
    """A packet as plain values; times in ticks."""

    data: bytes
    pts: int | None
    dts: int | None
    duration: int
    keyframe: bool
    corrupt: bool
    discard: bool  # decoded, and not shown: an edit list leaves it out
    side_data: tuple[tuple[str, bytes], ...]  # FFmpeg's name of the kind, content

    @classmethod
    def of(cls, packet: Packet[VideoStream]) -> StoredPacket:
        """Take a packet's content out of FFmpeg's hands."""
        return cls(
            bytes(packet),
            packet.pts,
            packet.dts,
            packet.duration or 0,
            packet.is_keyframe,
            packet.is_corrupt,
            packet.is_discard,
            tuple((side.data_type, bytes(side)) for side in packet.iter_sidedata()),
        )

    def packet(self, time_base: Fraction) -> Packet[VideoStream]:
        """A packet for a decoder, with FFmpeg's padding behind its bytes."""
        packet = Packet(len(self.data))
        packet.update(self.data)
        packet.time_base = time_base
        packet.pts, packet.dts, packet.duration = self.pts, self.dts, self.duration
        packet.is_keyframe, packet.is_corrupt = self.keyframe, self.corrupt
        for kind, content in self.side_data:
            side = PacketSideData(packet_sidedata_type_from_literal(kind), len(content))  # type: ignore[arg-type, call-arg]
            side.update(content)
            packet.set_sidedata(side, move=True)
        return cast("Packet[VideoStream]", packet)


@dataclass(frozen=True)
class Excerpt:
    """All that is needed to decode the frames of a range of time exactly as from the whole file."""

    path: Path  # of the file it was cut from; only a name here
    info: VideoInfo  # of the whole stream
    timeline: Timeline  # of the frames in the packets, without keyframes: it is decoded as a whole
    deinterlacing: bool
    decoder: Decoder
    tags: ColorTags  # the container's
    packets: tuple[StoredPacket, ...]  # in decoding order
    broken: bool  # the demuxer met a damaged end of the file behind them

    @property
    def nbytes(self) -> int:
        """Bytes of its packets."""
        return sum(len(packet.data) for packet in self.packets)

    @property
    def unseen(self) -> frozenset[int]:
        """Times of packets whose frames are not shown: PyAV cannot mark them for the decoder."""
        return frozenset(
            packet.pts for packet in self.packets if packet.discard and packet.pts is not None
        )

    def play(self) -> Iterator[Packet[VideoStream]]:
        """The packets anew, as often as one likes."""
        return (packet.packet(self.info.time_base) for packet in self.packets)


class ExcerptDecoding(Decoding):
    """A pass of a decoder over a piece, from its first packet to its last."""

    def __init__(self, excerpt: Excerpt, *, threads: int) -> None:
        """Prepare the decoder; `threads` as for Decoding."""
        self.path, self.tags = excerpt.path, excerpt.tags
        self.damage = self._given = self._refused = 0
        self._excerpt, self._unseen = excerpt, excerpt.unseen
        self.context = excerpt.decoder.open()
        prepare(self.context, reorder=excerpt.timeline.reorder, threads=threads)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is open but the decoder, which goes with this object."""

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """All packets, last an empty one that flushes the decoder."""
        yield from self._excerpt.play()
        self.damage += self._excerpt.broken
        yield cast("Packet[VideoStream]", Packet())

    def frames(self, packets: Iterable[Packet[VideoStream]] | None = None) -> Iterator[VideoFrame]:
        """All frames that are shown, in the order of presentation."""
        return (frame for frame in super().frames(packets) if frame.pts not in self._unseen)

    def packets_from(self, pts: int, timeline: Timeline, *, run_up: int = 0) -> None:
        """Nothing to seek in: the piece begins where it must."""
