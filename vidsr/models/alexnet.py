"""The convolutions of AlexNet as an extractor of features, for LPIPS.

Architecture: A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014
(arXiv:1404.5997), the single-column form that torchvision has; its parameter names
(`features.10.weight` is the last convolution), so its file loads as it is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from vidsr.errors import WeightsError
from vidsr.models.state_dict import read_state_dict
from vidsr.models.vgg import IMAGENET_MEAN, IMAGENET_STD

WIDTHS = (64, 192, 384, 256, 256)
"""Channels of the five feature maps."""

LEAST_SIZE = 31
"""Least height and width in pixels: 31 -> 7 (stride 4) -> 3 -> 1 (two pools of 3, stride 2)."""


class AlexNetFeatures(nn.Module):
    """The five convolutions of AlexNet, each after its ReLU; frozen."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(WIDTHS[0], WIDTHS[1], 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(WIDTHS[1], WIDTHS[2], 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(WIDTHS[2], WIDTHS[3], 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(WIDTHS[3], WIDTHS[4], 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """The five feature maps of (N, 3, H, W) floats in [0, 1], RGB, from fine to coarse."""
        found = []
        features = (rgb - self.mean) / self.std
        for layer in self.features:
            features = layer(features)
            if isinstance(layer, nn.ReLU):
                found.append(features)
        return found


def load_alexnet(path: Path) -> AlexNetFeatures:
    """Make the extractor from a weights file, fp32, on the CPU; the file may hold the classifier too.

    Raises WeightsError where the file is missing, damaged or not AlexNet's.
    """
    net = AlexNetFeatures()
    tensors = read_state_dict(path)
    wanted = net.state_dict()
    for name, own in wanted.items():
        if name not in tensors or tensors[name].shape != own.shape:
            raise WeightsError(
                f"{path}: {name} is missing or not {tuple(own.shape)}; "
                "give torchvision's AlexNet (alexnet-owt-7be5be79.pth) or its convolutions"
            )
    net.load_state_dict({name: tensors[name].float() for name in wanted})
    return net
