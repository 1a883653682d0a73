"""Cutting a piece out of a video without decoding it, such that it decodes to the very same frames."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import replace

from av.packet import Packet
from av.video.stream import VideoStream

from vidsr.video.decoding import Decoding
from vidsr.video.deinterlace import RUN_UP
from vidsr.video.excerpt import Decoder, Excerpt, StoredPacket
from vidsr.video.reader import VideoReader
from vidsr.video.timeline import Timeline, counts_as_frame

LOOK_AHEAD = 2
"""Frames behind the last one wanted: the deinterlacer looks one ahead, and one more shows the reader
that the range has ended, as it does in the whole file."""


def cut_excerpt(reader: VideoReader, start_pts: int | None, end_pts: int | None) -> Excerpt:
    """Cut out what decodes to the frames with start_pts <= pts < end_pts, bit for bit.

    It begins where a reader of the file would begin: as many keyframes earlier as open groups of
    pictures, recovery points and filters need (Decoding.packets_from). Of a stream whose times hold
    from its beginning only (Timeline.clock), everything before `end_pts` is in it. Raises InputError
    where the file cannot be read, or its codec cannot be told to another machine.
    """
    timeline = reader.timeline
    with _open(reader) as decoding:
        decoder, tags = Decoder.of(decoding.stream, reader.path), decoding.tags
        stored: tuple[StoredPacket, ...] | None = None
        if start_pts is not None and start_pts > timeline.start:
            packets = decoding.packets_from(start_pts, timeline, run_up=RUN_UP)
            if packets is not None:
                stored = tuple(_stored(packets, decoding, timeline, start_pts, end_pts))
                broken = bool(decoding.damage)
    if stored is None:
        start_pts = start_pts if timeline.exact else None
        with _open(reader) as decoding:
            stored = tuple(_stored(decoding.packets(), decoding, timeline, start_pts, end_pts))
            broken = bool(decoding.damage)
    wanted = _range(timeline, start_pts, end_pts)
    return Excerpt(
        path=reader.path,
        info=reader.info,
        timeline=replace(
            timeline, pts=timeline.pts[wanted], durations=timeline.durations[wanted], keyframes=()
        ),
        deinterlacing=reader.deinterlacing,
        decoder=decoder,
        tags=tags,
        packets=stored,
        broken=broken,
    )


def _open(reader: VideoReader) -> Decoding:
    return Decoding(reader.path, reader.info.stream_index, reorder=reader.timeline.reorder, threads=1)


def _range(timeline: Timeline, start: int | None, end: int | None) -> slice:
    """Where the frames of a range of time are in the timeline."""
    first = 0 if start is None else bisect_left(timeline.pts, start)
    return slice(first, len(timeline.pts) if end is None else bisect_left(timeline.pts, end))


def _stored(
    packets: Iterable[Packet[VideoStream]],
    decoding: Decoding,
    timeline: Timeline,
    start: int | None,
    end: int | None,
) -> Iterator[StoredPacket]:
    """The packets up to the last one that the frames of the range need, and those to look ahead."""
    wanted = _range(timeline, start, end)
    left = wanted.stop - wanted.start
    # Where times are not the packets' own, packets are counted; they may be this far from their place.
    ahead = LOOK_AHEAD + timeline.reorder
    for packet in packets:
        if not packet.size:
            return
        yield StoredPacket.of(packet)
        if not counts_as_frame(packet, decoding.codec):
            continue
        if left > 0:
            left -= not timeline.exact or _within(packet.pts, start, end)
        else:
            ahead -= 1
        if left <= 0 and ahead <= 0 and end is not None:
            return


def _within(pts: int | None, start: int | None, end: int | None) -> bool:
    assert pts is not None  # or the timeline were not exact
    return (start is None or pts >= start) and (end is None or pts < end)
