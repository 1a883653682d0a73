from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.training.states import SHAPE
from vidsr.errors import UsageError
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.training.growth import grow

SMALL = replace(SHAPE, scale=4)
LARGE = GeneratorConfig(blocks=3, channels=26)


def network(config: GeneratorConfig) -> Generator:
    torch.manual_seed(7)
    return Generator(config).double()


def grown(small: Generator, config: GeneratorConfig) -> Generator:
    torch.manual_seed(1)
    large = Generator(config)
    grow(small, large)
    return large


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (SMALL, LARGE),
        (replace(SMALL, scale=2), replace(LARGE, scale=2, channels=11)),
        (SMALL, replace(LARGE, input_skip=True, channels=24)),
        (SMALL, replace(SMALL, channels=9, blocks=2)),
        (SMALL, replace(SMALL, activation="prelu", tail_kernel=5, head_kernel=7)),
        (SMALL, replace(SMALL, input_skip=False, channels=16)),
        (replace(SMALL, input_skip=False, activation="relu"), replace(LARGE, activation="relu")),
        (replace(SMALL, activation="prelu", batch_norm=True), LARGE),
    ],
    ids=[
        "to the paper's form",
        "x2",
        "both add the input",
        "one more channel",
        "slopes and kernels",
        "single, input carried",
        "relu",
        "prelu, batch norm folded",
    ],
)
def test_the_larger_network_begins_as_the_smaller(
    small: GeneratorConfig, large: GeneratorConfig
) -> None:
    given = network(small).eval()
    lr = torch.rand(2, 3, 11, 13, dtype=torch.double)
    begun = grown(given, large).double()
    assert begun.config == large
    torch.testing.assert_close(begun(lr), given(lr), rtol=1e-5, atol=1e-5)


def test_everything_that_is_new_can_learn() -> None:
    begun = grown(network(SMALL), LARGE)
    before = [p.detach().clone() for p in begun.parameters()]
    optimizer = torch.optim.Adam(begun.parameters(), 1e-3)
    lr, hr = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 32, 32)
    for _ in range(3):
        optimizer.zero_grad()
        torch.autograd.backward((begun(lr) - hr).abs().mean())
        optimizer.step()
    names = [name for name, _ in begun.named_parameters()]
    for name, parameter, old in zip(names, begun.parameters(), before, strict=True):
        assert not torch.equal(parameter, old), name
    # The widest place: what the old channels hear of the new ones was zero, and is no more.
    heard = begun.get_parameter("body.0.conv1.weight")[: SMALL.channels, SMALL.channels :]
    assert float(heard.detach().abs().min()) > 0


@pytest.mark.parametrize(
    ("large", "reason"),
    [
        (replace(LARGE, scale=2), "another scale"),
        (replace(LARGE, blocks=1), "fewer than 2 blocks"),
        (replace(LARGE, channels=23), "fewer than 24 channels"),
        (replace(SMALL, channels=7), "fewer than 8 channels"),
        (replace(LARGE, head_kernel=1), "first kernel"),
        (replace(LARGE, activation="relu"), "leaky_relu does not become relu"),
        (replace(LARGE, body="plain"), "residual blocks"),
    ],
    ids=str,
)
def test_a_shape_without_room_is_refused(large: GeneratorConfig, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        grown(network(SMALL), large)


def test_a_staged_network_does_not_grow() -> None:
    with pytest.raises(UsageError, match="one shuffle"):
        grown(network(replace(LARGE, blocks=1)), LARGE)
