"""Everything of a file besides its upscaled video, packet by packet."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard

from vidsr.video.plan import RemuxPlan


class OtherPackets:
    """The packets of all streams that are kept but the upscaled one, given out as their time comes."""

    error: bool
    """Whether the end of the file could not be read."""

    def __init__(self, file: InputContainer, plan: RemuxPlan) -> None:
        wanted = {stream.index for stream in plan.kept if stream.action != "upscale"}
        for stream in file.streams:
            if stream.index not in wanted:
                stream.discard = Discard.all
        self.error = False
        self._packets = file.demux([file.streams[index] for index in sorted(wanted)] or [])
        self._next: Packet[Any] | None = self._read() if wanted else None

    def before(self, time: Fraction) -> Iterator[Packet[Any]]:
        """All packets that are to be decoded before `time`, seconds on the source's clock."""
        while self._next is not None:
            packet = self._next
            ticks = packet.dts if packet.dts is not None else packet.pts
            if ticks is not None and ticks * (packet.time_base or Fraction(1)) >= time:
                return
            self._next = self._read()
            yield packet

    def rest(self) -> Iterator[Packet[Any]]:
        """All packets that are left."""
        while self._next is not None:
            packet, self._next = self._next, self._read()
            yield packet

    def _read(self) -> Packet[Any] | None:
        try:
            while (packet := next(self._packets, None)) is not None:
                if packet.size:
                    return packet
        except av.FFmpegError:
            self.error = True  # a damaged end; what could be read is in the result, and this is said
        return None
