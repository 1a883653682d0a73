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
    """Replace interlaced frames by progressive ones; each keeps the time it comes with.

    A frame that the stream marks as progressive is handed on as it came. The rest is FFmpeg's bwdif
    (Bob Weaver with BBC's filter, W. Philip Weston), which looks one frame ahead and one back. Every
    frame passes through the filter, also progressive ones, so that the result for a frame depends on
    its neighbours alone and not on where decoding began.
    """
    graph: Graph | None = None
    waiting: deque[tuple[VideoFrame, int]] = deque()  # in the filter; frames leave it in their order
    for frame, time in frames:
        if graph is None:
            graph = _bwdif(frame)
        waiting.append((frame, time))
        yield from _finished(graph, frame, waiting)
    if graph is not None:
        yield from _finished(graph, None, waiting)


def _finished(
    graph: Graph, frame: VideoFrame | None, waiting: deque[tuple[VideoFrame, int]]
) -> Iterator[tuple[VideoFrame, int]]:
    graph.vpush(frame)
    while True:
        try:
            filtered = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        source, time = waiting.popleft()
        yield (filtered if source.interlaced_frame else source), time


def _bwdif(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
    )
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")).configure()
    return graph
