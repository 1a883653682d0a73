"""What a configuration says of its network without PyTorch is what PyTorch's network has."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest
from torch import nn

from vidsr.models.generator import Generator
from vidsr.models.generator_config import Activation, Body, GeneratorConfig, Upsampler

BODIES: tuple[Body, ...] = get_args(Body)
UPSAMPLERS: tuple[Upsampler, ...] = get_args(Upsampler)
ACTIVATIONS: list[tuple[Activation, bool]] = [
    *((name, False) for name in get_args(Activation)),
    ("prelu", True),  # a slope for each channel
]

NETWORKS = [
    GeneratorConfig(
        scale=scale,
        blocks=blocks,
        channels=4,
        body=body,
        batch_norm=batch_norm,
        activation=activation,
        channel_slopes=channel_slopes,
        upsampler=upsampler,
        head_kernel=5,
        tail_kernel=3,
    )
    for scale, blocks, body, batch_norm, (activation, channel_slopes), upsampler in product(
        (2, 4),
        (1, 3),
        BODIES,
        (False, True),
        ACTIVATIONS,
        UPSAMPLERS,
    )
]


@pytest.mark.parametrize("config", [GeneratorConfig(), *NETWORKS], ids=str)
def test_names_and_shapes_are_those_of_the_state_dict(config: GeneratorConfig) -> None:
    state = Generator(config).state_dict()
    assert config.shapes() == {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_convolutions_of_the_body_come_in_their_order_with_their_norms(config: GeneratorConfig) -> None:
    modules = {
        name: module
        for name, module in Generator(config).named_modules()
        if name.startswith("body") and isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    }
    convolutions = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
    assert config.body_convolutions() == convolutions
    norms = [name for name, module in modules.items() if isinstance(module, nn.BatchNorm2d)]
    pairs = config.norms()
    assert list(pairs) == convolutions
    if config.batch_norm:
        assert list(pairs.values()) == norms
