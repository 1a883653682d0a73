"""Runs of consecutive frames, spread over a video: what stands for the whole where time is short."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass

from vidsr.frames import FrameBatch
from vidsr.inference.changes import same_frame
from vidsr.pipelines.segment import Reader
from vidsr.video.timeline import Timeline

PLACES = 5
"""Where a video is looked at: in the middle of each fifth."""

RUN_FRAMES = 24
"""Consecutive frames of a run, about a second: enough to see what repeats and how well frames predict
each other."""

MOST_RUN_UP = 125
"""Frames that are decoded only to reach a run, five seconds; where keyframes lie further apart a run
begins that far behind one."""


@dataclass(frozen=True)
class Run:
    """Consecutive frames of a video."""

    start_pts: int  # of the first frame, ticks
    end_pts: int | None  # of the first frame behind it; None: the video ends with it
    frames: int
    run_up: int  # frames that a decoder must pass to reach the first one


@dataclass(frozen=True)
class Decoded:
    """What decoding the runs took, and what was seen."""

    frames: int
    seconds_a_frame: float  # wall time, run-up included
    cpu_s_a_frame: float  # of all cores
    unchanged: float  # share of frames equal to the one before, 0 to 1; of pairs within a run


def spread(timeline: Timeline, places: int = PLACES, frames: int = RUN_FRAMES) -> tuple[Run, ...]:
    """Runs in the middle of `places` equal parts of the video, without overlap, in order.

    Where the times of a stream hold only when it is decoded from its beginning, the runs follow each
    other there: nobody waits for half a film to be decoded.
    """
    count = timeline.count
    runs: list[Run] = []
    behind = 0  # index of the first frame that no run has yet
    for place in range(places):
        first = max(behind, (2 * place + 1) * count // (2 * places) - frames // 2)
        if timeline.exact:
            keyframe = timeline.keyframe_before(timeline.pts[min(first, count - 1)])
            nearest = 0 if keyframe is None else bisect_left(timeline.pts, keyframe)
        else:
            nearest = 0
        first = max(behind, min(first, nearest + MOST_RUN_UP))
        last = min(first + frames, count)
        if first >= last:
            continue
        end = timeline.pts[last] if last < count else None
        runs.append(Run(timeline.pts[first], end, last - first, first - nearest))
        behind = last
    return tuple(runs)


def look_at(reader: Reader, runs: tuple[Run, ...]) -> Decoded:
    """Decode the runs, two frames held at a time: the decoder's speed, the share of repeated frames."""
    frames = pairs = same = 0
    wall, cpu = time.perf_counter(), time.process_time()
    for run in runs:
        before: FrameBatch | None = None
        for frame in reader.batches(1, start_pts=run.start_pts, end_pts=run.end_pts):
            frames += 1
            if before is not None:
                pairs += 1
                same += same_frame(*(tuple(plane[0] for plane in one.planes) for one in (before, frame)))
            before = frame
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    decoded = max(1, frames + sum(run.run_up for run in runs))
    return Decoded(frames, wall / decoded, cpu / decoded, same / max(1, pairs))
