"""Every rewrite is the same function: compared in fp64, borders included."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vidsr.inference.rewrites import (
    FrameNetwork,
    RewrittenGenerator,
    activation_before_shuffle,
    convolution_before_shuffle,
    scaled_input,
    scaled_output,
)
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig

SMALL = GeneratorConfig(blocks=2, channels=8)

SHAPES = {
    "paper x4": SMALL,
    "paper x2": replace(SMALL, scale=2),
    "slope per channel": replace(SMALL, channel_slopes=True),
    "batch norm": replace(SMALL, batch_norm=True),
    "tanh": replace(SMALL, output="tanh", scale=2),
    "relu, small kernels": replace(SMALL, activation="relu", head_kernel=3, tail_kernel=3),
    "tail 1x1": replace(SMALL, tail_kernel=1, scale=2),
    "tail 5x5": replace(SMALL, tail_kernel=5),
    "skip x4": replace(SMALL, input_skip=True),
    "skip x2": replace(SMALL, input_skip=True, scale=2),
    "single": replace(SMALL, upsampler="single", tail_kernel=3, activation="leaky_relu"),
    "single, skip": replace(SMALL, upsampler="single", tail_kernel=3, input_skip=True),
    "plain body": replace(SMALL, body="plain", upsampler="single", scale=2),
}


def generator_of(config: GeneratorConfig) -> Generator:
    """A generator in fp64 whose every parameter and statistic is random."""
    torch.manual_seed(5)
    generator = Generator(config).double().eval().requires_grad_(False)
    for name, tensor in [*generator.named_parameters(), *generator.named_buffers()]:
        if "running_var" in name:
            tensor.uniform_(0.5, 2.0)
        elif tensor.dim() == 1:
            tensor.copy_(torch.randn_like(tensor) * 0.3)
    return generator


def pixels(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (13, 11)])
def test_the_rewritten_generator_is_the_same_function(name: str, size: tuple[int, int]) -> None:
    generator = generator_of(SHAPES[name])
    lr = pixels(2, 3, *size)
    difference = RewrittenGenerator(generator)(lr) - generator(lr)
    assert difference.abs().max() < 1e-12


@pytest.mark.parametrize("name", SHAPES)
def test_scale_factors_vanish_into_the_weights(name: str) -> None:
    generator = generator_of(SHAPES[name])
    lr = pixels(1, 3, 7, 6)
    bytes_to_bytes = RewrittenGenerator(generator, white_in=255, white_out=255)
    # Relative to white: the same digits, 255 times as large.
    assert (bytes_to_bytes(lr * 255) / 255 - generator(lr)).abs().max() < 1e-12
    floats_to_bytes = RewrittenGenerator(generator, white_out=255)
    assert (floats_to_bytes(lr) / 255 - generator(lr)).abs().max() < 1e-12


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("side", [1, 3, 5, 7, 9])
def test_a_convolution_moves_before_the_shuffle(side: int, factor: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 3, side, padding=side // 2).double()
    small = convolution_before_shuffle(conv, factor)
    x = pixels(2, 5 * factor**2, 4, 3)
    shuffled = functional.pixel_shuffle(small(x), factor)
    assert (shuffled - conv(functional.pixel_shuffle(x, factor))).abs().max() < 1e-12


def test_the_papers_tail_becomes_a_five_by_five() -> None:
    small = convolution_before_shuffle(nn.Conv2d(64, 3, 9, padding=4), 2)
    assert small.weight.shape == (12, 256, 5, 5)
    assert small.weight.count_nonzero() / small.weight.numel() == pytest.approx(0.81)


@pytest.mark.parametrize("slopes", [1, 6])
def test_an_activation_moves_before_the_shuffle(slopes: int) -> None:
    act = nn.PReLU(slopes).double()
    nn.init.uniform_(act.weight, -0.5, 1.5)
    x = pixels(1, 24, 3, 3) - 0.5
    moved = functional.pixel_shuffle(activation_before_shuffle(act, 2)(x), 2)
    assert torch.equal(moved, act(functional.pixel_shuffle(x, 2)))


def test_factors_move_into_a_convolution() -> None:
    conv = nn.Conv2d(3, 4, 3, padding=1).double()
    x = pixels(1, 3, 5, 5)
    assert (scaled_input(conv, 1 / 255)(x * 255) - conv(x)).abs().max() < 1e-12
    assert (scaled_output(conv, 255)(x) / 255 - conv(x)).abs().max() < 1e-12


def test_the_generator_is_left_alone() -> None:
    generator = generator_of(SHAPES["batch norm"])
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    FrameNetwork(generator, torch.float16, "bytes")
    after = generator.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", ["paper x2", "single, skip", "tanh"])
def test_frames_of_bytes(name: str) -> None:
    generator = generator_of(SHAPES[name]).float()
    lr = (pixels(2, 6, 5, 3) * 255).to(torch.uint8)
    sr = FrameNetwork(generator, torch.float32, "bytes")(lr)
    plain = generator(lr.permute(0, 3, 1, 2) / 255).mul(255).clamp(0, 255).permute(0, 2, 3, 1)
    assert sr.dtype == torch.uint8
    assert sr.shape == plain.shape
    assert (sr - plain).abs().max() <= 0.501  # rounded to the nearest, up to fp32's own rounding


def test_frames_of_floats_are_clamped() -> None:
    generator = generator_of(replace(SMALL, scale=2)).float()
    lr = pixels(1, 6, 5, 3).float()
    sr = FrameNetwork(generator, torch.float32, "floats")(lr)
    plain = generator(lr.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    assert plain.min() < 0  # so the clamp has something to do
    assert sr.dtype == torch.float32
    assert (sr - plain.clamp(0, 1)).abs().max() < 1e-5
