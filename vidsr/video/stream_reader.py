"""Reading a video out of a pipe: once, from its beginning, as it comes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from itertools import chain
from types import TracebackType
from typing import Self

from av.video.frame import VideoFrame

from vidsr.errors import InputError
from vidsr.frames import VideoInfo
from vidsr.video import y4m
from vidsr.video.batching import BatchBuilder
from vidsr.video.decoding import Decoding
from vidsr.video.deinterlace import Deinterlacer
from vidsr.video.heads import Head
from vidsr.video.pieces import Copied, Piece
from vidsr.video.probe import chroma_siting, probe
from vidsr.video.source import main_video_stream, open_stream
from vidsr.video.standard_streams import STDIN, StandardInput
from vidsr.video.timeline import WITHOUT_PRESENTATION_TIMES, RisingTimes, frame_ticks
from vidsr.video.uniform import Uniform

PROBE_FRAMES = 8
"""Frames looked at for interlacing before the first goes on: a third of a second of a live stream."""

_TELL_THEIR_FIELDS = frozenset(["rawvideo", "vp8", "vp9", "av1", "ffv1", "theora"])
"""Codecs whose first frame and header tell all: they know no fields, or say it at the beginning."""

_UNSPECIFIED = 2  # H.273, of the matrix

_CLOSE_WITHIN_S = 5.0


class StreamReader:
    """A video out of a pipe, as pieces in the order in which they come; a context manager.

    Nothing is looked at twice and nothing is read ahead but the first frames: times are taken as they
    come and made to rise, the length is unknown, and memory does not grow with it. It decodes with one
    thread: that one has its errors at once, where several lose good frames behind an error (see
    VideoReader, which has a second pass to find them) and each holds a frame back.
    """

    def __init__(
        self, source: StandardInput, *, video_stream: int | None = None, deinterlace: bool = True
    ) -> None:
        """Open the pipe; waits until its first frames have come. Options as of VideoReader.

        Raises:
            InputError: it is empty, no video that can be read from a pipe, or nothing can be decoded.
        """
        self._source = source
        self._reading = threading.Lock()  # whoever holds it may touch the container
        try:
            self._open(video_stream)
        finally:
            source.raise_interrupt()
        self.deinterlacing = deinterlace and self.info.interlaced

    def _open(self, video_stream: int | None) -> None:
        head = self._source.peek()
        if not head:
            raise InputError(f"{STDIN} is empty: the program before vidsr in the pipe sent nothing")
        is_y4m = head.startswith(y4m.MAGIC)
        if is_y4m:
            y4m.refuse_unreadable(head, STDIN)
        self.container = open_stream(self._source, STDIN)
        try:
            stream = main_video_stream(self.container, STDIN, video_stream)
            self._decoding = Decoding(STDIN, stream.index, threads=1, container=self.container)
            siting = y4m.stated_siting(head) if is_y4m else chroma_siting(self._decoding.stream)
            self.format = "y4m" if is_y4m else self.container.format.name
            self._believes = self.container.format.name not in WITHOUT_PRESENTATION_TIMES
            self._events = self._decoded()
            self._first = self._begin()
            frames = [event for event in self._first if isinstance(event, VideoFrame)]
            if not frames:
                is_mp4 = "mp4" in self.format
                raise InputError(
                    f"{STDIN}: no frame of video stream {stream.index} ({self._decoding.codec})"
                    f" can be decoded{': MP4 cannot be piped, but Matroska can' if is_mp4 else ''}"
                )
            self.info: VideoInfo = probe(self._decoding, frames, siting, None)
            # Whether the stream itself says by which equation its planes mean colour.
            tags = {self._decoding.tags.matrix, int(frames[0].colorspace)}
            self.color_is_stated = self.info.color.matrix in ("rgb", "gray") or tags != {_UNSPECIFIED}
            self._step = frame_ticks(stream)
            self.start_pts = self._raw_time(frames[0]) or 0  # when the first frame is shown, ticks
        except BaseException:
            self.container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._source.stop.set()
        # A thread that is still inside the demuxer finds the end of the pipe within a moment. If it
        # does not, nothing is closed under its hands: the process is about to end anyway.
        if self._reading.acquire(timeout=_CLOSE_WITHIN_S):
            self.container.close()

    @property
    def stop(self) -> threading.Event:
        """Set it, and the pipe ends here."""
        return self._source.stop

    @property
    def errors(self) -> int:
        """Packets and frames found damaged so far."""
        return self._decoding.damage

    @property
    def heads(self) -> list[Head]:
        """The beginnings of all streams, as far as they came before the first frames of the video."""
        heads = [Head(stream) for stream in self.container.streams]
        for event in self._first:
            if isinstance(event, Copied):
                heads[event.packet.stream.index].add(event.packet)
        main = heads[self.info.stream_index]
        main.start = main.shown = self.start_pts * self.info.time_base
        return heads

    def pieces(self, size: int) -> Iterator[Piece]:
        """Give everything that comes: frames in batches of at most `size`, packets of other streams.

        A packet comes before the frames that follow it in the pipe. To be called once.

        Raises:
            InputError: the frames change their size in the middle.
        """
        with self._reading:
            batch = BatchBuilder(self.info, size)
            for item in self._frames_and_packets():
                if isinstance(item, Copied):
                    yield item
                    continue
                batch.add(*item)
                if batch.full:  # at once, not when the next frame comes: that may take a while
                    yield batch.take()
                    batch = BatchBuilder(self.info, size)
            if batch.times:
                yield batch.take()

    def _frames_and_packets(self) -> Iterator[tuple[VideoFrame, int] | Copied]:
        """Packets, and frames with their times, uniform and progressive."""
        rising = RisingTimes(self._step)
        uniform = Uniform(self.info, self._decoding)
        deinterlacer = Deinterlacer() if self.deinterlacing else None
        following: int | None = None
        first, self._first = deque(self._first), []
        held = (first.popleft() for _ in range(len(first)))  # let go of as they are used
        for event in chain(held, self._events):
            if isinstance(event, Copied):
                yield event
                continue
            raw = self._raw_time(event)
            time = rising(raw if raw is not None or following is None else following)
            following = time + self._step
            frame = uniform(event, time)
            if deinterlacer is None:
                yield frame, time
            else:
                yield from deinterlacer.add(frame, time)
        if deinterlacer is not None:
            yield from deinterlacer.rest()

    def _decoded(self) -> Iterator[VideoFrame | Copied]:
        main = self._decoding.stream
        for packet in self._decoding.packets():
            # A packet of no stream ends the decoder's work where the rest of the pipe is damaged.
            if packet.stream is None or packet.stream.index == main.index:
                yield from self._decoding.decode(packet)
            elif packet.size:
                yield Copied(packet)

    def _begin(self) -> list[VideoFrame | Copied]:
        """What comes up to the frames that describe the stream."""
        wanted = 1 if self._decoding.codec in _TELL_THEIR_FIELDS else PROBE_FRAMES
        events: list[VideoFrame | Copied] = []
        for event in self._events:
            events.append(event)
            wanted -= isinstance(event, VideoFrame)
            if not wanted:
                break
        return events

    def _raw_time(self, frame: VideoFrame) -> int | None:
        return frame.pts if self._believes else None
