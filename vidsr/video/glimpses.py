"""Looking a video over quickly: a few of its frames, at little cost however long it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vidsr.frames import FrameBatch
from vidsr.video.decoding import Decoding
from vidsr.video.planes import FrameStack, planar_frame
from vidsr.video.reader import VideoReader
from vidsr.video.sequences import SequenceReader


def glimpses(reader: VideoReader | SequenceReader, count: int) -> Iterator[FrameBatch]:
    """About `count` frames spread evenly over a video, as batches of one, in order; rarely fewer.

    Where a video has keyframes enough these are taken, each decoded alone; a film of two hours then
    costs seconds. Otherwise everything is decoded once. Numbered pictures are read one by one.
    """
    pts = reader.timeline.pts
    if isinstance(reader, SequenceReader):
        for time in _spread(pts, count):
            yield from reader.batches(1, start_pts=time, end_pts=time + 1)
        return
    shown = [time for time in reader.timeline.keyframes if pts[0] <= time <= pts[-1]]
    if reader.timeline.exact and len(shown) >= count:
        yield from _keyframes(reader, _spread(shown, count))
        return
    wanted = set(_spread(pts, count))
    for batch in reader.batches(1):
        if batch.pts[0] in wanted:
            yield batch


def _keyframes(reader: VideoReader, times: Sequence[int]) -> Iterator[FrameBatch]:
    info = reader.info
    with Decoding(
        reader.path, info.stream_index, reorder=reader.timeline.reorder, threads=1
    ) as decoding:
        for time in times:
            frame = decoding.keyframe(time)
            if frame is None or (frame.height, frame.width) != (info.height, info.width):
                continue
            frame = planar_frame(frame)
            if frame.format.name != info.pixel_format:
                continue
            stack = FrameStack(frame.format.name, frame.height, frame.width, 1)
            stack.add(frame)
            yield FrameBatch(stack.take(), info.color, (time,), info.time_base)


def _spread(times: Sequence[int], count: int) -> list[int]:
    """`count` of the times, evenly, each from the middle of its share; all where there are fewer."""
    if len(times) <= count:
        return list(times)
    return [times[(2 * i + 1) * len(times) // (2 * count)] for i in range(count)]
