"""What follows a convolution, in one pass over memory: Triton kernels for NVIDIA cards.

A convolution of 64 channels computes about as long as its result takes to be written and read; PyTorch
adds the bias in a second pass, the activation or the residual in a third, and shuffles pixels in a
fourth. Each kernel here reads the convolution's bare result once, does all of that in fp32, and writes
once. Ph. Tillet, H. T. Kung, D. Cox: "Triton: An Intermediate Language and Compiler for Tiled Neural
Network Computations", MAPL 2019.

Tensors are (N, C, h, w) channels-last: in memory (pixels, C). Where pixels are shuffled the channels
come in sub-pixel order, (row, column, c) instead of PixelShuffle's (c, row, column): whole runs of c
move. `sub_pixel_order` says which is which; it is put into the convolution's weights.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor
from triton import language as tl

TILE = 4096
"""Values a program works on: 128 threads with 32 each, in 16-byte accesses of fp16."""

ROUNDER = tl.constexpr(8388608.0)
"""2**23: fp32 has no halves from there on, so adding it rounds, ties to even, as torch.round does."""


@triton.jit  # type: ignore[untyped-decorator]
def _activate(
    x: tl.tensor,
    bias: tl.tensor,
    slopes: tl.tensor,
    out: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    CHANNELS: tl.constexpr,  # noqa: N803 (Triton's own style for what is compiled in)
    FACTOR: tl.constexpr,  # noqa: N803
    PIXELS_A_TILE: tl.constexpr,  # noqa: N803
    CHANNELS_A_TILE: tl.constexpr,  # noqa: N803
) -> None:
    # 64 bits: eight 4K frames of 64 channels are more than 2**31 values.
    pixel = tl.program_id(0).to(tl.int64) * PIXELS_A_TILE + tl.arange(0, PIXELS_A_TILE)[:, None]
    channel = tl.arange(0, CHANNELS_A_TILE)[None, :]
    inside = (pixel < pixels) & (channel < CHANNELS)
    value = tl.load(x + pixel * CHANNELS + channel, mask=inside).to(tl.float32)
    value += tl.load(bias + channel, mask=channel < CHANNELS)
    slope = tl.load(slopes + channel, mask=channel < CHANNELS)
    value = tl.where(value > 0, value, value * slope)
    GROUP: tl.constexpr = CHANNELS // (FACTOR * FACTOR)  # noqa: N806
    place = channel // GROUP
    row = pixel // width * FACTOR + place // FACTOR
    column = pixel % width * FACTOR + place % FACTOR
    at = (row * width * FACTOR + column) * GROUP + channel % GROUP
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _add(
    x: tl.tensor,
    bias: tl.tensor,
    residual: tl.tensor,
    pixels: tl.tensor,
    CHANNELS: tl.constexpr,  # noqa: N803
    PIXELS_A_TILE: tl.constexpr,  # noqa: N803
    CHANNELS_A_TILE: tl.constexpr,  # noqa: N803
) -> None:
    pixel = tl.program_id(0).to(tl.int64) * PIXELS_A_TILE + tl.arange(0, PIXELS_A_TILE)[:, None]
    channel = tl.arange(0, CHANNELS_A_TILE)[None, :]
    inside = (pixel < pixels) & (channel < CHANNELS)
    at = pixel * CHANNELS + channel
    value = tl.load(x + at, mask=inside).to(tl.float32)
    value += tl.load(bias + channel, mask=channel < CHANNELS)
    value += tl.load(residual + at, mask=inside).to(tl.float32)
    tl.store(x + at, value.to(x.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _finish(
    x: tl.tensor,
    bias: tl.tensor,
    lr: tl.tensor,
    out: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    white: tl.tensor,
    STRIDE: tl.constexpr,  # noqa: N803
    FACTOR: tl.constexpr,  # noqa: N803
    SCALE: tl.constexpr,  # noqa: N803
    SKIP: tl.constexpr,  # noqa: N803
    BYTES: tl.constexpr,  # noqa: N803
    PIXELS_A_TILE: tl.constexpr,  # noqa: N803
    CHANNELS_A_TILE: tl.constexpr,  # noqa: N803
) -> None:
    CHANNELS: tl.constexpr = 3 * FACTOR * FACTOR  # noqa: N806
    pixel = tl.program_id(0).to(tl.int64) * PIXELS_A_TILE + tl.arange(0, PIXELS_A_TILE)[:, None]
    channel = tl.arange(0, CHANNELS_A_TILE)[None, :]
    inside = (pixel < pixels) & (channel < CHANNELS)
    value = tl.load(x + pixel * STRIDE + channel, mask=inside).to(tl.float32)
    value += tl.load(bias + channel, mask=channel < CHANNELS)
    place = channel // 3
    colour = channel % 3
    # Rows are counted through all frames: each has a whole number of them at every size.
    row = pixel // width * FACTOR + place // FACTOR
    column = pixel % width * FACTOR + place % FACTOR
    if SKIP:
        lr_at = (row // SCALE * (width * FACTOR // SCALE) + column // SCALE) * 3 + colour
        value += tl.load(lr + lr_at, mask=inside).to(tl.float32)
    value = tl.minimum(tl.maximum(value, 0.0), white)
    if BYTES:
        value = (value + ROUNDER) - ROUNDER
    at = (row * width * FACTOR + column) * 3 + colour
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


def sub_pixel_order(channels: int, factor: int) -> Tensor:
    """For each channel in sub-pixel order, its number in PixelShuffle(factor)'s order."""
    return torch.arange(channels).reshape(-1, factor**2).t().reshape(-1)


