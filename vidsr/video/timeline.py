"""The times of all frames of a video stream, known from one pass over its packets.

Nothing is decoded: a container's packets carry their presentation times, and reading them all costs
little more than reading the file. With the whole list at hand, what is wrong with it can be repaired
once, in a way that does not depend on where a later decoding begins.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
from av.packet import Packet
from av.video.stream import VideoStream

from vidsr.errors import InputError
from vidsr.video.source import discard_others, open_input

Clock = Literal["exact", "repeated", "missing"]

FALLBACK_RATE = Fraction(25)
"""Frames a second of a stream that states neither times nor a rate, as in FFmpeg's raw demuxers."""


@dataclass(frozen=True)
class Timeline:
    """When each frame of a stream is shown.

    `clock` says how far the container can be believed: "exact" (each packet has its own time, and a
    reader may start anywhere), "repeated" (times repeat, or go backwards, and were made to rise) or
    "missing" (times come from the decoding order and the frame rate). Of the latter two the times hold
    for a stream that is decoded from its beginning.
    """

    time_base: Fraction  # seconds per tick
    pts: tuple[int, ...]  # of every frame shown, in ticks, strictly rising
    durations: tuple[int, ...]  # ticks, as the packets state them; 0 where unknown; one for each pts
    keyframes: tuple[int, ...] = ()  # pts of all packets a decoder can start with, shown or not; rising
    clock: Clock = "exact"
    repaired: int = 0  # how many frames are shown at another time than their packet says
    reorder: int = 0  # most frames that come later in the file and are shown earlier than one
    corrupt: int = 0  # packets the demuxer knows to be damaged

    @property
    def exact(self) -> bool:
        """Whether every frame has its own time in the container, so that reading may start anywhere."""
        return self.clock == "exact"

    @property
    def count(self) -> int:
        """How many frames there are to be shown; a decoder may give fewer where packets are damaged."""
        return len(self.pts)

    @property
    def start(self) -> int:
        """When the first frame is shown, in ticks; 0 for an empty stream."""
        return self.pts[0] if self.pts else 0

    @property
    def end(self) -> int:
        """When the last frame ends, in ticks."""
        return self.pts[-1] + self.last_duration if self.pts else 0

    @property
    def last_duration(self) -> int:
        """Ticks that the last frame is shown: as stated, else as long as the one before, else 1."""
        if self.durations and self.durations[-1] > 0:
            return self.durations[-1]
        return self.pts[-1] - self.pts[-2] if len(self.pts) > 1 else 1

    def keyframe_before(self, pts: int, steps: int = 1) -> int | None:
        """The `steps`-th keyframe at or before a time (1: the nearest); None where there are fewer."""
        index = bisect_right(self.keyframes, pts) - steps
        return self.keyframes[index] if index >= 0 else None

    def has_keyframe(self, pts: int) -> bool:
        """Whether a decoder can start at exactly this time."""
        return self.keyframe_before(pts) == pts


