"""The decaying average of a network's weights, which scores better than the last weights do."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move the average towards the network: average = d * average + (1 - d) * network.

    d = min(decay, (1 + step) / (10 + step)), with `step` counting from 1, so that the first updates,
    from random weights, are soon forgotten (the ramp of TensorFlow's ExponentialMovingAverage). Buffers
    (the statistics of batch norm, averages themselves) are copied.
    """
    ramped = min(decay, (1 + step) / (10 + step))
    ours: list[Tensor] = list(average.parameters())
    theirs: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(ours, theirs, 1 - ramped)
    for mine, other in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(other)