def activate(x: Tensor, bias: Tensor, slopes: Tensor, factor: int = 1) -> Tensor:
    """PixelShuffle(factor) of a leaky activation of x + bias, one slope for each channel.

    `x` is (N, C, h, w) channels-last, in sub-pixel order where `factor` is above 1; it is overwritten
    where it is 1. `bias` and `slopes` are (C,) fp32. Gives (N, C / factor**2, factor*h, factor*w).
    """
    count, channels, height, width = x.shape
    out = x
    if factor > 1:
        out = torch.empty(
            (count, channels // factor**2, height * factor, width * factor),
            dtype=x.dtype,
            device=x.device,
            memory_format=torch.channels_last,
        )
    pixels = count * height * width
    _launch(_activate, x, pixels, bias, slopes, out, pixels, width, channels, factor)
    return out


def add(x: Tensor, bias: Tensor, residual: Tensor) -> Tensor:
    """x + bias + residual, written into `x`; all (N, C, h, w) channels-last but `bias`, (C,) fp32."""
    count, channels, height, width = x.shape
    pixels = count * height * width
    _launch(_add, x, pixels, bias, residual, pixels, channels)
    return x


def finish(
    x: Tensor, bias: Tensor, factor: int, white: float, dtype: torch.dtype, skip: Tensor | None
) -> Tensor:
    """Frames (N, factor*h, factor*w, 3) from the last convolution's bare result, clamped to [0, white].

    `x` is (N, 3 * factor**2, h, w) channels-last in sub-pixel order, `bias` (3 * factor**2,) fp32; more
    channels behind these are not looked at.
    `skip`, where the network adds its input, is that input: (N, H, W, 3) frames, dense, of which each
    pixel is repeated to the output's size. uint8 `dtype` rounds to the nearest, ties to even.
    """
    count, channels, height, width = x.shape
    out = torch.empty((count, height * factor, width * factor, 3), dtype=dtype, device=x.device)
    pixels = count * height * width
    source, scale = (x, 1) if skip is None else (skip, width * factor // skip.shape[2])
    options = channels, factor, scale, skip is not None, dtype == torch.uint8
    _launch(_finish, x, pixels, bias, source, out, pixels, width, white, *options)
    return out


def _launch(kernel: Any, x: Tensor, pixels: int, *arguments: Any) -> None:
    """Run a kernel on all pixels of `x`; it gets `x`, the arguments, and the size of its tiles."""
    channels_a_tile: int = triton.next_power_of_2(x.shape[1])  # its ranges are powers of two
    pixels_a_tile = max(1, TILE // channels_a_tile)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        kernel[(triton.cdiv(pixels, pixels_a_tile),)](
            x,
            *arguments,
            pixels_a_tile,
            channels_a_tile,
            enable_fp_fusion=False,  # memory is what takes the time; so every sum is PyTorch's own
        )
