"""A constant frame rate, where it is asked for: which source frame is shown at each output tick."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor, gcd
from typing import TypeVar

from vidsr.frames import FrameBatch

T = TypeVar("T")


class ConstantRate:
    """Shows each source frame on every output tick that falls into its time.

    Output tick k is at the first frame's time plus k / fps. A frame holds from its own time to the
    next one's (the last for its duration), so each frame's ticks follow from the source alone: where a
    job was cut or resumed makes no difference. Frames without a tick are dropped before they cost
    anything, the others are enlarged once and repeated.
    """

    def __init__(
        self, pts: Sequence[int], last_duration: int, time_base: Fraction, fps: Fraction
    ) -> None:
        self.fps = fps
        self._pts = pts
        first = pts[0] * time_base
        starts = [ceil((p * time_base - first) * fps) for p in pts]
        end = ceil((pts[-1] + max(last_duration, 1)) * time_base * fps - first * fps)
        self._ticks = [
            range(start, stop)
            for start, stop in zip(starts, [*starts[1:], max(end, starts[-1] + 1)], strict=True)
        ]
        self.time_base = _common_measure(first, 1 / fps)
        self._origin = int(first / self.time_base)
        self._step = int(1 / fps / self.time_base)

    @property
    def output_pts(self) -> list[int]:
        """Every time of the output, ticks of `time_base`."""
        return [self._origin + k * self._step for ticks in self._ticks for k in ticks]

    def select(self, batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """Leave out frames that no tick shows."""
        for batch in batches:
            shown = [i for i, pts in enumerate(batch.pts) if self._ticks_of(pts)]
            if len(shown) == len(batch):
                yield batch
            elif shown:
                yield replace(
                    batch,
                    planes=tuple(plane[shown] for plane in batch.planes),
                    pts=tuple(batch.pts[i] for i in shown),
                    durations=(),
                )

    def repeat(self, batch: FrameBatch) -> Iterator[FrameBatch]:
        """Give each frame its ticks, one frame at a time; times are in `time_base` from here on."""
        for frame in batch.split(1):
            for tick in self._ticks_of(frame.pts[0]):
                yield replace(
                    frame,
                    pts=(self._origin + tick * self._step,),
                    time_base=self.time_base,
                    durations=(self._step,),
                )

    def _ticks_of(self, pts: int) -> range:
        index = bisect_left(self._pts, pts)
        if index == len(self._pts) or self._pts[index] != pts:
            return range(0)  # a frame the timeline does not know has no time of its own
        return self._ticks[index]


class RunningRate:
    """The same for a stream whose end nobody knows: each frame waits for the next one.

    Only then is it known how long it holds. What goes in besides batches of frames comes out again at
    its place.
    """

    def __init__(self, first_pts: int, time_base: Fraction, fps: Fraction) -> None:
        """Output tick k is at `first_pts`, ticks of `time_base`, plus k / fps."""
        self.fps = fps
        self._first = first_pts * time_base
        self._source_base = time_base
        self.time_base = _common_measure(self._first, 1 / fps)
        self._origin = int(self._first / self.time_base)
        self._step = int(1 / fps / self.time_base)

    def select(self, items: Iterable[FrameBatch | T]) -> Iterator[FrameBatch | T]:
        """Single frames, each with the time it holds as its duration; without those no tick shows."""
        held: FrameBatch | None = None
        usual = 1
        for item in items:
            if not isinstance(item, FrameBatch):
                yield item
                continue
            for frame in item.split(1):
                if held is not None:
                    usual = frame.pts[0] - held.pts[0]
                    yield from self._shown(held, usual)
                held = frame
        if held is not None:
            stated = held.durations[0] if held.durations else 0
            yield from self._shown(held, max(stated or usual, self._until_shown(held.pts[0])))

    def repeat(self, frame: FrameBatch) -> Iterator[FrameBatch]:
        """Give a frame of `select` its ticks; times are in `time_base` from here on."""
        for tick in self._ticks(frame.pts[0], frame.durations[0]):
            yield replace(
                frame,
                pts=(self._origin + tick * self._step,),
                time_base=self.time_base,
                durations=(self._step,),
            )

    def _shown(self, frame: FrameBatch, duration: int) -> Iterator[FrameBatch]:
        if self._ticks(frame.pts[0], duration):
            yield replace(frame, durations=(duration,))

    def _until_shown(self, pts: int) -> int:
        """How long a frame must hold for one tick to show it: the last one always is shown."""
        tick_s = self._first + self._ticks(pts, 1).start / self.fps
        return floor(tick_s / self._source_base) - pts + 1

    def _ticks(self, pts: int, duration: int) -> range:
        start, end = (
            ceil((time * self._source_base - self._first) * self.fps) for time in (pts, pts + duration)
        )
        return range(start, end)


def _common_measure(a: Fraction, b: Fraction) -> Fraction:
    """The largest time of which both are whole multiples."""
    return Fraction(
        gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator
    )
