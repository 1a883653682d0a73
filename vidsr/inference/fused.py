"""The rewritten generator with everything between its convolutions in kernels of vidsr's own."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidsr.inference import epilogues
from vidsr.inference.rewrites import BYTE_WHITE, Depth, RewrittenGenerator
from vidsr.models.generator import Generator, ResidualBlock

ALIGNMENT = 8
"""Tensor cores take fp16 channels by so many; what is no multiple of it may fall back to other units.
NVIDIA, "Convolutional Layers User's Guide", section "Channels In And Out"."""


class FusedNetwork(nn.Module):
    """A rewritten generator from frames to frames: each convolution and one pass over its result.

    Maps (N, h, w, 3) to (N, scale*h, scale*w, 3): with `depth` "bytes" uint8 to uint8, else floating to
    `dtype` in [0, 1]; clamped. Sums behind a convolution are in fp32 and rounded once, so the result is
    no further from the exact one than that of separate passes. Raises ValueError for a tanh output.
    """

    def __init__(self, generator: Generator, dtype: torch.dtype, depth: Depth) -> None:
        super().__init__()
        config = generator.config
        if config.output == "tanh":
            raise ValueError("a tanh output has no kernel")
        self.dtype = dtype
        self.outer_dtype = torch.uint8 if depth == "bytes" else dtype
        self.white = BYTE_WHITE if depth == "bytes" else 1.0
        # Rewritten in fp64 and rounded once, as in `FrameNetwork`.
        exact = RewrittenGenerator(
            copy.deepcopy(generator).double(), white_in=self.white, white_out=self.white
        )
        # The three colours at either end are filled up with channels of zeros.
        self.inputs = ALIGNMENT
        self.head = Activated(exact.head, exact.head_act, dtype, inputs=self.inputs)
        if config.body == "residual":
            blocks: list[nn.Module] = [Block(block, dtype) for block in exact.body]
        else:
            layers = list(exact.body)
            blocks = [
                Activated(conv, act, dtype) for conv, act in zip(layers[0::3], layers[2::3], strict=True)
            ]
        self.body = nn.Sequential(*blocks)
        self.body_conv = None if exact.body_conv is None else Bare(exact.body_conv, dtype)
        self.upsample = nn.Sequential(*_stages(exact.upsample, dtype))
        self.factor: int = exact.shuffle.upscale_factor
        sub_pixels = 3 * self.factor**2
        self.tail = Bare(exact.tail, dtype, self.factor, outputs=sub_pixels + -sub_pixels % ALIGNMENT)
        self.input_skip = config.input_skip
        self.eval().requires_grad_(False)

    def forward(self, lr: Tensor) -> Tensor:
        """Enlarge (N, h, w, 3) frames."""
        pixels = functional.pad(lr.to(self.dtype), (0, self.inputs - 3))
        shallow = self.head(pixels.permute(0, 3, 1, 2))
        deep = self.body(shallow)
        if self.body_conv is not None:
            deep = epilogues.add(self.body_conv(deep), self.body_conv.bias, shallow)
        return epilogues.finish(
            self.tail(self.upsample(deep)),
            self.tail.bias,
            self.factor,
            self.white,
            self.outer_dtype,
            lr.contiguous() if self.input_skip else None,
        )


class Bare(nn.Module):
    """A convolution whose bias is left to what follows; channels in sub-pixel order by `factor`."""

    bias: Tensor

    def __init__(
        self,
        conv: nn.Module,
        dtype: torch.dtype,
        factor: int = 1,
        *,
        inputs: int | None = None,
        outputs: int | None = None,
    ) -> None:
        """`inputs` and `outputs` are channels to fill up to, with weights of zero; None: none more."""
        super().__init__()
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None  # every convolution of the generator has one
        order = epilogues.sub_pixel_order(conv.out_channels, factor).to(conv.weight.device)
        more_in = (inputs or conv.in_channels) - conv.in_channels
        more_out = (outputs or conv.out_channels) - conv.out_channels
        weight = conv.weight.detach()[order].to(dtype)
        weight = functional.pad(weight, (0, 0, 0, 0, 0, more_in, 0, more_out))
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        # fp32: it is added there.
        self.register_buffer("bias", conv.bias.detach()[order].float())
        self.padding = conv.kernel_size[0] // 2
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h, w), channels-last, without the bias."""
        bare = functional.conv2d(x, self.weight, padding=self.padding)
        return bare.contiguous(memory_format=torch.channels_last)


class Activated(nn.Module):
    """A convolution, its bias and activation, and a PixelShuffle where `factor` is above 1."""

    slopes: Tensor

    def __init__(
        self,
        conv: nn.Module,
        act: nn.Module,
        dtype: torch.dtype,
        factor: int = 1,
        *,
        inputs: int | None = None,
    ) -> None:
        super().__init__()
        self.conv = Bare(conv, dtype, factor, inputs=inputs)
        channels = len(self.conv.bias)
        order = epilogues.sub_pixel_order(channels, factor)
        slopes = slopes_of(act, channels)
        self.register_buffer("slopes", slopes[order.to(slopes.device)].to(self.conv.bias))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) to (N, out / factor**2, factor*h, factor*w), channels-last."""
        return epilogues.activate(self.conv(x), self.conv.bias, self.slopes, self.conv.factor)


class Block(nn.Module):
    """A residual block: convolution, activation, convolution, plus its input."""

    def __init__(self, block: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        assert isinstance(block, ResidualBlock)
        self.inner = Activated(block.conv1, block.act, dtype)
        self.outer = Bare(block.conv2, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) to the same."""
        return epilogues.add(self.outer(self.inner(x)), self.outer.bias, x)


def slopes_of(act: nn.Module, channels: int) -> Tensor:
    """An activation's slope below zero for each channel, (channels,): all that tells them apart."""
    if isinstance(act, nn.PReLU):
        return act.weight.detach().expand(channels)
    slope = act.negative_slope if isinstance(act, nn.LeakyReLU) else 0.0
    return torch.full((channels,), slope)


def _stages(upsample: nn.Sequential, dtype: torch.dtype) -> list[nn.Module]:
    """Convolution, activation and, for all but the last, PixelShuffle, each three as one."""
    layers = list(upsample)
    stages: list[nn.Module] = []
    for at in range(0, len(layers), 3):
        conv, act = layers[at : at + 2]
        shuffled = at + 2 < len(layers)
        stages.append(Activated(conv, act, dtype, 2 if shuffled else 1))
    return stages
