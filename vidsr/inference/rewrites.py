"""The generator rewritten for inference: the same function, in operations that accelerators fuse.

As trained, the network ends in a convolution with three output channels at high resolution, behind a
PixelShuffle and an activation that read and write the largest map of all. Four identities move that
work:

- batch norm is folded into the convolution before it (`models.generator.fold_batch_norm`);
- an activation behind a PixelShuffle is the same activation before it, each channel's slope repeated for
  the channels that the shuffle interleaves;
- a convolution behind a PixelShuffle is a smaller convolution before it that yields each sub-pixel as a
  channel of its own, and the shuffle then moves 3 channels instead of `channels`;
- factors between bytes and [0, 1] are part of the first and the last convolution's weights.

All are exact in real arithmetic, borders included: a position beyond the border of the large map lies
beyond the border of the small one, so zero padding stays zero padding, and the input is scaled without
an offset, so that its padding stays zero too. PixelShuffle and its channel order: W. Shi et al., CVPR
2016 (arXiv:1609.05158), section 3.2, as torch.nn.PixelShuffle has it.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from vidsr.inference.sub_pixels import before_shuffle
from vidsr.models.generator import Generator, fold_batch_norm

Depth = Literal["bytes", "floats"]
"""What crosses the network's border: uint8 for 8-bit video, floats in [0, 1] for deeper video."""

BYTE_WHITE = 255.0
"""The byte that stands for 1.0."""


class RewrittenGenerator(nn.Module):
    """A generator's equal with nothing but a PixelShuffle at high resolution.

    Maps (N, 3, h, w) floats in [0, white_in] to (N, 3, scale*h, scale*w), about [0, white_out], not
    clamped. The weights keep the generator's dtype and device; the generator is left alone.
    """

    def __init__(self, generator: Generator, *, white_in: float = 1.0, white_out: float = 1.0) -> None:
        super().__init__()
        generator = fold_batch_norm(generator)
        config = generator.config
        self.config = config
        self.head = scaled_input(generator.head, 1 / white_in)
        self.head_act = copy.deepcopy(generator.head_act)
        self.body = copy.deepcopy(generator.body)
        self.body_conv = copy.deepcopy(generator.body_conv) if config.body == "residual" else None
        tail_gain = white_out if config.output == "linear" else 1.0
        if config.upsampler == "single":
            self.upsample = nn.Sequential()
            self.tail = scaled_output(generator.tail, tail_gain)
            self.shuffle = nn.PixelShuffle(config.scale)
        else:
            # All stages but the last keep their shuffle; the last one's moves behind the tail.
            stages = list(copy.deepcopy(generator.upsample))
            layers: list[nn.Module] = []
            for conv, shuffle, act in zip(stages[0::3], stages[1::3], stages[2::3], strict=True):
                layers += [conv, activation_before_shuffle(act, 2), shuffle]
            self.upsample = nn.Sequential(*layers[:-1])
            self.tail = scaled_output(convolution_before_shuffle(generator.tail, 2), tail_gain)
            self.shuffle = nn.PixelShuffle(2)
        self.skip = _skip(generator, white_out / white_in) if config.input_skip else None
        self.half_white = white_out / 2

    def forward(self, pixels: Tensor) -> Tensor:
        """Enlarge (N, 3, h, w); units as the constructor was told."""
        shallow = self.head_act(self.head(pixels))
        deep = self.body(shallow)
        if self.body_conv is not None:
            deep = shallow + self.body_conv(deep)
        sub_pixels = self.tail(self.upsample(deep))
        if self.skip is not None:
            sub_pixels = sub_pixels + self.skip(pixels)
        if self.config.output == "tanh":
            sub_pixels = torch.tanh(sub_pixels) * self.half_white + self.half_white
        sr: Tensor = self.shuffle(sub_pixels)
        return sr


