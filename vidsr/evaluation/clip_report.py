"""What an evaluation of clips found: every clip, at every strength of compression, by every method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vidsr.evaluation.report import Score, cell, mean_known, mean_score, score_cells, table


@dataclass(frozen=True)
class ClipScore:
    """One clip, enlarged by one method."""

    score: Score  # the mean over its frames
    temporal: float | None  # mean change that is not the original's, luma codes; None for one frame


@dataclass(frozen=True)
class ClipScores:
    """One clip at one strength of compression, as every method enlarges it."""

    clip: str  # file name
    crf: int | None  # of H.264; None: not compressed
    first_frame: int  # of the clip, from 0
    frames: int
    size: tuple[int, int]  # width and height of the low-resolution clip
    scores: dict[str, ClipScore]  # by method


@dataclass(frozen=True)
class ClipEvaluationReport:
    """A model beside Lanczos on video: clean and compressed."""

    model: str
    scale: int
    border_px: int  # left out of PSNR, SSIM and the temporal change on each side
    clips: tuple[ClipScores, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods compared, the model last."""
        return tuple(self.clips[0].scores)

    def mean(self, method: str, crf: int | None) -> ClipScore:
        """The mean over all clips at one strength of compression, each counting the same."""
        return mean_clip_score([clip.scores[method] for clip in self.clips if clip.crf == crf])

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        means = [
            {"crf": crf, "method": method, **asdict(self.mean(method, crf))}
            for crf in self._strengths()
            for method in self.methods
        ]
        return {**asdict(self), "mean": means}

    def to_markdown(self) -> str:
        """Two tables: means for each strength of compression, then every clip."""
        with_lpips = self.clips[0].scores[self.model].score.lpips is not None
        kinds = ["PSNR dB", "SSIM", *(["LPIPS"] if with_lpips else []), "temporal"]
        lines = [
            f"# {self.model}, x{self.scale}, clips: {len({clip.clip for clip in self.clips})}",
            "",
            "Each clip was reduced by antialiased bicubic (MATLAB), compressed with H.264 where a CRF "
            "is given (x264, preset fast), enlarged, and compared with itself. PSNR and SSIM on luma "
            f"(BT.601, 16-235), border of {self.border_px} px left out; temporal: mean change from "
            "frame to frame that is not the original's, luma codes, lower is steadier.",
            "",
            *table(
                ["CRF", "method", *kinds],
                [
                    [_strength(crf), method, *_cells(self.mean(method, crf))]
                    for crf in self._strengths()
                    for method in self.methods
                ],
            ),
            "",
            *table(
                ["clip", "CRF", "method", *kinds],
                [
                    [clip.clip, _strength(clip.crf), method, *_cells(score)]
                    for clip in self.clips
                    for method, score in clip.scores.items()
                ],
            ),
        ]
        return "\n".join(lines) + "\n"

    def _strengths(self) -> list[int | None]:
        return list(dict.fromkeys(clip.crf for clip in self.clips))


def mean_clip_score(scores: Sequence[ClipScore]) -> ClipScore:
    """The mean of several, each counting the same."""
    return ClipScore(
        mean_score([each.score for each in scores]), mean_known(each.temporal for each in scores)
    )


def _strength(crf: int | None) -> str:
    return "clean" if crf is None else str(crf)


def _cells(score: ClipScore) -> list[str]:
    return [*score_cells(score.score), cell(score.temporal, 3)]
