"""What training minimises: pure functions of tensors, each with its formula and source.

Pictures are (N, 3, H, W) floats around [0, 1]; every loss is a scalar, a mean over all elements, so a
weight means the same at any crop and batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidsr.recipes import AdversarialLoss

PixelLoss = Callable[[Tensor, Tensor], Tensor]
Features = Callable[[Tensor], Mapping[str, Tensor]]

CHARBONNIER_EPSILON = 1e-3
"""About a quarter of an 8-bit step: below it the loss is a parabola, above it an absolute value."""


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean of |sr - hr|; H. Zhao et al., arXiv:1511.08861: sharper than squares, at better PSNR."""
    return functional.l1_loss(sr, hr)


def mse(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean of (sr - hr)^2; C. Ledig et al., arXiv:1609.04802, equation 4."""
    return functional.mse_loss(sr, hr)


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean of sqrt((sr - hr)^2 + eps^2); W.-S. Lai et al., LapSRN, arXiv:1704.03915, equation 2."""
    return ((sr - hr).square() + CHARBONNIER_EPSILON**2).sqrt().mean()


PIXEL_LOSSES: dict[str, PixelLoss] = {"l1": l1, "mse": mse, "charbonnier": charbonnier}


def perceptual(
    sr: Mapping[str, Tensor], hr: Mapping[str, Tensor], weights: Mapping[str, float]
) -> Tensor:
    """Sum over layers of weight * mean of (features(sr) - features(hr))^2.

    arXiv:1609.04802, equation 5, for one layer; J. Johnson et al., arXiv:1603.08155, for several. The
    paper's factor 1/12.75 is part of the features (see `vidsr.models.vgg`), so a weight of 1 is its own.
    """
    terms = [weight * functional.mse_loss(sr[name], hr[name]) for name, weight in weights.items()]
    return torch.stack(terms).sum()


def discriminator_loss(
    real: Tensor, made: Tensor, kind: AdversarialLoss = "standard", smoothing: float = 0.0
) -> Tensor:
    """Binary cross-entropy of the discriminator's logits on real and on made pictures.

    standard: mean of [-t log s(real) - (1-t) log(1 - s(real))] + mean of [-log(1 - s(made))], s the
    logistic function, t = 1 - smoothing (one-sided: T. Salimans et al., arXiv:1606.03498, section 3.4).
    I. Goodfellow et al., arXiv:1406.2661, equation 1.
    relativistic: the same of real - mean(made) and made - mean(real), halved. A. Jolicoeur-Martineau,
    arXiv:1807.00734, section 4.2; halved as ESRGAN's code does, so that chance is log 2 here and
    2 log 2 in the standard form. Logits are (N, K) or (N, K, H, W), and each of the K judges has means
    of its own; of several processes each takes those of its own part of the batch.
    """
    if kind == "relativistic":
        return _relativistic(real, made, smoothing)
    return _against(real, 1 - smoothing) + _against(made, 0.0)


def generator_adversarial_loss(
    real: Tensor | None, made: Tensor, kind: AdversarialLoss = "standard"
) -> Tensor:
    """What the discriminator's logits mean to the generator.

    standard: mean of -log s(made), arXiv:1609.04802, equation 6; `real` is not looked at.
    relativistic: the discriminator's loss with the roles exchanged.
    """
    if kind == "relativistic":
        if real is None:
            raise ValueError("the relativistic loss compares with the logits of real pictures")
        return _relativistic(made, real, 0.0)
    return _against(made, 1.0)


def beliefs(real: Tensor, made: Tensor, kind: AdversarialLoss = "standard") -> tuple[Tensor, Tensor]:
    """Mean probability of being real that logits give to real and to made pictures.

    relativistic: of being more real than the mean of the others.
    """
    if kind == "relativistic":
        real, made = real - _judge_means(made), made - _judge_means(real)
    return real.sigmoid().mean(), made.sigmoid().mean()


def total_variation(sr: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, down plus across.

    The anisotropic form of L. Rudin, S. Osher, E. Fatemi, Physica D 60 (1992) 259-268.
    """
    down = (sr[..., 1:, :] - sr[..., :-1, :]).abs().mean()
    across = (sr[..., :, 1:] - sr[..., :, :-1]).abs().mean()
    return down + across


def _against(logits: Tensor, target: float) -> Tensor:
    """Binary cross-entropy of logits with one target for all."""
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _relativistic(higher: Tensor, lower: Tensor, smoothing: float) -> Tensor:
    above = _against(higher - _judge_means(lower), 1 - smoothing)
    below = _against(lower - _judge_means(higher), 0.0)
    return (above + below) / 2


def _judge_means(logits: Tensor) -> Tensor:
    """The mean of each judge of (N, K) or (N, K, H, W) logits, to be taken from such."""
    return logits.mean(dim=[axis for axis in range(logits.dim()) if axis != 1], keepdim=True)


@dataclass(frozen=True)
class Losses:
    """Which losses a training minimises, and how much of each."""

    pixel: PixelLoss = l1
    pixel_weight: float = 0.0  # in the adversarial stage; the pixel stage has it alone, at 1
    features: Features | None = None  # (N, 3, H, W) in [0, 1] -> layers by name
    layers: Mapping[str, float] | None = None  # weight of each layer
    adversarial: AdversarialLoss = "standard"
    adversarial_weight: float = 1e-3  # arXiv:1609.04802, equation 3
    label_smoothing: float = 0.0
    variation_weight: float = 0.0