class FrameNetwork(nn.Module):
    """A rewritten generator from frames to frames, as an engine runs it.

    Maps (N, h, w, 3) to (N, scale*h, scale*w, 3) of the same dtype: uint8 with `depth` "bytes", else
    `dtype` in [0, 1]; clamped. The casts stand next to input and output, outside the transpositions:
    TensorRT takes bytes nowhere else.
    """

    def __init__(self, generator: Generator, dtype: torch.dtype, depth: Depth) -> None:
        super().__init__()
        self.dtype = dtype
        self.depth = depth
        self.outer_dtype = torch.uint8 if depth == "bytes" else dtype
        self.white = BYTE_WHITE if depth == "bytes" else 1.0
        # Rewritten in fp64 and rounded once, so that the weights are as good as the dtype allows.
        exact = RewrittenGenerator(
            copy.deepcopy(generator).double(), white_in=self.white, white_out=self.white
        )
        self.network = exact.to(dtype).eval().requires_grad_(False)

    def forward(self, lr: Tensor) -> Tensor:
        """Enlarge (N, h, w, 3) frames."""
        pixels = lr.to(self.dtype).permute(0, 3, 1, 2)
        sr = self.network(pixels).clamp(0.0, self.white)
        if self.depth == "bytes":
            sr = sr.round()
        frames: Tensor = sr.permute(0, 2, 3, 1).to(self.outer_dtype)
        return frames


def activation_before_shuffle(act: nn.Module, factor: int) -> nn.Module:
    """The activation that before PixelShuffle(factor) does what `act` does behind it.

    Channel c of the shuffle's output comes from the factor**2 channels from factor**2 * c on, so each
    slope of a PReLU is repeated that often; an activation with one slope for all is its own equal.
    """
    if not isinstance(act, nn.PReLU) or act.num_parameters == 1:
        return copy.deepcopy(act)
    repeated = nn.PReLU(act.num_parameters * factor**2).to(act.weight)
    repeated.weight = nn.Parameter(act.weight.detach().repeat_interleave(factor**2))
    return repeated


def convolution_before_shuffle(conv: nn.Conv2d, factor: int) -> nn.Conv2d:
    """The convolution C such that PixelShuffle(C(x)) equals conv(PixelShuffle(x)), both by `factor`."""
    assert conv.bias is not None  # every convolution of the generator has one
    weight, bias = before_shuffle(conv.weight.detach(), conv.bias.detach(), factor)
    rewritten = _same_padded(weight.shape[1], weight.shape[0], weight.shape[2])
    rewritten.weight, rewritten.bias = nn.Parameter(weight), nn.Parameter(bias)
    return rewritten


def scaled_input(conv: nn.Conv2d, gain: float) -> nn.Conv2d:
    """A convolution that does to x what `conv` does to gain * x."""
    scaled = copy.deepcopy(conv)
    scaled.weight = nn.Parameter(conv.weight.detach() * gain)
    return scaled


def scaled_output(conv: nn.Conv2d, gain: float) -> nn.Conv2d:
    """A convolution whose output is `gain` times that of `conv`."""
    scaled = scaled_input(conv, gain)
    assert conv.bias is not None
    scaled.bias = nn.Parameter(conv.bias.detach() * gain)
    return scaled


def _skip(generator: Generator, gain: float) -> nn.Sequential:
    """The input's pixels, each repeated to its block of the output, in the order before the shuffle."""
    config = generator.config
    if config.upsampler == "single":
        return nn.Sequential(_repetition(config.scale, gain, generator))
    layers: list[nn.Module] = [_repetition(2, gain, generator)]
    for _ in range(config.stages - 1):
        layers += [nn.PixelShuffle(2), _repetition(2, 1.0, generator)]
    return nn.Sequential(*layers)


def _repetition(factor: int, gain: float, generator: Generator) -> nn.Conv2d:
    """A 1x1 convolution from 3 channels to factor**2 equal copies of each, times `gain`.

    As a convolution, since every runtime takes it, in every precision; the copies are exact.
    """
    conv = nn.Conv2d(3, 3 * factor**2, 1)
    copies = torch.eye(3).repeat_interleave(factor**2, dim=0) * gain
    conv.weight = nn.Parameter(copies[:, :, None, None].to(generator.head.weight))
    conv.bias = nn.Parameter(torch.zeros(3 * factor**2).to(generator.head.weight))
    return conv


def _same_padded(channels_in: int, channels_out: int, side: int) -> nn.Conv2d:
    # On the meta device: the weights are replaced, so nothing random is drawn for them.
    return nn.Conv2d(channels_in, channels_out, side, padding=side // 2, device="meta")
