"""Batch norm made part of the convolutions before it, as it is for all but training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vidsr.arrays import Array
from vidsr.models.generator_config import GeneratorConfig

NORM_EPSILON = 1e-5
"""Added to the variance; PyTorch's default, which all known SRGAN weights were trained with."""


def folded(
    config: GeneratorConfig, state: Mapping[str, Array]
) -> tuple[GeneratorConfig, dict[str, Array]]:
    """The configuration without batch norm, and the tensors that compute the same in evaluation mode.

    Batch norm in evaluation is y = (x - mean) / sqrt(var + eps) * gamma + beta (S. Ioffe and
    C. Szegedy 2015, arXiv:1502.03167), an affine map per channel, so it merges into the convolution
    before it. Exact up to the rounding of the tensors' own type.
    """
    state = dict(state)
    if not config.batch_norm:
        return config, state
    for conv, norm in config.norms().items():
        gamma, beta = state.pop(f"{norm}.weight"), state.pop(f"{norm}.bias")
        mean, var = state.pop(f"{norm}.running_mean"), state.pop(f"{norm}.running_var")
        state.pop(f"{norm}.num_batches_tracked", None)
        gain = gamma / (var + NORM_EPSILON) ** 0.5
        state[f"{conv}.weight"] = state[f"{conv}.weight"] * gain[:, None, None, None]
        state[f"{conv}.bias"] = beta + (state[f"{conv}.bias"] - mean) * gain
    return replace(config, batch_norm=False), state
