"""One pass over the packets of a file: what each stream holds and when."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Collection
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Stream
from av.subtitles.stream import SubtitleStream

from vidsr.video.containers import PLAIN_TEXT
from vidsr.video.heads import codec_name, edited_end, skipped_samples, warm_up
from vidsr.video.payload import frame_samples, payload
from vidsr.video.subtitles import is_gap, spoken_text


@dataclass
class StreamScan:
    """What one stream holds; memory is one number a packet."""

    stream: Stream
    time_base: Fraction  # seconds per tick
    pts: array[int] = field(default_factory=lambda: array("q"))  # of each packet, in decoding order
    packets: int = 0
    size: int = 0  # bytes of what the packets say, without the container's wrapping
    heard: Fraction | None = None  # seconds, where the first packet's warm-up ends
    end: Fraction | None = None  # seconds, where the last packet ends
    texts: list[str] = field(default_factory=list)  # of text subtitles
    _digest: Any = field(default_factory=hashlib.sha256)

    @property
    def digest(self) -> str:
        """SHA-256 of what all packets say, one after another."""
        return str(self._digest.hexdigest())

    @property
    def first(self) -> Fraction | None:
        """When the first packet is shown, seconds."""
        return self.pts[0] * self.time_base if self.pts else None

    def add(self, packet: Packet[Any]) -> None:
        """Take a packet into account."""
        data = bytes(packet)
        codec = codec_name(self.stream)
        if is_gap(codec, data):
            return
        time = packet.pts if packet.pts is not None else packet.dts
        said = payload(self.stream, data)
        self.packets += 1
        self.size += len(said)
        self._digest.update(said)
        if isinstance(self.stream, SubtitleStream) and codec in PLAIN_TEXT:
            text = spoken_text(self.stream, packet)
            if text is not None:
                self.texts.append(text)
        if time is None:
            return
        self.pts.append(time)
        begin = time * self.time_base
        if self.heard is None:
            self.heard = begin + warm_up(packet)
        length = self._length(packet, data)
        self.end = begin + length if length is not None else None
        edited = edited_end(self.stream)
        if self.end is not None and edited is not None and begin < edited < self.end:
            self.end = edited

    def _length(self, packet: Packet[Any], data: bytes) -> Fraction | None:
        """Seconds for which a packet is heard or shown; None if the container does not say."""
        length = (packet.duration or 0) * self.time_base
        _, cut = skipped_samples(packet)
        full = frame_samples(self.stream, data)
        context = getattr(self.stream, "codec_context", None)
        if cut and full and isinstance(context, AudioCodecContext) and context.sample_rate:
            # Some demuxers have taken the cut off the duration already, and some have not.
            heard = Fraction(full - cut, context.sample_rate)
            return min(length, heard) if length else heard
        return length or None


def scan_streams(file: InputContainer, wanted: Collection[int]) -> dict[int, StreamScan]:
    """Read the packets of the wanted streams, by index; a damaged end is passed over."""
    scans = {}
    for stream in file.streams:
        if stream.index in wanted:
            scans[stream.index] = StreamScan(stream, stream.time_base or Fraction(1, 1000))
        else:
            stream.discard = Discard.all
    demuxer = file.demux([file.streams[index] for index in sorted(scans)]) if scans else iter(())
    while True:
        try:
            packet = next(demuxer, None)
        except av.FFmpegError:
            break
        if packet is None:
            break
        if packet.size:
            scans[packet.stream.index].add(packet)
    return scans
