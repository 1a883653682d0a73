"""The times of all frames of a video stream, known from one pass over its packets.

Nothing is decoded: a container's packets carry their presentation times, and reading them all costs
little more than reading the file. With the whole list at hand, what is wrong with it can be repaired
once, in a way that does not depend on where a later decoding begins.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import Literal, NamedTuple

import av
from av.packet import Packet
from av.video.stream import VideoStream

from vidsr.errors import InputError
from vidsr.video.source import discard_others, open_input

Clock = Literal["exact", "repeated", "missing"]

FALLBACK_RATE = Fraction(25)
"""Frames a second of a stream that states neither times nor a rate, as in FFmpeg's raw demuxers."""


WITHOUT_PRESENTATION_TIMES = frozenset(["avi"])
"""Containers with decoding times only. What libavformat derives from them for B-frames depends on the
encoder's habits (measured: wrong for x264 with two B-frames), so there the order alone is believed."""

EVEN_SHARE = 0.9
"""Part of the waits between frames that must be equal for a rate to count as constant."""

BACKWARD_STEPS = 25
"""How many frames back a time must go to begin a new recording: more than any codec reorders (16)."""


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
    step: int = 1  # ticks from one frame to the next at the nominal rate
    bytes: int = 0  # of all packets of the stream

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
        """Ticks that the last frame is shown: as stated, else as long as the one before."""
        if self.durations and self.durations[-1] > 0:
            return self.durations[-1]
        return self.pts[-1] - self.pts[-2] if len(self.pts) > 1 else self.step

    @property
    def gaps(self) -> int:
        """About how many frames are missing in the middle of a stream of otherwise constant rate.

        Demuxers skip what is damaged without a word; what is left of it is a hole in the times. 0 for
        variable rates, where a longer wait means nothing.
        """
        waits = [after - before for before, after in pairwise(self.pts)]
        if len(waits) < 3:
            return 0
        usual = median_low(waits)
        # Times rounded to milliseconds differ by one tick from each other.
        even = sum(abs(wait - usual) <= 1 for wait in waits)
        if even < EVEN_SHARE * len(waits):
            return 0
        return sum(max(0, round(wait / usual) - 1) for wait in waits)

    def keyframe_before(self, pts: int, steps: int = 1) -> int | None:
        """The `steps`-th keyframe at or before a time (1: the nearest); None where there are fewer."""
        index = bisect_right(self.keyframes, pts) - steps
        return self.keyframes[index] if index >= 0 else None

    def has_keyframe(self, pts: int) -> bool:
        """Whether a decoder can start at exactly this time."""
        return self.keyframe_before(pts) == pts


class FrameClock:
    """Gives each frame of one decoding pass its time, in the order of presentation, strictly rising."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._rising = RisingTimes(timeline.step)
        self._position = -1

    def time(self, pts: int | None, *, keyframe: bool = False) -> int:
        """The time of the next frame, in ticks.

        `pts` is what the decoder gives: the frame's own time; or, where a container has no times
        ("missing"), the number of its packet, counted from 0 in the file.
        """
        timeline = self._timeline
        if timeline.clock == "missing":
            self._position += 1
            if pts is not None:
                # Frames that were lost leave the ones behind them where they belong: a keyframe is shown
                # after all that come before it in the file, any other at most `reorder` places earlier.
                self._position = max(self._position, pts - (0 if keyframe else timeline.reorder))
            behind = self._position - timeline.count
            if behind < 0:
                return self._rising(timeline.pts[self._position])
            return self._rising(timeline.end + behind * timeline.step)
        return self._rising(pts)


class RisingTimes:
    """Makes times rise strictly, in one pass, moving each as little as the ones before it allow."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._offset = 0
        self._raw: int | None = None
        self._time: int | None = None

    def __call__(self, raw: int | None) -> int:
        """The time of the next frame, whose own is `raw`, or None where it has none."""
        if self._time is None:
            self._time = 0 if raw is None else raw
        elif raw is None:
            self._time += 1
        else:
            if self._raw is not None and raw < self._raw - BACKWARD_STEPS * self._step:
                # A second recording joined behind the first: its own spacing goes on from here.
                self._offset = self._time + self._step - raw
            self._time = max(raw + self._offset, self._time + 1)
        self._raw = self._raw if raw is None else raw
        return self._time


