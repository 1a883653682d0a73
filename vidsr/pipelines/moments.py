"""Which frames of a video a page shows: those asked for by time, and others from different scenes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from fractions import Fraction

from vidsr.errors import InputError, UsageError
from vidsr.evaluation.scenes import choose_scenes, look_at
from vidsr.frames import FrameBatch
from vidsr.pipelines.album import clock
from vidsr.pipelines.segment import Reader
from vidsr.progress import Finished, Notice, Progress, Started
from vidsr.video.glimpses import glimpses

LEAST_GLIMPSES = 48
GLIMPSES_A_FRAME = 8
"""How many frames are looked at to choose one: enough that scenes of a tenth of the film are met."""


def choose_moments(
    reader: Reader, count: int, fixed: Collection[int], progress: Progress
) -> tuple[int, ...]:
    """The times, ticks, of `fixed` frames and of `count` others from different scenes; rising.

    Says so in a notice where the video has too few. Raises InputError where nothing can be decoded.
    """
    if not count:
        return tuple(sorted(fixed))
    progress(Started("look for scenes", None))
    seen = [look_at(frame) for frame in glimpses(reader, max(LEAST_GLIMPSES, GLIMPSES_A_FRAME * count))]
    progress(Finished("look for scenes"))
    there = [look_at(frame_at(reader, pts)) for pts in fixed]
    found = choose_scenes([glimpse for glimpse in seen if glimpse.pts not in fixed], count, there)
    times = tuple(sorted({*fixed, *(glimpse.pts for glimpse in found)}))
    if not times:
        raise InputError(f"{reader.path}: not one frame could be decoded; is the file damaged?")
    if len(found) < count:
        all_ = f"all {len(times)} are" if len(times) > 1 else "its one frame is"
        progress(Notice(f"{reader.path}: too short for {count + len(fixed)} frames: {all_} taken"))
    return times


def frame_time(reader: Reader, seconds: Fraction) -> int:
    """The time, ticks, of the frame that is on the screen so long after the first one appeared.

    Raises UsageError where the video has ended by then.
    """
    timeline = reader.timeline
    pts = timeline.start + seconds / timeline.time_base
    length = (timeline.end - timeline.start) * timeline.time_base
    if pts >= timeline.end:
        raise UsageError(f"--at {clock(seconds)}: {reader.path} lasts only {clock(length)}")
    return timeline.pts[bisect_right(timeline.pts, pts) - 1]


def frame_at(reader: Reader, pts: int) -> FrameBatch:
    """The frame shown at a time of the timeline, as a batch of one.

    Raises InputError where nothing can be decoded there.
    """
    frame = next(iter(reader.batches(1, start_pts=pts)), None)
    if frame is None:
        after = (pts - reader.timeline.start) * reader.timeline.time_base
        raise InputError(f"{reader.path}: no frame can be decoded at {clock(after)}; is it damaged?")
    return frame


def seconds_after_start(reader: Reader, pts: int) -> Fraction:
    """How long after the first frame a time is, seconds."""
    return (pts - reader.timeline.start) * reader.timeline.time_base
