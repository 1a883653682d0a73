"""What a comparison found, as curves, tables and notes of its page."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vidsr.evaluation.page import Curve, Series, Table
from vidsr.evaluation.report import FrameScore, VideoEvaluationReport
from vidsr.pipelines.album import clock
from vidsr.pipelines.moments import seconds_after_start
from vidsr.pipelines.segment import Reader

THOUSAND = 1000  # warping errors are about a thousandth of squared white

Value = Callable[[FrameScore], float | None]


@dataclass(frozen=True)
class Measured:
    """One video against what it should look like, at some of its frames."""

    name: str  # of the series: "A", "B", or "A and B"
    pts: tuple[int, ...]  # of the frames, in ticks of the reference
    frames: tuple[FrameScore, ...]

    @property
    def lowest(self) -> int:
        """The time, ticks, of the frame with the lowest PSNR."""
        return self._extreme(_psnr)

    @property
    def lowest_ssim(self) -> int:
        """The time, ticks, of the frame with the lowest SSIM."""
        return self._extreme(_ssim)

    @property
    def means(self) -> dict[str, float | None]:
        """PSNR, SSIM and the measures of flicker over all frames; None where no step has one."""
        report = VideoEvaluationReport("", self.name, 0, self.frames, 0, 0)
        flicker = report.flicker
        return {
            "psnr_db": report.mean.psnr_db,
            "ssim": report.mean.ssim,
            **{name: flicker[name] for name in ("temporal", "warping", "warping_reference", "tof")},
        }

    def at(self, pts: int) -> FrameScore | None:
        """The scores of the frame at a time, where it was measured."""
        place = bisect_left(self.pts, pts)
        return self.frames[place] if self.pts[place : place + 1] == (pts,) else None

    def _extreme(self, value: Callable[[FrameScore], float]) -> int:
        return min(zip(self.pts, self.frames, strict=True), key=lambda each: value(each[1]))[0]


def curves_of(measured: Sequence[Measured], names: Sequence[str]) -> tuple[Curve, ...]:
    """PSNR, SSIM and the warping error over the times of the first series.

    Of two videos without a reference there is one curve of likeness and, as each has a warping error of
    its own, two of flicker.
    """
    times = measured[0].pts

    def series(name: str, one: Measured, value: Value) -> Series:
        found = (one.at(pts) for pts in times)
        return Series(name, tuple(None if frame is None else value(frame) for frame in found))

    both = [(each.name, each, _warping) for each in measured]
    if len(measured) == 1:
        both = [(names[0], measured[0], _warping_reference), (names[1], measured[0], _warping)]
    found = [
        Curve(
            "PSNR",
            "dB",
            "of luma; higher is closer",
            2,
            tuple(series(each.name, each, lambda frame: round(_psnr(frame), 3)) for each in measured),
        ),
        Curve(
            "SSIM",
            "",
            "of luma; higher is closer, 1 is the same",
            4,
            tuple(series(each.name, each, lambda frame: round(_ssim(frame), 5)) for each in measured),
        ),
        Curve(
            "Flicker",
            "",
            "warping error, thousandths; lower is steadier; no value at a cut",
            3,
            tuple(series(name, one, value) for name, one, value in both),
        ),
    ]
    known = [
        curve
        for curve in found
        if any(value is not None for one in curve.series for value in one.values)
    ]
    return tuple(known) if len(times) > 1 else ()


def score_table(measured: Sequence[Measured], guide: Reader, names: Sequence[str]) -> Table:
    """The means of all measures, and where likeness is least."""

    def when(pts: int) -> str:
        return clock(seconds_after_start(guide, pts))

    def lowest(one: Measured, digits: int, value: Callable[[FrameScore], float], pts: int) -> str:
        frame = one.at(pts)
        assert frame is not None  # it is one of those that were measured
        return f"{value(frame):.{digits}f} at {when(pts)}"

    means = [one.means for one in measured]
    rows = [
        ("PSNR, mean, dB", *(_cell(each["psnr_db"], 2) for each in means)),
        ("PSNR, lowest", *(lowest(one, 2, _psnr, one.lowest) for one in measured)),
        ("SSIM, mean", *(_cell(each["ssim"], 4) for each in means)),
        ("SSIM, lowest", *(lowest(one, 4, _ssim, one.lowest_ssim) for one in measured)),
    ]
    if len(measured) == 1:
        for name, key in zip(names, ("warping_reference", "warping"), strict=False):
            rows.append((f"warping error of {name}, thousandths", _cell(means[0][key], 3, THOUSAND)))
    else:
        rows.append(
            ("warping error, thousandths", *(_cell(each["warping"], 3, THOUSAND) for each in means))
        )
        own = _cell(means[0]["warping_reference"], 3, THOUSAND)
        rows.append(("the same of the reference", *(own for _ in means)))
    rows += [
        ("tOF: difference of motion, px", *(_cell(each["tof"], 3) for each in means)),
        ("change that the other has not, luma codes", *(_cell(each["temporal"], 3) for each in means)),
    ]
    return Table("Measures", ("", *(one.name for one in measured)), tuple(rows))


def video_table(readers: Sequence[Reader], names: Sequence[str], size: tuple[int, int]) -> Table:
    """What the videos are."""
    rows = []
    for reader, name in zip(readers, names, strict=True):
        info, timeline = reader.info, reader.timeline
        enlarged = (info.height, info.width) != size
        rows.append(
            (
                name,
                f"{info.width}x{info.height}" + (f", by Lanczos to {size[1]}x{size[0]}" * enlarged),
                info.codec,
                f"{timeline.count}",
                clock((timeline.end - timeline.start) * timeline.time_base),
            )
        )
    return Table("Videos", ("video", "size", "codec", "frames", "length"), tuple(rows))


def method_notes(measured: Sequence[Measured], guide: Reader, names: Sequence[str]) -> list[str]:
    """How it was measured, for those who want to trust the numbers."""
    count, all_ = len(measured[0].pts), guide.timeline.count
    frames = f"all {count} frames" if count == all_ else f"{count} of {all_} frames, spread evenly"
    motion = "the reference" if len(names) > 2 else "A"
    return [
        f"Measured at {frames}, paired by time; PSNR and SSIM on luma (BT.601, 16 to 235).",
        f"Warping error: what is left of a frame when the next one is moved back along the motion seen "
        f"in {motion}. Flicker and noise raise it; so does sharpness, and blur lowers it.",
    ]


def _psnr(frame: FrameScore) -> float:
    return frame.score.psnr_db


def _ssim(frame: FrameScore) -> float:
    return frame.score.ssim


def _warping(frame: FrameScore) -> float | None:
    step = frame.flicker
    return None if step is None or step.warping is None else round(step.warping * THOUSAND, 5)


def _warping_reference(frame: FrameScore) -> float | None:
    step = frame.flicker
    if step is None or step.warping_reference is None:
        return None
    return round(step.warping_reference * THOUSAND, 5)


def _cell(value: float | None, digits: int, factor: int = 1) -> str:
    return "none" if value is None else f"{value * factor:.{digits}f}"
