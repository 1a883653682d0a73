"""The beginning of every stream of a file: its first packets and when they are shown."""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream

from vidsr.video.source import open_input

HEAD_PACKETS = 3
"""Packets kept of each stream; the first of some codecs is special, so one is not enough."""

HEAD_LIMIT = 4000
"""Packets read at most in search of the heads: a stream that begins later stays without any."""

HEAD_LIMIT_BYTES = 64 * 1024 * 1024
"""The same in bytes, for codecs with large frames."""


@dataclass
class Head:
    """The beginning of one stream; times in seconds on the file's own clock."""

    stream: Stream
    packets: list[Packet[Any]] = field(default_factory=list)
    start: Fraction | None = None  # of the earliest packet
    shown: Fraction | None = None  # of what is first seen or heard, a decoder's warm-up left out
    warm_up: Fraction = Fraction(0)  # length of that warm-up

    def add(self, packet: Packet[Any]) -> None:
        """Take a packet into account; the first few are kept."""
        time = packet.pts if packet.pts is not None else packet.dts
        base = packet.time_base
        if time is not None and base is not None:
            begin = time * base
            skipped = warm_up(packet)
            if not self.packets:
                self.warm_up = skipped
            self.start = begin if self.start is None else min(self.start, begin)
            if skipped or not packet.is_discard:
                shown = begin + skipped
                self.shown = shown if self.shown is None else min(self.shown, shown)
        if len(self.packets) < HEAD_PACKETS:
            self.packets.append(packet)


def read_heads(file: InputContainer) -> list[Head]:
    """The heads of all streams, in their order; `file` has just been opened."""
    heads = [Head(stream) for stream in file.streams]
    waiting = {
        head.stream.index
        for head in heads
        if head.stream.type != "attachment" and head.stream.discard != Discard.all
    }
    size = 0
    demuxer = file.demux()
    for _ in range(HEAD_LIMIT):
        try:
            packet = next(demuxer, None)
        except av.FFmpegError:
            break  # a damaged file; the reader says what is to be said of it
        if packet is None or not waiting or size > HEAD_LIMIT_BYTES:
            break
        if packet.size == 0:
            continue
        head = heads[packet.stream.index]
        head.add(packet)
        size += packet.size
        # Video's first picture may follow after others in the file, so more than its head is looked at.
        if len(head.packets) == HEAD_PACKETS or head.stream.disposition & Disposition.attached_pic:
            waiting.discard(packet.stream.index)
    return heads


def first_packets(path: Path, wanted: Collection[int]) -> dict[int, bytes]:
    """The first packet of some streams, by index: the whole picture of cover art."""
    found: dict[int, bytes] = {}
    if not wanted:
        return found
    with open_input(path) as file:
        for packet in file.demux([file.streams[index] for index in sorted(wanted)]):
            if packet.size:
                found.setdefault(packet.stream.index, bytes(packet))
            if len(found) == len(wanted):
                break
    return found


def warm_up(packet: Packet[Any]) -> Fraction:
    """Seconds at the beginning of an audio packet that a decoder throws away (encoder delay)."""
    samples, _ = skipped_samples(packet)
    context = getattr(packet.stream, "codec_context", None)
    if not samples or not isinstance(context, AudioCodecContext) or not context.sample_rate:
        return Fraction(0)
    # FFmpeg counts what an MP4 edit list cuts off in ticks of the track, also with SBR's doubled rate.
    if "mp4" in packet.stream.container.format.name and packet.time_base:
        return samples * packet.time_base
    return Fraction(samples, context.sample_rate)


def edited_end(stream: Stream) -> Fraction | None:
    """Where an MP4's edit list ends an audio stream, seconds; None for anything else.

    The last packet may be longer: a parser gives MP3 packets the duration of whole frames.
    """
    if "mp4" not in stream.container.format.name or stream.type != "audio":
        return None
    if stream.start_time is None or stream.duration is None or stream.time_base is None:
        return None
    return (stream.start_time + stream.duration) * stream.time_base


def skipped_samples(packet: Packet[Any]) -> tuple[int, int]:
    """How many samples a decoder throws away at the packet's (beginning, end)."""
    if not packet.has_sidedata("skip_samples"):
        return 0, 0
    # FFmpeg: two 32-bit counts, little endian, and two bytes of reasons.
    start, end = struct.unpack_from("<II", bytes(packet.get_sidedata("skip_samples")))
    return int(start), int(end)


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of a stream's codec; "unknown" where this build has no decoder for it."""
    context = getattr(stream, "codec_context", None)
    if context is not None:
        return str(context.codec.canonical_name)
    if stream.type == "attachment":
        return stream.metadata.get("mimetype") or "unknown"
    return (stream.name if stream.type == "data" else None) or "unknown"


def copy_packet(packet: Packet[Any]) -> Packet[Any]:
    """A packet of the same stream with the same content, to be changed freely."""
    copy: Packet[Any] = Packet(bytes(packet))
    copy.stream, copy.time_base = packet.stream, packet.time_base
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.is_keyframe = packet.is_keyframe
    for data in packet.iter_sidedata():
        copy.set_sidedata(data)
    return copy
