"""What an evaluation found, for people (Markdown) and programs (JSON)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from vidsr.evaluation.flicker import FlickerStep

IDENTICAL_DB = 100.0
"""PSNR at which reports stop: that of equal pictures is infinite, and one would swallow a mean."""

_BLOCKS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 64  # characters of the curve in Markdown


@dataclass(frozen=True)
class Score:
    """How close a picture, or a set of pictures on average, is to its reference."""

    psnr_db: float  # on luma, at most 100
    ssim: float  # on luma
    lpips: float | None = None  # lower is closer; None without its weights


@dataclass(frozen=True)
class ImageScores:
    """One picture as every method enlarges it."""

    image: str  # file name
    scores: dict[str, Score]  # by method


@dataclass(frozen=True)
class EvaluationReport:
    """A model beside classical filters, picture by picture."""

    model: str
    scale: int
    border_px: int  # left out of PSNR and SSIM on each side
    lr: str  # "bicubic": made here; else the folder it was read from
    images: tuple[ImageScores, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods compared, the model last."""
        return tuple(self.images[0].scores)

    def mean(self, method: str) -> Score:
        """The mean over all pictures, each counting the same."""
        return mean_score([image.scores[method] for image in self.images])

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {**asdict(self), "mean": {method: asdict(self.mean(method)) for method in self.methods}}

    def to_markdown(self) -> str:
        """Two tables: means, then every picture."""
        with_lpips = self.mean(self.model).lpips is not None
        kinds = ["PSNR dB", "SSIM", *(["LPIPS"] if with_lpips else [])]
        lines = [
            f"# {self.model}, x{self.scale}, {len(self.images)} pictures",
            "",
            f"PSNR and SSIM on luma (BT.601, 16-235), border of {self.border_px} px left out; "
            f"LR: {'antialiased bicubic (MATLAB)' if self.lr == 'bicubic' else self.lr}.",
            "",
            *table(["method", *kinds], [[m, *score_cells(self.mean(m))] for m in self.methods]),
            "",
            *table(
                ["picture", "method", *kinds],
                [
                    [i.image, m, *score_cells(score)]
                    for i in self.images
                    for m, score in i.scores.items()
                ],
            ),
        ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class FrameScore:
    """One frame of a video against the reference's frame of the same time."""

    time_s: float
    score: Score
    flicker: FlickerStep | None  # against the frame before; None for the first


@dataclass(frozen=True)
class VideoEvaluationReport:
    """A video against its reference, frame by frame."""

    reference: str
    distorted: str
    border_px: int
    frames: tuple[FrameScore, ...]  # the pairs
    unpaired_reference: int  # frames of the reference without one of the same time
    unpaired_distorted: int

    @property
    def mean(self) -> Score:
        """The mean over all pairs."""
        return mean_score([frame.score for frame in self.frames])

    @property
    def flicker(self) -> dict[str, float | None]:
        """The mean of each measure of flicker over the steps that have it; None where none has."""
        steps = [asdict(frame.flicker) for frame in self.frames if frame.flicker is not None]
        names = ("temporal", "warping", "warping_reference", "tof", "followed")
        return {name: mean_known(step[name] for step in steps) for name in names}

    @property
    def cuts(self) -> int:
        """Steps that the flow could not follow; only `temporal` counts them."""
        return sum(frame.flicker is not None and frame.flicker.tof is None for frame in self.frames)

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain values; `frames` is the curve."""
        return {
            **asdict(self),
            "mean": asdict(self.mean),
            "flicker": self.flicker,
            "cuts": self.cuts,
        }

    def to_markdown(self) -> str:
        """Means, the curve of PSNR, the frames that are worst, and how flicker was measured."""
        with_lpips = self.mean.lpips is not None
        kinds = ["PSNR dB", "SSIM", *(["LPIPS"] if with_lpips else [])]
        psnr = [frame.score.psnr_db for frame in self.frames]
        worst = sorted(self.frames, key=lambda frame: frame.score.psnr_db)[:5]
        flicker = self.flicker
        lines = [
            f"# {self.distorted} against {self.reference}",
            "",
            f"{len(self.frames)} frames of the same time; {self.unpaired_reference} of the reference "
            f"and {self.unpaired_distorted} of the other without a partner. PSNR and SSIM on luma "
            f"(BT.601, 16-235), border of {self.border_px} px left out.",
            "",
            *table(["", *kinds], [["mean", *score_cells(self.mean)]]),
            "",
            f"PSNR over time, {min(psnr):.2f} to {max(psnr):.2f} dB:",
            "",
            f"    {sparkline(psnr)}",
            "",
            *table(["worst at", *kinds], [[f"{f.time_s:.3f} s", *score_cells(f.score)] for f in worst]),
            "",
            *table(
                ["flicker (lower is steadier)", "mean"],
                [
                    [
                        "temporal: change that is not the reference's, luma codes",
                        cell(flicker["temporal"], 3),
                    ],
                    ["warping error x 1000, luma in [0, 1]", cell(flicker["warping"], 3, 1000)],
                    ["... of the reference itself", cell(flicker["warping_reference"], 3, 1000)],
                    ["tOF: difference of motion, px", cell(flicker["tof"], 3)],
                ],
            ),
            "",
            f"Flow: pyramidal Lucas-Kanade on the reference; it follows "
            f"{cell(flicker['followed'], 1, 100)} % of the picture; {self.cuts} cuts count "
            "for the first line only.",
        ]
        return "\n".join(lines) + "\n"


def sparkline(values: Sequence[float]) -> str:
    """A curve in one line of block characters, each the mean of an equal share of the values."""
    count = min(len(values), _CURVE_WIDTH)
    edges = [i * len(values) // count for i in range(count + 1)]
    means = [fmean(values[a:b]) for a, b in pairwise(edges)]
    low, span = min(means), (max(means) - min(means)) or 1.0
    return "".join(
        _BLOCKS[min(int((mean - low) / span * len(_BLOCKS)), len(_BLOCKS) - 1)] for mean in means
    )


def mean_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None where there are none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def mean_score(scores: Sequence[Score]) -> Score:
    """The mean of several scores, each counting the same."""
    return Score(
        fmean(score.psnr_db for score in scores),
        fmean(score.ssim for score in scores),
        mean_known(score.lpips for score in scores),
    )


def score_cells(score: Score) -> list[str]:
    """PSNR, SSIM and, where known, LPIPS, as cells of a table."""
    cells = [f"{score.psnr_db:.2f}", f"{score.ssim:.4f}"]
    return cells if score.lpips is None else [*cells, f"{score.lpips:.4f}"]


def cell(value: float | None, digits: int, factor: float = 1.0) -> str:
    """A value times `factor` with so many digits after the point; "-" for None."""
    return "-" if value is None else f"{value * factor:.{digits}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(head), line("---" for _ in head), *map(line, rows)]
