"""Networks that tell real pictures from enlarged ones; needed for training only.

Four forms, all from RGB in [0, 1] to logits:

- "paper": C. Ledig et al., arXiv:1609.04802, figure 4: eight 3x3 convolutions from 64 to 512 channels,
  every second with stride 2, batch norm from the second on, then dense 1024 and dense 1.
- "compact": four stride-2 convolutions without batch norm, then the same dense layers: about a
  fifteenth of the work, and no statistics that couple the pictures of a batch.
- "unet": X. Wang et al., "Real-ESRGAN", ICCVW 2021 (arXiv:2107.10833), section 3.3: a U-Net with
  spectral norm (T. Miyato et al., arXiv:1802.05957) that judges every pixel.
- "patch": P. Isola et al., arXiv:1611.07004, section 3.2.2 (PatchGAN), with spectral norm and a verdict
  at three depths: it judges places of 10, 22 and 46 pixels, at the price of a small generator. Its
  strides begin at the patch's corner as the generator's PixelShuffle does, so a pattern that repeats
  with the LR pixels lies on its own grid.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from vidsr.recipes import Form

SLOPE = 0.2
"""Negative slope of every leaky ReLU, as in all three sources."""
GRID = 6
"""Side of the grid before the dense layers: the paper's 96-pixel crops, halved four times."""


class ConvDiscriminator(nn.Module):
    """Convolutions, pooling to a fixed grid, two dense layers: one logit a picture."""

    def __init__(self, form: Literal["paper", "compact"], channels: int = 64) -> None:
        super().__init__()
        widths = [channels, 2 * channels, 4 * channels, 8 * channels]
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            if form == "paper":
                # Batch norm of the very first convolution is left out, as published.
                norm = bool(layers)
                layers += _conv(before, width, stride=1, norm=norm)
                layers += _conv(width, width, stride=2, norm=True)
            else:
                layers += _conv(before, width, stride=2, norm=False)
            before = width
        self.features = nn.Sequential(*layers)
        # Any crop size comes down to the grid; at the paper's 96 pixels this changes nothing.
        self.pool = nn.AdaptiveAvgPool2d(GRID)
        self.dense = nn.Sequential(
            nn.Linear(widths[-1] * GRID * GRID, 16 * channels),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Linear(16 * channels, 1),
        )

    def forward(self, rgb: Tensor) -> Tensor:
        """Judge (N, 3, H, W) floats in [0, 1]: (N, 1) logits, above 0 for real; H and W at least 16."""
        logits: Tensor = self.dense(self.pool(self.features(2 * rgb - 1)).flatten(1))
        return logits


class UnetDiscriminator(nn.Module):
    """A U-Net with spectral norm: one logit a pixel."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.down = nn.ModuleList(
            _spectral(channels * 2**i, channels * 2 ** (i + 1), 4, 2) for i in range(3)
        )
        self.up = nn.ModuleList(
            _spectral(channels * 2 ** (i + 1), channels * 2**i, 3, 1) for i in reversed(range(3))
        )
        self.last = nn.Sequential(
            _spectral(channels, channels, 3, 1),
            nn.LeakyReLU(SLOPE, inplace=True),
            _spectral(channels, channels, 3, 1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(channels, 1, 3, padding=1),
        )

    def forward(self, rgb: Tensor) -> Tensor:
        """Judge (N, 3, H, W) floats in [0, 1]: (N, 1, H, W) logits; H and W multiples of 8."""
        features = [functional.leaky_relu(self.first(2 * rgb - 1), SLOPE)]
        for conv in self.down:
            features.append(functional.leaky_relu(conv(features[-1]), SLOPE))
        deep = features.pop()
        for conv in self.up:
            larger = functional.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
            deep = functional.leaky_relu(conv(larger), SLOPE) + features.pop()
        logits: Tensor = self.last(deep)
        return logits


class PatchDiscriminator(nn.Module):
    """Strided convolutions with spectral norm: one logit for each place and each of three depths."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        widths = [channels * 2**i for i in range(4)]
        self.first = nn.Conv2d(3, channels, 4, stride=2, padding=1)
        self.down = nn.ModuleList(_spectral(before, width, 4, 2) for before, width in pairwise(widths))
        self.verdicts = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths[1:])

    def forward(self, rgb: Tensor) -> Tensor:
        """Judge (N, 3, H, W) floats in [0, 1]: (N, 3, H/4, W/4) logits; H and W at least 16.

        A verdict on a larger place stands at each of the small ones in it, so that all depths count
        alike.
        """
        features = functional.leaky_relu(self.first(2 * rgb - 1), SLOPE)
        logits: list[Tensor] = []
        for conv, verdict in zip(self.down, self.verdicts, strict=True):
            features = functional.leaky_relu(conv(features), SLOPE)
            logits.append(verdict(features))
        grid = logits[0].shape[-2:]
        return torch.cat([functional.interpolate(each, grid) for each in logits], dim=1)


def make_discriminator(form: Form, channels: int | None = None) -> nn.Module:
    """A fresh discriminator of a form; `channels` is the width of its first layer, None the usual."""
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}, not {form!r}")
    width = {} if channels is None else {"channels": channels}
    if form == "unet":
        return UnetDiscriminator(**width)
    if form == "patch":
        return PatchDiscriminator(**width)
    return ConvDiscriminator(form, **width)


class RealAndMade(nn.Module):
    """Both judgements of one discriminator update in a single call.

    DistributedDataParallel wants one forward pass for each backward pass, while batch norm must see
    real and made pictures apart, as the paper's does: two passes within one call give both.
    """

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, hr: Tensor, sr: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of real and of made pictures, each (N, 3, H, W) floats in [0, 1]."""
        return self.discriminator(hr), self.discriminator(sr)


def _conv(before: int, width: int, *, stride: int, norm: bool) -> list[nn.Module]:
    conv = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=not norm)
    layers: list[nn.Module] = [conv]
    if norm:
        layers.append(nn.BatchNorm2d(width))
    return [*layers, nn.LeakyReLU(SLOPE, inplace=True)]


def _spectral(before: int, width: int, kernel: int, stride: int) -> nn.Module:
    conv = nn.Conv2d(before, width, kernel, stride=stride, padding=1, bias=False)
    normed: nn.Module = parametrizations.spectral_norm(conv)
    return normed
