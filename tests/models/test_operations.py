from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.operations import operations_a_pixel


@pytest.mark.parametrize(
    "config",
    [
        GeneratorConfig(blocks=2, channels=8),
        GeneratorConfig(blocks=2, channels=8, scale=2, head_kernel=5),
        GeneratorConfig(blocks=3, channels=8, upsampler="single", head_kernel=3, tail_kernel=3),
        GeneratorConfig(blocks=3, channels=8, body="plain", scale=2, upsampler="single"),
        GeneratorConfig(blocks=1, channels=8, body="plain", tail_kernel=5),
    ],
    ids=str,
)
def test_the_formula_counts_what_the_convolutions_do(config: GeneratorConfig) -> None:
    counted = 0

    def count(module: nn.Module, _: object, out: Tensor) -> None:
        nonlocal counted
        assert isinstance(module, nn.Conv2d)
        counted += 2 * module.weight.numel() * int(out.shape[-2]) * int(out.shape[-1])

    network = Generator(config)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 6, 5))
    assert operations_a_pixel(config) * 30 == counted


def test_the_papers_network() -> None:
    # 4.44 million operations for each LR pixel.
    assert operations_a_pixel(GeneratorConfig()) == 4_436_352
