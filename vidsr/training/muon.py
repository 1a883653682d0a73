"""Muon: Adam's place in training taken by steps that move all directions of a filter bank alike.

Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024
(kellerjordan.github.io/posts/muon). Adam's step of a convolution is mostly a few directions that all
filters share; here each step is the nearest (semi-)orthogonal matrix to the momentum, so that rare
directions, which edges and texture are learned by, are as long as common ones. docs/training.md has
what that is worth. PyTorch's own Muon takes matrices alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

MOMENTUM = 0.95
"""As in the source, with Nesterov's look ahead."""
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the source's quintic iteration: singular values come to lie around 1 (0.7 to 1.2), not on it."""
ITERATIONS = 5
GAIN = 0.6
"""Root mean square of a filter's step over the learning rate. J. Liu et al., "Muon is scalable for LLM
training" (arXiv:2502.16982), section 2.2, take 0.2, that of Adam; here 0.4 and 0.8 learn faster, equally
so, and 1.6 diverges (docs/training.md)."""
WIDEST = 576
"""Inputs of a filter up to which its step keeps that root mean square: 3x3 over 64 channels. The paper's
last filters, 9x9 over 64 channels, are shaken by more."""
BETAS = (0.9, 0.999)
"""Of Adam, which biases and slopes go on having: arXiv:1609.04802, section 3.2."""
EPSILON = 1e-8


class Muon(Optimizer):
    """Muon for filters of convolutions, (O, I, k, k), read as O rows; Adam for all other parameters.

    One learning rate serves both, of about the size that Adam would have.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float) -> None:
        super().__init__(list(parameters), {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("this optimiser takes the gradients that are there, no closure")
        for group in self.param_groups:
            banks: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.dim() == 4:
                    banks.setdefault(parameter.shape, []).append(parameter)
                else:
                    self._adam_step(parameter, group["lr"])
            for alike in banks.values():
                self._orthogonal_step(alike, group["lr"])

    def _orthogonal_step(self, filters: list[nn.Parameter], rate: float) -> None:
        """One step of filter banks of one shape: together, since each alone leaves a GPU idle."""
        ahead: list[Tensor] = []
        for parameter in filters:
            assert parameter.grad is not None
            state: dict[str, Any] = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].mul_(MOMENTUM).add_(parameter.grad)
            ahead.append(parameter.grad.add(state["momentum"], alpha=MOMENTUM).flatten(1))
        steps = orthogonalized(torch.stack(ahead))
        rows, columns = steps.shape[1:]
        length = GAIN * min(max(rows, columns), WIDEST) ** 0.5
        for parameter, step in zip(filters, steps, strict=True):
            parameter.add_(step.view(parameter.shape), alpha=-rate * length)

    def _adam_step(self, parameter: nn.Parameter, rate: float) -> None:
        """One step of D. Kingma, J. Ba, "Adam", arXiv:1412.6980, algorithm 1."""
        assert parameter.grad is not None
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        state["mean"].lerp_(parameter.grad, 1 - BETAS[0])
        state["square"].lerp_(parameter.grad.square(), 1 - BETAS[1])
        mean = state["mean"] / (1 - BETAS[0] ** state["step"])
        square = state["square"] / (1 - BETAS[1] ** state["step"])
        parameter.addcdiv_(mean, square.sqrt_().add_(EPSILON), value=-rate)


def orthogonalized(matrices: Tensor) -> Tensor:
    """About the nearest semi-orthogonal matrix to each of (N, rows, columns) floats; zeros stay zeros.

    Five iterations X <- a X + (b A + c A A) X with A = X X^T, which do not move singular vectors and
    bring singular values from a hundredth of the norm on between 0.67 and 1.21.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    found: Tensor = matrices.mT if tall else matrices  # the smaller side makes the smaller products
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = found @ found.mT
        found = a * found + (b * gram + c * gram @ gram) @ found
    return found.mT if tall else found
