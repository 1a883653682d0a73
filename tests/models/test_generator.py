from __future__ import annotations

from typing import Any

import pytest
import torch

from vidsr.models.generator import Generator, fold_batch_norm
from vidsr.models.generator_config import Body, GeneratorConfig

SHAPES = [
    GeneratorConfig(blocks=2, channels=8),
    GeneratorConfig(blocks=2, channels=8, scale=2, activation="relu", input_skip=True),
    GeneratorConfig(blocks=3, channels=8, upsampler="single", head_kernel=3, tail_kernel=3),
    GeneratorConfig(blocks=3, channels=8, body="plain", upsampler="single", input_skip=True),
    GeneratorConfig(blocks=1, channels=8, channel_slopes=True, output="tanh", batch_norm=True),
]


@pytest.mark.parametrize("config", SHAPES, ids=str)
def test_shape(config: GeneratorConfig) -> None:
    sr = Generator(config).eval()(torch.rand(2, 3, 9, 7))
    assert sr.shape == (2, 3, 9 * config.scale, 7 * config.scale)


def test_the_default_is_the_papers_network() -> None:
    generator = Generator(GeneratorConfig())
    # 3->64 9x9, 33 of 64->64 3x3, two of 64->256 3x3, 64->3 9x9, and a slope per PReLU.
    convolutions = (
        (3 * 64 * 81 + 64) + 33 * (64 * 64 * 9 + 64) + 2 * (64 * 256 * 9 + 256) + (64 * 3 * 81 + 3)
    )
    slopes = 1 + 16 + 2
    assert sum(p.numel() for p in generator.parameters()) == convolutions + slopes
    assert generator.config.receptive_radius == 40


@pytest.mark.parametrize("config", SHAPES, ids=str)
def test_receptive_radius_is_what_the_gradient_sees(config: GeneratorConfig) -> None:
    torch.manual_seed(0)
    generator = Generator(config).eval().double()
    radius = config.receptive_radius
    side = 2 * radius + 5
    lr = torch.rand(1, 3, side, side, dtype=torch.double, requires_grad=True)
    centre = (side // 2) * config.scale
    # All sub-pixels of one LR pixel.
    generator(lr)[..., centre : centre + config.scale, centre : centre + config.scale].sum().backward()
    assert lr.grad is not None
    seen = lr.grad.abs().sum(dim=(0, 1)).nonzero()
    reach = int((seen - side // 2).abs().max())
    assert radius - 1 <= reach <= radius  # the ceiling of half pixels may claim one more


@pytest.mark.parametrize("scale", [2, 4])
def test_the_single_shuffle_adds_the_input_to_its_own_pixels(scale: int) -> None:
    config = GeneratorConfig(blocks=1, channels=4, scale=scale, upsampler="single", input_skip=True)
    generator = Generator(config)
    torch.nn.init.zeros_(generator.tail.weight)
    assert generator.tail.bias is not None
    torch.nn.init.zeros_(generator.tail.bias)
    lr = torch.rand(1, 3, 5, 6)
    nearest = lr.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    torch.testing.assert_close(generator(lr), nearest)


@pytest.mark.parametrize("body", ["residual", "plain"])
def test_folding_batch_norm_changes_nothing(body: Body) -> None:
    torch.manual_seed(2)
    generator = Generator(GeneratorConfig(blocks=2, channels=8, batch_norm=True, body=body)).double()
    generator.train()
    for _ in range(3):  # running statistics away from their start
        generator(torch.rand(2, 3, 12, 12, dtype=torch.double))
    for module in generator.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    generator.eval()
    folded = fold_batch_norm(generator)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    lr = torch.rand(1, 3, 10, 11, dtype=torch.double)
    assert (folded(lr) - generator(lr)).abs().max() < 1e-12


def test_tanh_output_is_mapped_from_the_papers_range() -> None:
    config = GeneratorConfig(blocks=1, channels=4, output="tanh")
    generator = Generator(config)
    linear = Generator(GeneratorConfig(blocks=1, channels=4))
    linear.load_state_dict(generator.state_dict())
    lr = torch.rand(1, 3, 6, 6)
    torch.testing.assert_close(generator(lr), (torch.tanh(linear(lr)) + 1) / 2)


@pytest.mark.parametrize(
    "values",
    [
        {"scale": 3},
        {"blocks": 0},
        {"head_kernel": 4},
        {"activation": "gelu"},
        {"upsampler": "bilinear"},
        {"input_skip": True, "output": "tanh"},
        {"upsampler": "single", "output": "tanh"},
    ],
)
def test_impossible_shapes_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        GeneratorConfig(**values)
