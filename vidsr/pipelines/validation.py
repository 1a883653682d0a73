"""Scores of a generator in training, on held-out pictures that never change during a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vidsr.evaluation.lpips import Lpips
from vidsr.evaluation.metrics import luma, psnr, ssim
from vidsr.training.gan_step import SRPair
from vidsr.training.patches import Pictures, as_pair
from vidsr.video.resample import imresize

SIDE = 64
"""Side of a validation picture in LR pixels, at most: 256 pixels at x4, enough for LPIPS and the eye."""


@dataclass(frozen=True)
class Validation:
    """Held-out pairs, one at a time on the device, and what to measure."""

    pairs: tuple[tuple[Tensor, Tensor], ...]  # LR (1, h, w, 3), HR (1, scale*h, scale*w, 3), uint8
    scale: int
    device: torch.device
    lpips: Lpips | None = None

    def scores(self, upscale: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Mean PSNR and SSIM on luma without a border of `scale` pixels, and LPIPS where it is had.

        `upscale` maps (1, 3, h, w) floats in [0, 1] to (1, 3, scale*h, scale*w); what it gives is
        rounded to bytes first, as a video's frame would be.
        """
        found: dict[str, list[float]] = {}
        with torch.inference_mode():
            for lr, hr in self.pairs:
                pair = as_pair(lr, hr, self.device)
                sr = (upscale(pair.lr).float().clamp(0, 1) * 255).round() / 255
                a, b = luma(sr), luma(pair.hr)
                # A flat picture that is exact has no finite PSNR; 99 dB keeps the mean a number.
                decibels = min(99.0, float(psnr(a, b, border=self.scale)))
                found.setdefault("psnr", []).append(decibels)
                found.setdefault("ssim", []).append(float(ssim(a, b, border=self.scale)))
                if self.lpips is not None:
                    found.setdefault("lpips", []).append(float(self.lpips(sr, pair.hr)))
        return {name: sum(values) / len(values) for name, values in found.items()}

    def baselines(self) -> dict[str, float]:
        """Scores of bicubic and Lanczos on the same pairs: "bicubic psnr", "lanczos ssim" and so on."""
        found: dict[str, float] = {}
        for name, kernel in (("bicubic", "bicubic"), ("lanczos", "lanczos3")):

            def enlarge(lr: Tensor, kernel: str = kernel) -> Tensor:
                return imresize(lr, self.scale, kernel="lanczos3" if kernel == "lanczos3" else "bicubic")

            for measure, value in self.scores(enlarge).items():
                found[f"{name} {measure}"] = value
        return found

    def strips(self, upscale: Callable[[Tensor], Tensor], count: int) -> list[Tensor]:
        """LR, bicubic, SR and HR side by side, (H, 4*W, 3) uint8 each, of the first few pairs."""
        made = []
        with torch.inference_mode():
            for lr, hr in self.pairs[:count]:
                pair: SRPair = as_pair(lr, hr, self.device)
                enlarged = pair.lr.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
                row = [enlarged, imresize(pair.lr, self.scale), upscale(pair.lr).float(), pair.hr]
                strip = (torch.cat(row, dim=3)[0].clamp(0, 1) * 255).round().to(torch.uint8)
                made.append(strip.permute(1, 2, 0).cpu())
        return made


def hold_validation(
    pictures: Pictures, count: int, device: torch.device, lpips: Lpips | None
) -> Validation:
    """Choose up to `count` clips, evenly over all, and of each its first frame's middle.

    Degraded versions are scored where there are any: they are what a model for real video is for.
    """
    table, scale = pictures.table, pictures.scale
    firsts = [row for row in range(len(table)) if row == 0 or table.clip[row] != table.clip[row - 1]]
    chosen = [firsts[i * len(firsts) // count] for i in range(count)] if len(firsts) > count else firsts
    versions = table.lr.shape[1]
    pairs = []
    for number, row in enumerate(chosen):
        lr, hr = pictures.frame(row, 1 + number % (versions - 1) if versions > 1 else 0)
        height, width = min(SIDE, lr.shape[0]), min(SIDE, lr.shape[1])
        top, left = (lr.shape[0] - height) // 2, (lr.shape[1] - width) // 2
        pairs.append(
            (
                lr[top : top + height, left : left + width][None].cpu().clone(),
                hr[top * scale : (top + height) * scale, left * scale : (left + width) * scale][None]
                .cpu()
                .clone(),
            )
        )
    return Validation(tuple(pairs), scale, device, lpips)
