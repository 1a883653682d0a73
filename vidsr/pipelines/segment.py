"""A run of consecutive segments: read, upscale, write, all three at once.

This is the unit that a cluster maps over: everything it needs comes in as arguments (the input, the
time ranges, the settings), and what goes out are finished segment files. On one machine it is called
with all segments that are missing in a row, so that decoder and network never stop between them; what
it writes is the same either way.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidsr.frames import FrameBatch, VideoInfo
from vidsr.pipelines.stages import StageClock, run_stages
from vidsr.video.encoders import Encoding
from vidsr.video.reader import VideoReader
from vidsr.video.retime import ConstantRate, RunningRate
from vidsr.video.sequences import SequenceReader
from vidsr.video.writer import VideoWriter

if TYPE_CHECKING:
    from vidsr.inference.upscaler import Upscaler

Reader = VideoReader | SequenceReader
"""Whatever gives frames: a video, or numbered pictures."""

QUEUE_BYTES = 32 * 1024 * 1024
"""What may wait between two stages: twenty frames of 720p, one of 4K. Enough to overlap them; more would
only make memory grow until a longer video has filled it."""


@dataclass(frozen=True)
class Segment:
    """A piece of the video's time, ticks of the source, half-open; None: the very beginning or end."""

    index: int
    start_pts: int | None
    end_pts: int | None


@dataclass(frozen=True)
class FramePair:
    """Frames of the input, and what was made of them: the one is what the other is judged by."""

    source: FrameBatch
    enlarged: FrameBatch

    @property
    def nbytes(self) -> int:
        """Bytes held by the planes of both."""
        return self.source.nbytes + self.enlarged.nbytes

    def repeated(self, rate: ConstantRate | RunningRate) -> Iterator[FramePair]:
        """One frame at a time, as often as a constant rate shows it."""
        pairs = zip(self.source.split(1), self.enlarged.split(1), strict=True)
        for source, enlarged in pairs:
            for shown in rate.repeat(enlarged):
                yield FramePair(source, shown)


def upscale_segments(
    reader: Reader,
    segments: Sequence[Segment],
    upscaler: Upscaler,
    output: VideoInfo,
    encoding: Encoding,
    path_of: Callable[[Segment], Path],
    *,
    rate: ConstantRate | None = None,
    clocks: tuple[StageClock, StageClock, StageClock] | None = None,
    on_frames: Callable[[int], None] = lambda count: None,
    on_segment: Callable[[Segment], None] = lambda segment: None,
    on_pair: Callable[[FramePair], None] = lambda pair: None,
    score: bool = True,
) -> None:
    """Upscale segments that follow each other without a gap; each is written whole or not at all.

    `output` describes the enlarged video. `on_frames` hears how many source frames were written,
    `on_segment` of each finished segment, `on_pair` is shown what is being written; all from the writing
    thread. With `score` each record says how faithful its frames are. Errors of any stage come out as
    they are, after all stages have ended; segments finished by then stay.
    """
    batch = upscaler.plan.batch
    first, last = segments[0], segments[-1]
    cuts = [segment.start_pts for segment in segments[1:] if segment.start_pts is not None]

    def read() -> Iterable[FrameBatch]:
        batches = reader.batches(batch, start_pts=first.start_pts, end_pts=last.end_pts, cuts=cuts)
        return batches if rate is None else rate.select(batches)

    def enlarge(batches: Iterable[FrameBatch]) -> Iterator[FramePair]:
        sources: deque[FrameBatch] = deque()

        def noted() -> Iterator[FrameBatch]:
            begun = -1
            for source in batches:
                place = bisect_right(cuts, source.pts[0])
                if place > begun:
                    upscaler.begin_segment()
                    begun = place
                sources.append(source)
                yield source

        for enlarged in upscaler.stream(noted()):
            yield FramePair(sources.popleft(), enlarged)

    def write(pairs: Iterable[FramePair]) -> None:
        pending = iter(pairs)
        current = next(pending, None)
        errors = 0
        for segment in segments:
            with VideoWriter(path_of(segment), output, encoding) as writer:
                while current is not None and _belongs(current.source, segment):
                    for piece in (current,) if rate is None else current.repeated(rate):
                        writer.write(piece.enlarged, piece.source if score else None)
                    on_frames(len(current.source))
                    on_pair(current)
                    current = next(pending, None)
                # The reader is some frames ahead: the sum over all segments is right, the place nearly.
                writer.decode_errors, errors = reader.errors - errors, reader.errors
            on_segment(segment)

    run_stages(
        read,
        enlarge,
        write,
        limit=QUEUE_BYTES,
        clocks=clocks or (StageClock("decode"), StageClock("network"), StageClock("encode")),
    )


def _belongs(batch: FrameBatch, segment: Segment) -> bool:
    return segment.end_pts is None or batch.pts[0] < segment.end_pts
