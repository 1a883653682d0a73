"""A larger generator that computes, to begin with, what a smaller one does.

After T. Chen, I. Goodfellow, J. Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR
2016 (arXiv:1511.05641), section 2: training goes on from what the small network knows, instead of
learning it again at the price of the large one. The paper doubles channels; here new channels get random
filters, and nothing that was there before listens to them yet: their outgoing weights are zero. These
have gradients from the first update on, as what comes in is not zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidsr.errors import UsageError
from vidsr.models.generator import Generator, ResidualBlock, fold_batch_norm
from vidsr.models.generator_config import LEAKY_SLOPE, GeneratorConfig


def grow(small: Generator, large: Generator) -> None:
    """Let a fresh generator begin with the output of a smaller one, up to rounding.

    `large` may have more blocks, channels and larger kernels, the staged form instead of a single
    shuffle, and learned slopes instead of fixed ones. Raises UsageError where it has no room for what
    `small` does, or is of another kind.
    """
    small = fold_batch_norm(small)
    _check(small.config, large.config)
    with torch.no_grad():
        _Growth(small, large).run()


class _Growth:
    """Writes the weights of `small` into those of `large`."""

    def __init__(self, small: Generator, large: Generator) -> None:
        self.small = small
        self.large = large
        self.width = small.config.channels
        # Where only the small network adds its input at the end, the large one carries it there in three
        # channels: never negative, it passes every activation as it is.
        self.carries = small.config.input_skip and not large.config.input_skip
        self.kept = self.width + 3 * self.carries

    def run(self) -> None:
        small, large, width = self.small, self.large, self.width
        _embed(small.head, large.head)
        if self.carries:
            for colour in range(3):
                _clear(large.head, width + colour)
                _tap(large.head, width + colour, colour, 1.0)
        _take_slope(small.head_act, large.head_act)
        for index, block in enumerate(large.body):
            assert isinstance(block, ResidualBlock)
            for row in range(self.kept):
                _clear(block.conv2, row)
            if index < small.config.blocks:
                given = small.body[index]
                assert isinstance(given, ResidualBlock)
                _embed(given.conv1, block.conv1)
                _embed(given.conv2, block.conv2)
                _take_slope(given.act, block.act)
        for row in range(self.kept):
            _clear(large.body_conv, row)
        _embed(small.body_conv, large.body_conv)
        if large.config.upsampler == "single":
            self._single()
        else:
            self._staged()

    def _single(self) -> None:
        """The tail, with the carried input added to each of its sub-pixels."""
        tail = self.large.tail
        for row in range(tail.out_channels):
            _clear(tail, row)
        _embed(self.small.tail, tail)
        if self.carries:
            for row in range(tail.out_channels):
                _tap(tail, row, self.width + row // self.small.config.scale**2, 1.0)

    def _staged(self) -> None:
        """The tail of a single shuffle in the first stage; the others only move its sub-pixels.

        Before the shuffle of a stage the pixels of the finished picture lie in channels, (colour, y, x).
        A value passes an activation of slope a unchanged in two channels, one of them negated:
        act(v) - act(-v) = (1 + a) v.
        """
        small, large = self.small, self.large
        scale = small.config.scale
        slope = 1.0
        before = 1  # size of the picture over the LR picture
        for stage in range(large.config.stages):
            conv = large.upsample[3 * stage]
            assert isinstance(conv, nn.Conv2d)
            after = scale // (2 * before)  # sub-pixels a side that are still in channels, behind it
            pixels = 3 * after**2
            for row in range(8 * pixels):  # two channels a pixel, four rows a channel
                channel, y, x = row // 4, row % 4 // 2, row % 2
                sign, pixel = (1.0, channel) if channel < pixels else (-1.0, channel - pixels)
                colour, sub_y, sub_x = pixel // after**2, pixel // after % after, pixel % after
                # Its place among the channels of this stage's input, or of the small tail.
                place = (2 * after * colour + y * after + sub_y) * 2 * after + x * after + sub_x
                _clear(conv, row)
                if stage == 0:
                    self._write_tail(conv, row, place, sign)
                else:
                    gain = sign / (1 + slope)
                    _tap(conv, row, place, gain)
                    _tap(conv, row, place + 4 * pixels, -gain)
            slope = _slope(large.upsample[3 * stage + 2])
            before *= 2
        for colour in range(3):
            _clear(large.tail, colour)
            _tap(large.tail, colour, colour, 1 / (1 + slope))
            _tap(large.tail, colour, colour + 3, -1 / (1 + slope))

    def _write_tail(self, conv: nn.Conv2d, row: int, place: int, sign: float) -> None:
        tail = self.small.tail
        _write(conv, row, sign * tail.weight[place], sign * _bias(tail)[place])
        if self.carries:
            _tap(conv, row, self.width + place // self.small.config.scale**2, sign)


def _embed(given: nn.Module, conv: nn.Module) -> None:
    """Let the first rows of `conv` be those of a smaller convolution; they hear no new channel."""
    assert isinstance(given, nn.Conv2d) and isinstance(conv, nn.Conv2d)
    for row in range(given.out_channels):
        _clear(conv, row)
        _write(conv, row, given.weight[row], _bias(given)[row])


def _write(conv: nn.Conv2d, row: int, filters: Tensor, bias: Tensor) -> None:
    """Add (channels, k, k) filters to the middle of a row's, and a bias to its own."""
    margin = (conv.kernel_size[0] - filters.shape[-1]) // 2
    side = slice(margin, margin + filters.shape[-1])
    conv.weight[row, : filters.shape[0], side, side] += filters
    _bias(conv)[row] += bias


