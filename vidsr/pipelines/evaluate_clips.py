"""Score a model on video as users have it: reduced, compressed, enlarged, compared with the original."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vidsr.config import EvaluateConfig
from vidsr.errors import InputError
from vidsr.evaluation.clip_report import ClipEvaluationReport, ClipScore, ClipScores
from vidsr.evaluation.flicker import temporal_change
from vidsr.evaluation.lpips import Lpips
from vidsr.evaluation.metrics import luma
from vidsr.evaluation.pictures import rgb_floats, to_bytes
from vidsr.evaluation.report import Score, mean_known, mean_score
from vidsr.models.weights import load_generator
from vidsr.pipelines.scoring import (
    Enlarge,
    check_output,
    check_size,
    device_of,
    enlarge_by,
    perceptual_of,
    save_report,
    score,
    weights_of,
)
from vidsr.progress import Advanced, Finished, Progress, Started, silent
from vidsr.training.cache import find_sources
from vidsr.training.degradations import CODECS, bicubic, round_trip
from vidsr.video.reader import VideoReader
from vidsr.video.resample import imresize
from vidsr.video.stills import is_still

H264 = CODECS[0]
"""The codec that clips are compressed with: what most of the video that people have is made of."""


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of a video, (T, H, W, 3) uint8, both sides a multiple of the scale."""

    name: str
    first_frame: int
    frames: Tensor


def evaluate_clips(config: EvaluateConfig, progress: Progress = silent) -> ClipEvaluationReport:
    """Score a model on every clip at every strength of compression, beside Lanczos; save the report.

    Raises InputError for clips that cannot be read or are too small; the rest as `evaluate_images`.
    """
    assert config.clips is not None
    check_output(config)
    device = device_of(config)
    weights = weights_of(config, device)
    methods: dict[str, Enlarge] = {
        "lanczos": lambda lr: imresize(lr, config.scale, kernel="lanczos3"),
        weights.label: load_generator(weights, device),
    }
    report = compare_on_clips(config, methods, progress)
    save_report(report, config)
    return report


def compare_on_clips(
    config: EvaluateConfig, methods: Mapping[str, Enlarge], progress: Progress = silent
) -> ClipEvaluationReport:
    """Reduce, compress and enlarge the clips by every method; the last method is the model."""
    assert config.clips is not None
    device = device_of(config)
    perceptual = perceptual_of(config, device)
    border = config.scale if config.border is None else config.border
    model = list(methods)[-1]
    paths = [path for path in find_sources(config.clips) if not is_still(path)]
    if not paths:
        raise InputError(f"{config.clips}: holds no video: give a folder that does")
    strengths: tuple[int | None, ...] = config.crf or (None,)
    progress(Started("evaluate", len(paths) * len(strengths), "clips"))
    found: list[ClipScores] = []
    for path in paths:
        clip = read_clip(path, config.frames, config.scale)
        _, height, width, _ = clip.frames.shape
        check_size((height, width), border, path)
        for crf in strengths:
            lr = torch.cat([bicubic(frame[None], config.scale) for frame in clip.frames])
            if crf is not None:
                lr = round_trip(lr, H264, crf)
            scores = {
                name: score_clip(name, enlarge, lr, clip, border, perceptual, device)
                for name, enlarge in methods.items()
            }
            height, width = lr.shape[1:3]
            found.append(ClipScores(clip.name, crf, clip.first_frame, len(lr), (width, height), scores))
            progress(Advanced("evaluate", len(found), values={"psnr": scores[model].score.psnr_db}))
    progress(Finished("evaluate"))
    return ClipEvaluationReport(model, config.scale, border, tuple(found))


def read_clip(path: Path, frames: int, scale: int) -> Clip:
    """So many consecutive frames from the middle of a video, cut to a multiple of the scale."""
    with VideoReader(path) as reader:
        times = reader.timeline.pts
        first = max(0, (len(times) - frames) // 2)
        end = times[first + frames] if first + frames < len(times) else None
        batches = reader.batches(1, start_pts=times[first], end_pts=end)
        floats = [rgb_floats(batch, torch.device("cpu")) for batch in batches]
    if not floats:
        raise InputError(f"{path}: not one frame could be decoded; is the file damaged?")
    height, width = (side // scale * scale for side in floats[0].shape[-2:])
    if min(height, width) == 0:
        raise InputError(f"{path}: smaller than the scale of {scale}")
    pictures = torch.cat([(to_bytes(each) * 255).round().to(torch.uint8) for each in floats])
    return Clip(path.name, first, pictures[..., :height, :width].permute(0, 2, 3, 1).contiguous())


def score_clip(
    name: str,
    enlarge: Enlarge,
    lr: Tensor,
    clip: Clip,
    border: int,
    perceptual: Lpips | None,
    device: torch.device,
) -> ClipScore:
    """Enlarge (T, h, w, 3) uint8 frame by frame and score the result against the clip."""
    scores: list[Score] = []
    changes: list[float] = []
    before: tuple[Tensor, Tensor] | None = None
    for small, large in zip(lr, clip.frames, strict=True):
        hr = as_floats(large, device)
        sr = enlarge_by(name, enlarge, as_floats(small, device), Path(clip.name))
        scores.append(score(sr, hr, border=border, perceptual=perceptual))
        now = (luma(hr), luma(sr))
        if before is not None:
            changes.append(temporal_change((before[0], now[0]), (before[1], now[1]), border=border))
        before = now
    return ClipScore(mean_score(scores), mean_known(changes))


def as_floats(picture: Tensor, device: torch.device) -> Tensor:
    """(1, 3, H, W) floats in [0, 1] of an (H, W, 3) uint8 picture."""
    return picture.to(device).permute(2, 0, 1)[None].float() / 255
