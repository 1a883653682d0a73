"""What a pipe carries, in the order in which it comes: frames, and packets of everything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from av.packet import Packet

from vidsr.frames import FrameBatch
from vidsr.video.others import OtherPackets


@dataclass(frozen=True)
class Copied:
    """A packet of another stream, on its way through."""

    packet: Packet[Any]

    @property
    def nbytes(self) -> int:
        """Bytes held by the packet."""
        return self.packet.size


Piece = FrameBatch | Copied


def interleaved(batches: Iterator[FrameBatch], others: OtherPackets) -> Iterator[Piece]:
    """Frames and a file's other packets, each packet before the first batch that ends later."""
    for batch in batches:
        for packet in others.before(batch.pts[-1] * batch.time_base):
            yield Copied(packet)
        yield batch
    for packet in others.rest():
        yield Copied(packet)
