"""One update: of the generator alone, or of the discriminator and then the generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from vidsr.models.generator import Generator
from vidsr.training.losses import (
    Losses,
    beliefs,
    discriminator_loss,
    generator_adversarial_loss,
    perceptual,
    total_variation,
)

StageName = Literal["pixel", "adversarial"]
LossTerms = Mapping[str, Tensor]
"""Scalars on the device by name; read them seldom, since reading one waits for the device."""


class SRPair(NamedTuple):
    """A batch of pairs: floats in [0, 1], RGB."""

    lr: Tensor  # (N, 3, h, w)
    hr: Tensor  # (N, 3, scale*h, scale*w)
    judged: int | None = None  # the first so many have all losses, the others the pixel loss; None: all
    # What all losses but that of pixels hold the results against, shaped as hr; None: hr itself.
    real: Tensor | None = None

    @property
    def ideal(self) -> Tensor:
        """What those that are judged are held against by all losses but that of pixels."""
        return (self.hr if self.real is None else self.real)[: self.judged]

    def split(self, parts: int) -> list[SRPair]:
        """Deal out to equal parts, patch by patch; N and `judged` must be multiples of `parts`."""
        for count in (self.lr.shape[0], self.judged or 0):
            if count % parts:
                raise ValueError(f"{count} patches cannot be dealt out to {parts} equal parts")
        judged = None if self.judged is None else self.judged // parts
        real = self.real
        return [
            SRPair(
                self.lr[i::parts], self.hr[i::parts], judged, None if real is None else real[i::parts]
            )
            for i in range(parts)
        ]


@dataclass
class TrainState:
    """Everything that an update changes, and how the networks are called.

    `generate` and `judge` are the networks themselves or wrapped (DistributedDataParallel, compiled);
    the bare ones hold the weights under their plain names.
    """

    stage: StageName
    generator: Generator
    average: Generator  # decaying average of the generator's weights, what is shipped
    generator_optimizer: Optimizer
    generate: Callable[[Tensor], Tensor]
    scaler: torch.amp.GradScaler  # skips an update whose gradients are not finite; scales for fp16
    discriminator: nn.Module | None = None
    discriminator_optimizer: Optimizer | None = None
    judge: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None  # see RealAndMade
    dtype: torch.dtype = torch.float32  # what convolutions compute in
    accumulate: int = 1  # parts that a batch is computed in
    clip_norm: float = 1.0  # greatest norm of the generator's gradient
    step: int = 0  # updates of this stage so far
    used_s: float = 0.0  # wall time of this stage so far

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.generator.parameters()).device

    def set_learning_rate(self, rate: float) -> None:
        """Let both optimisers go on at this learning rate."""
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            if optimizer is not None:
                for group in optimizer.param_groups:
                    group["lr"] = rate

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision as configured; nothing in fp32."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def pixel_step(state: TrainState, pair: SRPair, losses: Losses) -> LossTerms:
    """One update of the generator on the pixel loss alone. Terms: pixel, (variation,) norm."""
    parts = pair.split(state.accumulate)
    terms: dict[str, Tensor] = {}
    state.generator_optimizer.zero_grad(set_to_none=True)
    for index, part in enumerate(parts):
        with _gradients_meet(state.generate, last=index == len(parts) - 1):
            with state.autocast():
                sr = state.generate(part.lr)
            found = {"pixel": losses.pixel(sr.float(), part.hr)}
            loss = found["pixel"]
            if losses.variation_weight:
                found["variation"] = total_variation(sr.float())
                loss = loss + losses.variation_weight * found["variation"]
            torch.autograd.backward(state.scaler.scale(loss / len(parts)))
        _accumulate(terms, found, len(parts))
    terms["norm"] = _apply(state, state.generator, state.generator_optimizer, state.clip_norm)
    state.scaler.update()
    state.step += 1
    return terms


def gan_step(state: TrainState, pair: SRPair, losses: Losses) -> LossTerms:
    """One update of the discriminator on real and made pictures, then one of the generator.

    Terms: discriminator, real, made (mean probabilities of being real that the discriminator gave),
    adversarial, perceptual, pixel, (variation,) norm.
    """
    if state.discriminator is None or state.discriminator_optimizer is None or state.judge is None:
        raise ValueError("the adversarial stage needs a discriminator and its optimiser")
    parts = pair.split(state.accumulate)
    terms: dict[str, Tensor] = {}
    # One part: its pictures serve both updates. Several: they are made again for the second, so that
    # only one part's intermediate results are held at a time.
    kept = _generate(state, parts[0].lr) if len(parts) == 1 else None

    state.discriminator_optimizer.zero_grad(set_to_none=True)
    for index, part in enumerate(parts):
        if kept is None:
            with torch.no_grad():
                sr = _generate(state, part.lr)
        else:
            sr = kept.detach()
        with _gradients_meet(state.judge, last=index == len(parts) - 1):
            with state.autocast():
                real, made = state.judge(part.ideal, sr[: part.judged])
            real, made = real.float(), made.float()
            loss = discriminator_loss(real, made, losses.adversarial, losses.label_smoothing)
            torch.autograd.backward(state.scaler.scale(loss / len(parts)))
        believed = dict(zip(("real", "made"), beliefs(real, made, losses.adversarial), strict=True))
        _accumulate(terms, {"discriminator": loss, **believed}, len(parts))
    _apply(state, state.discriminator, state.discriminator_optimizer, state.clip_norm)

    state.generator_optimizer.zero_grad(set_to_none=True)
    state.discriminator.requires_grad_(False)
    for index, part in enumerate(parts):
        with _gradients_meet(state.generate, last=index == len(parts) - 1):
            sr = _generate(state, part.lr) if kept is None else kept
            loss, found = _generator_loss(state, sr, part, losses)
            torch.autograd.backward(state.scaler.scale(loss / len(parts)))
        _accumulate(terms, found, len(parts))
    state.discriminator.requires_grad_(True)
    terms["norm"] = _apply(state, state.generator, state.generator_optimizer, state.clip_norm)
    state.scaler.update()
    state.step += 1
    return terms


def _generate(state: TrainState, lr: Tensor) -> Tensor:
    with state.autocast():
        return state.generate(lr).float()


def _generator_loss(
    state: TrainState, sr: Tensor, pair: SRPair, losses: Losses
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of what the generator minimises, and its terms unweighted."""
    assert state.discriminator is not None
    found: dict[str, Tensor] = {}
    judged, ideal = sr[: pair.judged], pair.ideal
    with state.autocast():
        made = state.discriminator(judged)
        real = None
        if losses.adversarial == "relativistic":
            with torch.no_grad():
                real = state.discriminator(ideal).float()
    found["adversarial"] = generator_adversarial_loss(real, made.float(), losses.adversarial)
    total = losses.adversarial_weight * found["adversarial"]
    if losses.features is not None and losses.layers:
        with state.autocast():
            of_sr = losses.features(judged)
            with torch.no_grad():
                of_ideal = losses.features(ideal)
        found["perceptual"] = perceptual(_float(of_sr), _float(of_ideal), losses.layers)
        total = total + found["perceptual"]
    found["pixel"] = losses.pixel(sr, pair.hr)
    if losses.pixel_weight:
        total = total + losses.pixel_weight * found["pixel"]
    if losses.variation_weight:
        found["variation"] = total_variation(sr)
        total = total + losses.variation_weight * found["variation"]
    return total, found


def _apply(state: TrainState, network: nn.Module, optimizer: Optimizer, clip_norm: float) -> Tensor:
    """Clip the gradients and update, unless they are not finite; their norm before clipping."""
    state.scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
    state.scaler.step(optimizer)
    return norm.detach()


def _gradients_meet(network: object, *, last: bool) -> AbstractContextManager[Any]:
    """Processes exchange gradients once an update: with its last part."""
    if isinstance(network, DistributedDataParallel) and not last:
        return network.no_sync()
    return nullcontext()


def _accumulate(terms: dict[str, Tensor], found: Mapping[str, Tensor], parts: int) -> None:
    for name, value in found.items():
        share = value.detach() / parts
        terms[name] = terms[name] + share if name in terms else share


def _float(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in features.items()}


def make_scaler(device: torch.device, dtype: torch.dtype) -> torch.amp.GradScaler:
    """What guards updates against numbers that are not finite; for fp16 it also scales the loss.

    On CUDA a fused optimiser takes the verdict on the device, so nothing waits for it.
    """
    if dtype == torch.float16:
        return torch.amp.GradScaler(device.type)
    return torch.amp.GradScaler(device.type, init_scale=1.0, growth_interval=2**31 - 1)
