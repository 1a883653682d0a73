"""The generator of SRGAN and its small siblings: one class, sized by its configuration.

Source of the architecture: C. Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a
Generative Adversarial Network", CVPR 2017 (arXiv:1609.04802), figure 4. Batch norm is off in the form
that vidsr ships: B. Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution",
CVPRW 2017 (arXiv:1707.02921), section 3.1. The single-shuffle form, with nothing computed at high
resolution, is that of W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an
Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016 (arXiv:1609.05158).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidsr.models.folding import folded
from vidsr.models.generator_config import LEAKY_SLOPE, GeneratorConfig


class ResidualBlock(nn.Module):
    """conv 3x3, activation, conv 3x3, plus the input; batch norm after each convolution by option."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        width = config.channels
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(width) if config.batch_norm else nn.Identity()
        self.act = activation(config)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width) if config.batch_norm else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, channels, h, w) floats to the same shape."""
        inner = self.act(self.bn1(self.conv1(features)))
        outer: Tensor = self.bn2(self.conv2(inner))
        return features + outer


class Generator(nn.Module):
    """Low resolution to high: (N, 3, h, w) floats in [0, 1] to (N, 3, scale*h, scale*w), unclamped.

    RGB channel order. The output is around [0, 1] but not clamped, so that losses see all of it;
    backends clamp.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.head = nn.Conv2d(3, width, config.head_kernel, padding=config.head_kernel // 2)
        self.head_act = activation(config)
        layers: list[nn.Module] = []
        if config.body == "residual":
            layers += [ResidualBlock(config) for _ in range(config.blocks)]
        else:
            for _ in range(config.blocks):
                layers += [
                    nn.Conv2d(width, width, 3, padding=1),
                    nn.BatchNorm2d(width) if config.batch_norm else nn.Identity(),
                    activation(config),
                ]
        self.body = nn.Sequential(*layers)
        if config.body == "residual":
            self.body_conv: nn.Module = nn.Conv2d(width, width, 3, padding=1)
            self.body_bn: nn.Module = nn.BatchNorm2d(width) if config.batch_norm else nn.Identity()
        if config.upsampler == "staged":
            stages: list[nn.Module] = []
            for _ in range(config.stages):
                stages += [
                    nn.Conv2d(width, 4 * width, 3, padding=1),
                    nn.PixelShuffle(2),
                    activation(config),
                ]
            self.upsample = nn.Sequential(*stages)
            tail_channels = 3
        else:
            self.upsample = nn.Sequential()
            tail_channels = 3 * config.scale**2
        self.tail = nn.Conv2d(width, tail_channels, config.tail_kernel, padding=config.tail_kernel // 2)

    def forward(self, lr: Tensor) -> Tensor:
        """Enlarge (N, 3, h, w) in [0, 1] to (N, 3, scale*h, scale*w), about [0, 1], not clamped."""
        config = self.config
        shallow = self.head_act(self.head(lr))
        deep = self.body(shallow)
        if config.body == "residual":
            deep = shallow + self.body_bn(self.body_conv(deep))
        sr: Tensor = self.tail(self.upsample(deep))
        if config.upsampler == "single":
            if config.input_skip:
                # Before the shuffle each colour has scale**2 consecutive channels, one a sub-pixel.
                sr = sr + lr.repeat_interleave(config.scale**2, dim=1)
            return nn.functional.pixel_shuffle(sr, config.scale)
        if config.input_skip:
            sr = sr + functional.interpolate(lr, scale_factor=config.scale, mode="nearest")
        if config.output == "tanh":
            sr = (torch.tanh(sr) + 1) / 2
        return sr


def activation(config: GeneratorConfig) -> nn.Module:
    """A fresh activation layer of the configured kind; PReLU starts at a slope of 0.25."""
    if config.activation == "prelu":
        return nn.PReLU(config.channels if config.channel_slopes else 1)
    if config.activation == "relu":
        return nn.ReLU(inplace=True)
    return nn.LeakyReLU(LEAKY_SLOPE, inplace=True)


def fold_batch_norm(generator: Generator) -> Generator:
    """A generator without batch norm that computes what this one does in evaluation mode."""
    if not generator.config.batch_norm:
        return generator
    config, state = folded(generator.config, generator.state_dict())
    plain = Generator(config).to(generator.head.weight)
    plain.load_state_dict(state)
    return plain.train(generator.training)
