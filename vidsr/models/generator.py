"""The generator of SRGAN and its small siblings: one class, sized by its configuration.

Source of the architecture: C. Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a
Generative Adversarial Network", CVPR 2017 (arXiv:1609.04802), figure 4. Batch norm is off in the form
that vidsr ships: B. Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution",
CVPRW 2017 (arXiv:1707.02921), section 3.1. The single-shuffle form, with nothing computed at high
resolution, is that of W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an
Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016 (arXiv:1609.05158).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["prelu", "relu", "leaky_relu"]
Body = Literal["residual", "plain"]
Upsampler = Literal["staged", "single"]
Output = Literal["linear", "tanh"]

LEAKY_SLOPE = 0.1
"""Negative slope of the leaky ReLU: free in int8 on CPUs, unlike the learned slopes of PReLU."""


@dataclass(frozen=True)
class GeneratorConfig:
    """The shape of a generator; the defaults are the paper's x4 network without batch norm."""

    scale: int = 4  # 2 or 4: output size over input size
    blocks: int = 16  # residual blocks, or plain convolutions where body is "plain"
    channels: int = 64  # width of every hidden layer
    batch_norm: bool = False  # as published; folded into the convolutions before inference
    activation: Activation = "prelu"
    channel_slopes: bool = False  # PReLU with one slope per channel instead of one per layer
    body: Body = "residual"
    head_kernel: int = 9  # side of the first convolution, odd
    upsampler: Upsampler = (
        "staged"  # "staged": the paper's; "single": one PixelShuffle(scale) at the end
    )
    tail_kernel: int = 9  # side of the last convolution, odd; at high resolution where staged
    input_skip: bool = False  # add the input to the output, repeated to its size
    output: Output = "linear"  # "tanh": the original's output in [-1, 1], mapped to [0, 1]

    def __post_init__(self) -> None:
        if self.scale not in (2, 4):
            raise ValueError(f"scale must be 2 or 4, not {self.scale}")
        if self.blocks < 1 or self.channels < 1:
            raise ValueError("blocks and channels must be at least 1")
        for name in ("head_kernel", "tail_kernel"):
            if getattr(self, name) < 1 or getattr(self, name) % 2 == 0:
                raise ValueError(f"{name} must be odd and positive, not {getattr(self, name)}")
        for name, choices in (
            ("activation", get_args(Activation)),
            ("body", get_args(Body)),
            ("upsampler", get_args(Upsampler)),
            ("output", get_args(Output)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}"
                )
        if self.input_skip and self.output == "tanh":
            raise ValueError("input_skip needs a linear output")
        if self.output == "tanh" and self.upsampler == "single":
            raise ValueError("a tanh output needs the staged upsampler, as published")

    @property
    def receptive_radius(self) -> int:
        """How far an output pixel looks, in LR pixels to each side (40 for the paper's 16 blocks)."""
        convs_per_block = 2 if self.body == "residual" else 1
        radius = self.head_kernel // 2 + convs_per_block * self.blocks
        if self.body == "residual":
            radius += 1  # the convolution before the global skip
        if self.upsampler == "single":
            return radius + self.tail_kernel // 2
        # Each stage's 3x3 works at 1, 2, ... times the LR size, the tail at the full factor.
        at_lr = sum(1 / 2**stage for stage in range(self.stages))
        at_lr += self.tail_kernel // 2 / self.scale
        return radius + int(-(-at_lr // 1))

    @property
    def stages(self) -> int:
        """Number of x2 upsampling stages of the staged form."""
        return self.scale.bit_length() - 1


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
    """A generator without batch norm that computes what this one does in evaluation mode.

    Batch norm in evaluation is y = (x - mean) / sqrt(var + eps) * gamma + beta (S. Ioffe and
    C. Szegedy 2015, arXiv:1502.03167), an affine map per channel, so it merges into the convolution
    before it. Exact up to the rounding of the weights' own type.
    """
    if not generator.config.batch_norm:
        return generator
    folded = Generator(replace(generator.config, batch_norm=False)).to(generator.head.weight)
    state = generator.state_dict()
    for conv, norm in _normed_convolutions(generator.config):
        gamma, beta = state.pop(f"{norm}.weight"), state.pop(f"{norm}.bias")
        mean, var = state.pop(f"{norm}.running_mean"), state.pop(f"{norm}.running_var")
        state.pop(f"{norm}.num_batches_tracked")
        gain = gamma / torch.sqrt(var + nn.BatchNorm2d(1).eps)
        state[f"{conv}.weight"] = state[f"{conv}.weight"] * gain[:, None, None, None]
        state[f"{conv}.bias"] = beta + (state[f"{conv}.bias"] - mean) * gain
    folded.load_state_dict(state)
    return folded.train(generator.training)


def _normed_convolutions(config: GeneratorConfig) -> list[tuple[str, str]]:
    """Names of each convolution and of the batch norm behind it."""
    if config.body == "plain":
        return [(f"body.{3 * i}", f"body.{3 * i + 1}") for i in range(config.blocks)]
    pairs = [(f"body.{i}.conv{n}", f"body.{i}.bn{n}") for i in range(config.blocks) for n in (1, 2)]
    return [*pairs, ("body_conv", "body_bn")]
