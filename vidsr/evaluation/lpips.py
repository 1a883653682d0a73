"""LPIPS: how different two pictures look, as a network trained on human judgements says.

R. Zhang, P. Isola, A. Efros, E. Shechtman, O. Wang, "The Unreasonable Effectiveness of Deep Features as
a Perceptual Metric", CVPR 2018 (arXiv:1801.03924), equation 1, with AlexNet and the heads of version
0.1: the form in which super-resolution papers report it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from vidsr.errors import WeightsError
from vidsr.models.alexnet import LEAST_SIZE, WIDTHS, AlexNetFeatures, load_alexnet
from vidsr.models.state_dict import read_state_dict

# Names of the head of layer N in vidsr's collection, in the authors' file, and without a network's name.
_HEAD_NAMES = ("alex.lin{}.weight", "lin{}.model.1.weight", "lin{}.weight")
_EPSILON = 1e-10  # added to the length of a feature vector, as in the authors' code


class Lpips(nn.Module):
    """The distance itself: features, unit length along channels, weighted squared difference; frozen."""

    def __init__(self, backbone: AlexNetFeatures, heads: list[Tensor]) -> None:
        """Take the backbone and one (1, channels, 1, 1) tensor of weights for each of its maps."""
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ParameterList(nn.Parameter(head, requires_grad=False) for head in heads)
        self.eval()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance of each pair, (N,), 0 where equal; `a`, `b`: (N, 3, H, W) RGB floats in [0, 1].

        Pictures must be at least 31 pixels a side. Differentiable.
        """
        if a.shape != b.shape or a.dim() != 4 or a.shape[1] != 3:
            raise ValueError(f"LPIPS takes two (N, 3, H, W) of one shape: {a.shape} and {b.shape}")
        if min(a.shape[-2:]) < LEAST_SIZE:
            raise ValueError(f"LPIPS needs at least {LEAST_SIZE} pixels a side: {tuple(a.shape[-2:])}")
        distance = a.new_zeros(a.shape[0])
        for head, one, other in zip(self.heads, self.backbone(a), self.backbone(b), strict=True):
            difference = (_unit(one) - _unit(other)).square()
            distance = distance + (head * difference).sum(dim=1).mean(dim=(1, 2))
        return distance


def load_lpips(alexnet: Path, heads: Path) -> Lpips:
    """LPIPS from AlexNet's weights and the heads of version 0.1, fp32, on the CPU.

    Heads may be named as in the authors' `alex.pth` or as `alex.linN.weight`. Raises WeightsError where
    a file is missing, damaged or another.
    """
    tensors = read_state_dict(heads)
    found = []
    for layer, width in enumerate(WIDTHS):
        names = [name.format(layer) for name in _HEAD_NAMES]
        head = next((tensors[name] for name in names if name in tensors), torch.empty(0))
        if head.shape != (1, width, 1, 1):
            raise WeightsError(
                f"{heads}: no LPIPS head of {width} channels for AlexNet's layer {layer}; "
                "give the heads of version 0.1 (alex.pth)"
            )
        found.append(head.float())
    return Lpips(load_alexnet(alexnet), found)


def _unit(features: Tensor) -> Tensor:
    """Feature vectors of length 1 along the channels."""
    # vector_norm has a gradient of 0 where all features are 0; a square root of a sum has none.
    length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (length + _EPSILON)