def _clear(conv: nn.Module, row: int) -> None:
    assert isinstance(conv, nn.Conv2d)
    conv.weight[row] = 0
    _bias(conv)[row] = 0


def _tap(conv: nn.Conv2d, row: int, channel: int, gain: float) -> None:
    """Add one input channel, as it is, to an output channel."""
    middle = conv.kernel_size[0] // 2
    conv.weight[row, channel, middle, middle] += gain


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None  # convolutions of a generator without batch norm have one
    return conv.bias


def _take_slope(given: nn.Module, activation: nn.Module) -> None:
    if isinstance(activation, nn.PReLU):
        activation.weight.fill_(_slope(given))


def _slope(activation: nn.Module) -> float:
    if isinstance(activation, nn.PReLU):
        return float(activation.weight[0])
    return LEAKY_SLOPE if isinstance(activation, nn.LeakyReLU) else 0.0


def _check(small: GeneratorConfig, large: GeneratorConfig) -> None:
    """UsageError where `large` cannot begin as `small`."""
    carries = small.input_skip and not large.input_skip
    needed = small.channels + 3 * carries
    if large.upsampler == "staged":
        needed = max(needed, 6 * (large.scale // 2) ** 2)
    reasons = {
        "it is of another scale": small.scale != large.scale,
        "only networks of residual blocks grow": (small.body, large.body) != ("residual", "residual"),
        "only networks with one shuffle at the end grow": small.upsampler != "single",
        "slopes for each channel are not known to it": small.channel_slopes or large.channel_slopes,
        "it has batch norm or a tanh output": large.batch_norm or large.output == "tanh",
        f"it has fewer than {small.blocks} blocks": large.blocks < small.blocks,
        f"it has fewer than {needed} channels": large.channels < needed,
        "its first kernel is smaller": large.head_kernel < small.head_kernel,
        "its kernels before the shuffle are smaller": small.tail_kernel
        > (large.tail_kernel if large.upsampler == "single" else 3),
        "it adds its input, which the smaller one does not": large.input_skip and not small.input_skip,
        f"{small.activation} does not become {large.activation}": large.activation
        not in (small.activation, "prelu"),
    }
    for reason, holds in reasons.items():
        if holds:
            raise UsageError(f"--grow: the network asked for cannot begin as the given one: {reason}")