class FrameClock:
    """Gives each decoded frame its time, in the order of presentation, strictly rising."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._last: int | None = None
        self._position = -1

    def time(self, pts: int | None) -> int:
        """The time of the next frame, whose own time the decoder says to be `pts`, in ticks."""
        self._position += 1
        timeline = self.timeline
        if timeline.clock == "missing":
            # By rank: the decoder's own guess depends on where it began and how many threads it has.
            if self._position < timeline.count:
                time = timeline.pts[self._position]
            else:
                time = (self._last or timeline.start) + timeline.last_duration
        elif pts is None:
            time = timeline.start if self._last is None else self._last + 1
        else:
            time = pts
        if self._last is not None and time <= self._last:
            time = self._last + 1
        self._last = time
        return time


def scan_timeline(path: Path, stream_index: int) -> Timeline:
    """Read all packets of a stream and work out when its frames are shown.

    `stream_index` counts over all streams of the container. Packets that only help to decode others are
    left out: those before the start of an edit list, empty ones, hidden VP8 frames.

    Raises:
        InputError: the file cannot be opened, or holds not one frame of this stream.
    """
    with open_input(path) as container:
        stream = container.streams[stream_index]
        if not isinstance(stream, VideoStream):
            raise InputError(f"{path}: stream {stream_index} is not video")
        discard_others(container, stream_index)
        packets: list[_Entry] = []
        damaged = 0
        demuxer = container.demux(stream)
        while True:
            try:
                packet = next(demuxer, None)
            except av.FFmpegError:
                damaged += 1  # a broken end of the file; what came before it still counts
                break
            if packet is None:
                break
            if packet.size and not _is_hidden(packet, stream.codec_context.name):
                damaged += packet.is_corrupt
                packets.append(
                    _Entry(
                        packet.pts,
                        packet.dts,
                        packet.duration or 0,
                        packet.is_keyframe,
                        packet.is_discard,
                    )
                )
        if all(entry.discard for entry in packets):
            raise InputError(f"{path}: video stream {stream_index} holds no frames")
        assert stream.time_base is not None
        # A stream without reordering may state decoding times only: they are its presentation times.
        reordering = stream.codec_context.has_b_frames
        step = _frame_ticks(stream)
        return _timeline(packets, stream.time_base, step, reordering, damaged, container.format.name)


@dataclass(frozen=True, slots=True)
class _Entry:
    pts: int | None
    dts: int | None
    duration: int
    keyframe: bool
    discard: bool


def _timeline(
    packets: Sequence[_Entry],
    time_base: Fraction,
    step: int,
    reordering: bool,
    corrupt: int,
    container: str,
) -> Timeline:
    clock: Clock = "exact"
    entries = [packet for packet in packets if not packet.discard]
    stated = [entry.pts for entry in entries if entry.pts is not None]
    if len(stated) < len(entries) or (container == "avi" and reordering):
        # AVI has no presentation times; what libavformat derives for B-frames depends on the encoder's
        # habits (measured: wrong for x264 with two B-frames), so there the order alone is believed.
        clock = "missing"
        raw = _times_by_rank(entries, step)
        order = list(range(len(entries)))
    else:
        order = _presentation_order(entries, stated)
        raw = [stated[index] for index in order]
    pts = _rising(raw)
    repaired = sum(a != b for a, b in zip(raw, pts, strict=True)) if clock != "missing" else len(pts)
    if clock == "exact" and (repaired or any(a > b for a, b in pairwise(raw))):
        clock = "repeated"
    rank = {index: position for position, index in enumerate(order)}
    reorder = max((index - rank[index] for index in range(len(entries))), default=0)
    return Timeline(
        time_base=time_base,
        pts=tuple(pts),
        durations=tuple(entries[index].duration for index in order),
        keyframes=tuple(sorted({p.pts for p in packets if p.keyframe and p.pts is not None})),
        clock=clock,
        repaired=repaired,
        reorder=max(0, reorder),
        corrupt=corrupt,
    )


def _presentation_order(entries: Sequence[_Entry], stated: Sequence[int]) -> list[int]:
    """Packet indices in the order their frames are shown.

    A keyframe is shown after all that precede it in the file. One that says otherwise begins a new
    count (files joined byte by byte), and frames are sorted within each such part only.
    """
    order: list[int] = []
    part: list[int] = []
    latest: int | None = None
    for index, entry in enumerate(entries):
        if entry.keyframe and latest is not None and stated[index] <= latest:
            order += sorted(part, key=stated.__getitem__)
            part, latest = [], None
        part.append(index)
        latest = stated[index] if latest is None else max(latest, stated[index])
    return order + sorted(part, key=stated.__getitem__)


def _times_by_rank(entries: Sequence[_Entry], step: int) -> list[int]:
    """Times for frames that have none of their own: decoding times in order, else the frame rate."""
    times: list[int] = []
    for entry in entries:
        following = times[-1] + step if times else 0
        times.append(following if entry.dts is None else entry.dts)
    return sorted(times)


def _rising(raw: Sequence[int]) -> list[int]:
    """Make times rise strictly, moving each as little as the ones before it allow."""
    pts: list[int] = []
    for time in raw:
        pts.append(max(time, pts[-1] + 1) if pts else time)
    return pts


def _frame_ticks(stream: VideoStream) -> int:
    """Ticks from one frame to the next at the stream's nominal rate."""
    assert stream.time_base is not None
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate or FALLBACK_RATE
    return max(1, round(1 / (rate * stream.time_base)))


def _is_hidden(packet: Packet[VideoStream], codec: str) -> bool:
    """Whether a packet holds a VP8 frame that is decoded but never shown (an alternate reference).

    RFC 6386, 9.1: the fifth bit of the frame tag is show_frame. VP9 hides such frames inside packets.
    """
    return codec in ("vp8", "libvpx") and not bytes(packet)[0] >> 4 & 1