def scan_timeline(path: Path, stream_index: int) -> Timeline:
    """Read all packets of a stream and work out when its frames are shown.

    `stream_index` counts over all streams of the container. Packets that only help to decode others are
    left out (see counts_as_frame).

    Raises:
        InputError: the file cannot be opened, or holds not one frame of this stream.
    """
    with open_input(path) as container:
        stream = container.streams[stream_index]
        if not isinstance(stream, VideoStream):
            raise InputError(f"{path}: stream {stream_index} is not video")
        discard_others(container, stream_index)
        codec = stream.codec_context.codec.canonical_name
        entries: list[_Entry] = []
        keyframes: set[int] = set()
        corrupt = size = 0
        demuxer = container.demux(stream)
        while True:
            try:
                packet = next(demuxer, None)
            except av.FFmpegError:
                corrupt += 1  # the end of the file is damaged; what came before it still counts
                break
            if packet is None:
                break
            size += packet.size
            if packet.is_keyframe and packet.pts is not None:
                keyframes.add(packet.pts)
            if counts_as_frame(packet, codec):
                corrupt += packet.is_corrupt
                entries.append(_Entry(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe))
        if not entries:
            raise InputError(f"{path}: video stream {stream_index} holds no frames")
        timeline = _timeline(
            entries, stream, believe_times=container.format.name not in WITHOUT_PRESENTATION_TIMES
        )
        return replace(timeline, keyframes=tuple(sorted(keyframes)), corrupt=corrupt, bytes=size)


class _Entry(NamedTuple):
    """A packet that makes a frame; times in ticks."""

    pts: int | None
    dts: int | None
    duration: int
    keyframe: bool


def _timeline(entries: Sequence[_Entry], stream: VideoStream, *, believe_times: bool) -> Timeline:
    assert stream.time_base is not None
    step = frame_ticks(stream)
    delay = stream.codec_context.reorder_depth
    stated = [entry.pts for entry in entries if entry.pts is not None]
    rising = RisingTimes(step)
    if len(stated) < len(entries) or (delay and not believe_times):
        pts = [rising(time) for time in _times_by_rank(entries, step)]
        durations = tuple(entry.duration for entry in entries)
        return Timeline(
            stream.time_base,
            tuple(pts),
            durations,
            clock="missing",
            repaired=len(pts),
            reorder=delay,
            step=step,
        )
    order = _presentation_order(entries, stated)
    raw = [stated[index] for index in order]
    pts = [rising(time) for time in raw]
    repaired = sum(ours != theirs for ours, theirs in zip(pts, raw, strict=True))
    return Timeline(
        stream.time_base,
        tuple(pts),
        tuple(entries[index].duration for index in order),
        clock="repeated" if repaired else "exact",
        repaired=repaired,
        # A frame waits for as many others as lie before it in the file and are shown after it.
        reorder=max(delay, *(index - position for position, index in enumerate(order))),
        step=step,
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


def frame_ticks(stream: VideoStream) -> int:
    """Ticks from one frame to the next at the stream's nominal rate."""
    assert stream.time_base is not None
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate or FALLBACK_RATE
    return max(1, round(1 / (rate * stream.time_base)))


def counts_as_frame(packet: Packet[VideoStream], codec: str) -> bool:
    """Whether a packet makes a frame that is shown.

    Not so: empty ones (AVI's way to repeat a frame), those that an edit list leaves out, and VP8's
    alternate references (RFC 6386, 9.1: the fifth bit of the frame tag is show_frame; VP9 hides such
    frames inside of packets).
    """
    if not packet.size or packet.is_discard:
        return False
    return codec != "vp8" or bool(bytes(packet)[0] >> 4 & 1)
