"""Deinterlacing in the decode graph: bwdif, one frame out for each frame in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import VideoFrame

RUN_UP = 2
"""Frames to push before the first one wanted: bwdif treats the first frame of a graph by itself
(without temporal neighbours), and the second is the first with all it looks at."""


def deinterlace(frames: Iterable[tuple[VideoFrame, int]]) -> Iterator[tuple[VideoFrame, int]]:
    """Replace interlaced frames by progressive ones; each keeps the time it comes with."""
    deinterlacer = Deinterlacer()
    for frame, time in frames:
        yield from deinterlacer.add(frame, time)
    yield from deinterlacer.rest()


class Deinterlacer:
    """Takes frames one by one and gives them back progressive, each with its time, one frame later.

    A frame that the stream marks as progressive is handed on as it came. The rest is FFmpeg's bwdif
    (Bob Weaver with BBC's filter, W. Philip Weston), which looks one frame ahead and one back. Every
    frame passes through the filter, also progressive ones, so that the result for a frame depends on
    its neighbours alone and not on where decoding began.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._waiting: deque[tuple[VideoFrame, int]] = deque()  # in the filter; they leave it in order

    def add(self, frame: VideoFrame, time: int) -> Iterator[tuple[VideoFrame, int]]:
        """Take the next frame; give those that are finished."""
        if self._graph is None:
            self._graph = _bwdif(frame)
        self._waiting.append((frame, time))
        self._graph.vpush(frame)
        return self._finished(self._graph)

    def rest(self) -> Iterator[tuple[VideoFrame, int]]:
        """The frames still in the filter, after the last one was added."""
        if self._graph is None:
            return iter(())
        self._graph.vpush(None)
        return self._finished(self._graph)

    def _finished(self, graph: Graph) -> Iterator[tuple[VideoFrame, int]]:
        while True:
            try:
                filtered = graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            source, time = self._waiting.popleft()
            yield (filtered if source.interlaced_frame else source), time


def _bwdif(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
    )
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")).configure()
    return graph
