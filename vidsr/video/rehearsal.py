"""A join in small: headers and first packets go through the muxer into memory, and are read back."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet

from vidsr.video.containers import Container
from vidsr.video.heads import Head, copy_packet
from vidsr.video.matroska import RESERVE
from vidsr.video.plan import RemuxPlan, file_tags, matched_streams, missing_tags, stream_tags
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


@dataclass(frozen=True)
class Echo:
    """What a rehearsed file says of itself, read back."""

    lost: tuple[str, ...]  # tags of the source that it does not hold, as "stream 1: title"
    dispositions: Mapping[int, int]  # by the stream's index in the source


def read_back(plan: RemuxPlan, file: InputContainer, rehearsed: bytes) -> Echo:
    """Compare the tags and marks of a rehearsed file with the source's."""
    with av.open(io.BytesIO(rehearsed), "r", metadata_errors="replace") as result:
        lost = [f"file: {key}" for key in missing_tags(file_tags(file.metadata), result.metadata)]
        matched = matched_streams(plan, result)
        for stream in plan.kept:
            original = file.streams[stream.index].metadata
            wanted = stream_tags(original, upscaled=stream.action == "upscale")
            wanted["language"] = stream.language
            copy = matched.get(stream.index)
            # A transport stream's audio may need more packets to be recognised; it keeps no tags anyway.
            found = dict(copy.metadata) if copy is not None else {"language": "unknown"}
            if "title" in found:  # in Matroska still with the room for corrections
                found["title"] = found["title"].removesuffix(RESERVE)
            lost += [f"stream {stream.index}: {key}" for key in missing_tags(wanted, found)]
        return Echo(tuple(lost), {index: int(copy.disposition) for index, copy in matched.items()})
