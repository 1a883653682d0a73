"""How faithful a whole output is to its input, over time: the scores of its frames, added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean
from typing import Any

from vidsr.video.frame_score import AREA_PX, FrameScore, decibels
from vidsr.video.writer import SegmentRecord


@dataclass(frozen=True)
class Moment:
    """A measured frame of the output."""

    frame: int  # counted from 0
    time_s: float  # on the output's clock
    score: FrameScore


@dataclass(frozen=True)
class ScoreReport:
    """The scores of an output, segment by segment (see docs/report.md for how to read them).

    Averages are of the errors, not of the decibels: a black frame, which is exact, must not outweigh a
    hundred others.
    """

    frames: int  # of the output
    segments: tuple[tuple[Moment, ...], ...]  # the measured frames of each; a picture is one of its own
    enlarged: tuple[float, float]  # output pixels for one of the input's, (down, across)
    pictures: bool = False  # frames have numbers, but nobody plays them by time

    @classmethod
    def of_segments(
        cls, records: Sequence[SegmentRecord], shift: Fraction, enlarged: tuple[float, float]
    ) -> ScoreReport:
        """Add up what the records of all segments, in order, hold.

        `shift` is what the join adds to every time, seconds.
        """
        segments = []
        first = 0
        for record in records:
            segments.append(
                tuple(
                    Moment(first + place, float(record.pts[place] * record.time_base + shift), score)
                    for place, score in sorted(record.scores.items())
                )
            )
            first += record.frames
        return cls(first, tuple(segments), enlarged)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """All measured frames, in order."""
        return tuple(moment for segment in self.segments for moment in segment)

    def to_json(self) -> dict[str, Any]:
        """Plain values: decibels, seconds, pixels of the output."""
        moments = self.moments
        return {
            "measured_frames": len(moments),
            **self._of(moments),
            "segments": [self._of(segment) for segment in self.segments if segment],
            "over_time": {
                "frame": [moment.frame for moment in moments],
                "time_s": [round(moment.time_s, 4) for moment in moments],
                "luma_db": [_db(moment.score.luma) for moment in moments],
                "chroma_db": [_db(moment.score.chroma) for moment in moments],
                "area_db": [_db(moment.score.area) for moment in moments],
            },
        }

    def summary(self) -> str | None:
        """One line for a person; None where nothing was measured."""
        moments = self.moments
        if not moments:
            return None
        text = f"faithful to the input: {decibels(fmean(m.score.luma for m in moments)):.1f} dB"
        if len(moments) > 1:
            worst = max(moments, key=lambda moment: moment.score.luma)
            where = f"in picture {worst.frame + 1}" if self.pictures else f"at {clock(worst.time_s)}"
            text += f", {decibels(worst.score.luma):.1f} dB at worst, {where}"
        if len(moments) < self.frames:
            text += f" ({len(moments)} frames measured)"
        return text

    def _of(self, moments: Sequence[Moment]) -> dict[str, Any]:
        """Averages and worst moments of some frames."""
        if not moments:
            return {}
        chroma = [moment.score.chroma for moment in moments if moment.score.chroma is not None]
        worst = max(moments, key=lambda moment: moment.score.luma)
        area = max(moments, key=lambda moment: moment.score.area)
        found: dict[str, Any] = {
            "start_s": round(moments[0].time_s, 4),
            "luma_db": _db(fmean(moment.score.luma for moment in moments)),
            "chroma_db": _db(fmean(chroma)) if chroma else None,
            "worst": {**_place(worst), "luma_db": _db(worst.score.luma)},
            "worst_area": {**_place(area), "luma_db": _db(area.score.area), **self._area(area.score)},
        }
        if chroma:
            worst = max(moments, key=lambda moment: moment.score.chroma or 0.0)
            found["worst_chroma"] = {**_place(worst), "chroma_db": _db(worst.score.chroma)}
        return found

    def _area(self, score: FrameScore) -> dict[str, int]:
        down, across = self.enlarged
        return {
            "x": round(score.area_column * across),
            "y": round(score.area_row * down),
            "width": round(AREA_PX * across),
            "height": round(AREA_PX * down),
        }


def clock(seconds: float) -> str:
    """A time as players show it, with hundredths: 1:02:03.45."""
    sign = "-" if seconds < 0 else ""
    minutes, rest = divmod(round(abs(seconds) * 100), 6000)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes}:{rest // 100:02d}.{rest % 100:02d}"
    return sign + (f"{hours}:{text:0>8}" if hours else text)


def _place(moment: Moment) -> dict[str, Any]:
    return {"frame": moment.frame, "time_s": round(moment.time_s, 4)}


def _db(error: float | None) -> float | None:
    return None if error is None else round(decibels(error), 2)
