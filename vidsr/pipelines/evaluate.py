"""Score a model on pictures beside classical filters, or one video against another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vidsr.config import EvaluateConfig
from vidsr.errors import InputError
from vidsr.evaluation.flicker import flicker_step
from vidsr.evaluation.metrics import luma
from vidsr.evaluation.pairing import pair_by_time, tolerance
from vidsr.evaluation.pictures import list_pictures, read_pairs, rgb_floats
from vidsr.evaluation.report import (
    EvaluationReport,
    FrameScore,
    ImageScores,
    Score,
    VideoEvaluationReport,
)
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
from vidsr.progress import Advanced, Finished, Notice, Progress, Started, silent
from vidsr.video.reader import VideoReader
from vidsr.video.resample import imresize
from vidsr.video.sequences import DEFAULT_RATE, SequenceReader, is_sequence

READ_AHEAD = 4  # frames decoded at a time from each video


def evaluate_images(config: EvaluateConfig, progress: Progress = silent) -> EvaluationReport:
    """Score a model on the pictures of a folder, beside bicubic and Lanczos, and save the report.

    Raises UsageError where the model has another scale, WeightsError for weights that cannot be used,
    InputError for pictures that cannot be read or paired, OutputError where the report cannot be saved.
    """
    assert config.images is not None
    check_output(config)
    device = device_of(config)
    weights = weights_of(config, device)
    methods: dict[str, Enlarge] = {
        "bicubic": lambda lr: imresize(lr, config.scale, kernel="bicubic"),
        "lanczos": lambda lr: imresize(lr, config.scale, kernel="lanczos3"),
        weights.name: load_generator(weights, device),
    }
    report = compare_methods(config, methods, progress)
    save_report(report, config)
    return report


def compare_methods(
    config: EvaluateConfig, methods: Mapping[str, Enlarge], progress: Progress = silent
) -> EvaluationReport:
    """Enlarge every picture by every method and score the results; the last method is the model.

    The low-resolution input is rounded to bytes, and so is every result, as files would be.
    """
    assert config.images is not None
    device = device_of(config)
    perceptual = perceptual_of(config, device)
    border = config.scale if config.border is None else config.border
    found: list[ImageScores] = []
    pictures = list_pictures(config.images)
    progress(Started("evaluate", len(pictures), "pictures"))
    for path, lr, hr in read_pairs(pictures, config.lr, config.scale, device):
        check_size(hr, border, path)
        scores: dict[str, Score] = {}
        for name, enlarge in methods.items():
            sr = enlarge_by(name, enlarge, lr, path)
            scores[name] = score(sr, hr, border=border, perceptual=perceptual)
        found.append(ImageScores(path.name, scores))
        progress(Advanced("evaluate", len(found), values={"psnr": scores[name].psnr_db}))
    progress(Finished("evaluate"))
    source = "bicubic" if config.lr is None else str(config.lr)
    return EvaluationReport(name, config.scale, border, source, tuple(found))


def evaluate_video(config: EvaluateConfig, progress: Progress = silent) -> VideoEvaluationReport:
    """Score a video against its reference frame by frame, paired by time, and save the report.

    Either may be numbered pictures (frames/%05d.png); these take the other's frame rate.
    Holds a few frames at a time, whatever the length. Raises InputError where a video cannot be read,
    sizes differ, or no two frames have the same time; OutputError where the report cannot be saved.
    """
    assert config.reference is not None and config.distorted is not None
    check_output(config)
    device = device_of(config)
    perceptual = perceptual_of(config, device)
    border = config.border or 0
    frames: list[FrameScore] = []
    unpaired = {"reference": 0, "distorted": 0}
    one, other = _open_both(config.reference, config.distorted)
    with one as reference, other as distorted:
        sizes = [(info.width, info.height) for info in (reference.info, distorted.info)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{config.distorted} is {sizes[1][0]}x{sizes[1][1]}, {config.reference} "
                f"{sizes[0][0]}x{sizes[0][1]}: bring both to one size first"
            )
        progress(Started("evaluate", reference.info.frame_count, "frames"))
        before: tuple[Tensor, Tensor] | None = None
        for pair in pair_by_time(
            reference.batches(READ_AHEAD),
            distorted.batches(READ_AHEAD),
            tolerance(reference.info.time_base, distorted.info.time_base),
        ):
            if pair.reference is None or pair.distorted is None:
                unpaired["reference" if pair.distorted is None else "distorted"] += 1
                continue
            hr, sr = rgb_floats(pair.reference, device), rgb_floats(pair.distorted, device)
            if not frames:
                check_size(hr, border, config.reference)
            now = (luma(hr), luma(sr))
            step = None
            if before is not None:
                step = flicker_step((before[0], now[0]), (before[1], now[1]), border=border)
            before = now
            time_s = float(pair.reference.pts[0] * pair.reference.time_base)
            frames.append(FrameScore(time_s, score(sr, hr, border=border, perceptual=perceptual), step))
            progress(Advanced("evaluate", len(frames), values={"psnr": frames[-1].score.psnr_db}))
    progress(Finished("evaluate"))
    if not frames:
        raise InputError(
            f"{config.distorted}: no frame has the time of a frame of {config.reference}; "
            "compare a video with the one it was made from"
        )
    for path, reader in ((config.reference, reference), (config.distorted, distorted)):
        if reader.errors:
            progress(Notice(f"{path}: {reader.errors} damaged packets or frames", "warning"))
    for side, count in unpaired.items():
        if count:
            progress(Notice(f"{count} frames of the {side} have no partner of the same time", "warning"))
    report = VideoEvaluationReport(
        config.reference.name,
        config.distorted.name,
        border,
        tuple(frames),
        unpaired["reference"],
        unpaired["distorted"],
    )
    save_report(report, config)
    return report


def _open_both(
    reference: Path, distorted: Path
) -> tuple[VideoReader | SequenceReader, VideoReader | SequenceReader]:
    videos = {path: VideoReader(path) for path in (reference, distorted) if not is_sequence(path)}
    known = (video.info.frame_rate for video in videos.values())
    rate = next((each for each in known if each is not None), DEFAULT_RATE)

    def opened(path: Path) -> VideoReader | SequenceReader:
        return videos[path] if path in videos else SequenceReader(path, rate=rate)

    return opened(reference), opened(distorted)
