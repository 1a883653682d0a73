"""A join in small: headers and first packets go through the muxer into memory, and are read back."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet

from vidsr.video.containers import Container
from vidsr.video.heads import Head, copy_packet
from vidsr.video.plan import RemuxPlan, file_tags, stream_tags
from vidsr.video.target import Target

REFUSALS = (av.FFmpegError, ValueError, OSError)
"""What PyAV raises when a muxer does not take a stream."""


def rehearse(
    plan: RemuxPlan, container: Container, file: InputContainer, heads: Iterable[Head]
) -> bytes:
    """The file that the plan's streams make with the packets of their heads; one of REFUSALS if none."""
    packets = [copy_packet(packet) for head in heads for packet in head.packets]
    packets.sort(key=lambda packet: (packet.dts or packet.pts or 0) * (packet.time_base or Fraction(1)))
    covers = {head.stream.index: bytes(head.packets[0]) for head in heads if head.packets}
    memory = io.BytesIO()
    with Target(memory, plan, container, file, None, covers=covers, tags={}) as target:
        target.start()
        if any(stream.action == "upscale" for stream in plan.streams):
            target.write_video(Packet(bytes(16)), 0, 0, 1)  # muxers leave out a stream without packets
        for packet in packets:
            if packet.stream.index != plan.main_stream:
                target.copy(packet)
        target.flush()
    return memory.getvalue()


def lost_tags(plan: RemuxPlan, file: InputContainer, rehearsed: bytes) -> tuple[str, ...]:
    """The tags of the source that the rehearsed file does not hold, as "stream 1: title"."""
    with av.open(io.BytesIO(rehearsed), "r", metadata_errors="replace") as result:
        lost = [f"file: {key}" for key in _missing(file_tags(file.metadata), result.metadata)]
        for stream, copy in zip(plan.kept, result.streams, strict=False):
            original = file.streams[stream.index].metadata
            wanted = stream_tags(original, upscaled=stream.action == "upscale")
            lost += [f"stream {stream.index}: {key}" for key in _missing(wanted, copy.metadata)]
    return tuple(lost)


def _missing(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    there = {key.lower(): value for key, value in found.items()}
    return [key for key, value in wanted.items() if there.get(key.lower()) != value]
