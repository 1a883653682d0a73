"""What every evaluation needs: the device, the methods, the score of one picture, the saved report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from vidsr.config import EvaluateConfig
from vidsr.errors import InputError, OutOfMemory, OutputError, UsageError, WeightsError
from vidsr.evaluation.lpips import Lpips, load_lpips
from vidsr.evaluation.metrics import SSIM_WINDOW, luma, psnr, ssim
from vidsr.evaluation.pictures import to_bytes
from vidsr.evaluation.report import IDENTICAL_DB, Score
from vidsr.models.alexnet import LEAST_SIZE
from vidsr.models.weights import Weights, default_model, find_weights
from vidsr.video.durable import write_whole

Enlarge = Callable[[Tensor], Tensor]
"""(N, 3, h, w) floats in [0, 1], RGB, to (N, 3, scale*h, scale*w), about [0, 1]."""


class Report(Protocol):
    """What an evaluation gives back."""

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain values."""

    def to_markdown(self) -> str:
        """The same for people."""


def weights_of(config: EvaluateConfig, device: torch.device) -> Weights:
    """The weights that are scored. Raises UsageError where their scale is not the one asked for."""
    name = default_model(device.type) if config.model == "auto" else config.model
    weights = find_weights(name, config.scale, detail=config.detail)
    if weights.scale != config.scale:
        raise UsageError(f"{name} enlarges by {weights.scale}: take --scale {weights.scale}")
    return weights


def score(sr: Tensor, hr: Tensor, *, border: int, perceptual: Lpips | None = None) -> Score:
    """Score one picture, (1, 3, H, W) RGB floats in [0, 1], against its reference.

    LPIPS is taken of the whole picture, PSNR and SSIM inside the border.
    """
    y, reference = luma(sr), luma(hr)
    with torch.inference_mode():
        distance = None if perceptual is None else float(perceptual(sr, hr))
    return Score(
        min(float(psnr(y, reference, border=border)), IDENTICAL_DB),
        float(ssim(y, reference, border=border)),
        distance,
    )


def enlarge_by(name: str, enlarge: Enlarge, lr: Tensor, path: Path) -> Tensor:
    """Enlarge (1, 3, h, w) floats in [0, 1] by one method; the result is rounded as a file would be.

    Raises OutOfMemory, or WeightsError where the result of `name` on `path` is not finite.
    """
    try:
        with torch.inference_mode():
            sr = enlarge(lr)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"{path}: does not fit into GPU memory; use --device cpu") from error
    if not bool(sr.isfinite().all()):
        raise WeightsError(f"{name} gives values that are no numbers on {path}; its weights are broken")
    return to_bytes(sr)


def check_size(size: tuple[int, int], border: int, path: Path) -> None:
    """Raise InputError where pictures of (height, width) are too small for the measures."""
    least = max(SSIM_WINDOW + 2 * border, LEAST_SIZE)
    if min(size) < least:
        raise InputError(f"{path}: {size[1]}x{size[0]} is too small to score; {least} is the least")


def device_of(config: EvaluateConfig) -> torch.device:
    """Where the networks run. Raises UsageError where CUDA was asked for and is not there."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def perceptual_of(config: EvaluateConfig, device: torch.device) -> Lpips | None:
    """LPIPS, where its weights were given."""
    return None if config.lpips_weights is None else load_lpips(*config.lpips_weights).to(device)


def _outputs(output: Path) -> tuple[Path, Path]:
    return output.with_suffix(".json"), output.with_suffix(".md")


def check_output(config: EvaluateConfig) -> None:
    """Raise OutputError, before any work, where the report could not be saved at its end."""
    if config.output is None:
        return
    if not config.output.parent.is_dir():
        raise OutputError(f"{config.output.parent}: no such folder; make it first")
    for path in _outputs(config.output):
        if path.exists() and not config.overwrite:
            raise OutputError(f"{path}: exists; --overwrite replaces it")


def save_report(report: Report, config: EvaluateConfig) -> None:
    """Write the report in both forms, each whole or not at all, where one was asked for."""
    if config.output is None:
        return
    as_json, as_markdown = _outputs(config.output)
    text = json.dumps(report.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(as_json, (text + "\n").encode())
    write_whole(as_markdown, report.to_markdown().encode())
