"""Score a model on pictures beside classical filters, or one video against another."""

from __future__ import annotations

from collections.abc import Mapping

from vidsr.config import EvaluateConfig
from vidsr.errors import InputError
from vidsr.evaluation.pictures import list_pictures, read_pairs
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
from vidsr.pipelines.video_scores import PairedVideos, open_together, score_frames
from vidsr.progress import Advanced, Finished, Notice, Progress, Started, silent
from vidsr.video.resample import imresize


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
        weights.label: load_generator(weights, device),
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
        check_size((int(hr.shape[-2]), int(hr.shape[-1])), border, path)
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
    one, other = open_together((config.reference, config.distorted))
    with one as reference, other as distorted:
        sizes = [(info.width, info.height) for info in (reference.info, distorted.info)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{config.distorted} is {sizes[1][0]}x{sizes[1][1]}, {config.reference} "
                f"{sizes[0][0]}x{sizes[0][1]}: bring both to one size first"
            )
        check_size((reference.info.height, reference.info.width), border, config.reference)
        progress(Started("evaluate", reference.info.frame_count, "frames"))
        pairs = PairedVideos(reference, distorted)
        for _, frame in score_frames(pairs, device, border=border, perceptual=perceptual):
            frames.append(frame)
            progress(Advanced("evaluate", len(frames), values={"psnr": frame.score.psnr_db}))
    progress(Finished("evaluate"))
    if not frames:
        raise InputError(
            f"{config.distorted}: no frame has the time of a frame of {config.reference}; "
            "compare a video with the one it was made from"
        )
    for path, reader in ((config.reference, reference), (config.distorted, distorted)):
        if reader.errors:
            progress(Notice(f"{path}: {reader.errors} damaged packets or frames", "warning"))
    for side, count in pairs.unpaired.items():
        if count:
            progress(Notice(f"{count} frames of the {side} have no partner of the same time", "warning"))
    report = VideoEvaluationReport(
        config.reference.name,
        config.distorted.name,
        border,
        tuple(frames),
        pairs.unpaired["reference"],
        pairs.unpaired["distorted"],
    )
    save_report(report, config)
    return report
