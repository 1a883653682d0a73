"""Batch norm folded away: the same on arrays as on tensors, and nothing else touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vidsr.models.folding import NORM_EPSILON, folded
from vidsr.models.generator import Generator
from vidsr.models.generator_config import Body, GeneratorConfig


def state_of(config: GeneratorConfig) -> dict[str, torch.Tensor]:
    """Random tensors, the statistics of batch norm far from where they start."""
    torch.manual_seed(4)
    state = Generator(config).state_dict()
    for name, tensor in state.items():
        if "running_var" in name:
            tensor.uniform_(0.3, 3.0)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.3)
    return state


def arrays_of(state: dict[str, torch.Tensor]) -> dict[str, NDArray[Any]]:
    return {name: tensor.numpy() for name, tensor in state.items()}


@pytest.mark.parametrize("body", ["residual", "plain"])
def test_arrays_fold_as_tensors_do(body: Body) -> None:
    config = GeneratorConfig(blocks=2, channels=8, batch_norm=True, body=body)
    state = state_of(config)
    before = {name: tensor.clone() for name, tensor in state.items()}
    plain, tensors = folded(config, state)
    same, arrays = folded(config, arrays_of(state))
    assert plain == same and not plain.batch_norm
    assert set(tensors) == set(arrays) == set(plain.shapes())
    for name, array in arrays.items():
        assert isinstance(array, np.ndarray) and array.dtype == np.float32
        assert array.shape == plain.shapes()[name]
        np.testing.assert_allclose(array, tensors[name].numpy(), rtol=1e-6, atol=1e-7)
    changed = {name for name in arrays if not np.array_equal(arrays[name], before[name].numpy())}
    assert changed == {f"{conv}.{part}" for conv in config.norms() for part in ("weight", "bias")}
    assert all(torch.equal(state[name], before[name]) for name in before)  # what was given is left alone


@pytest.mark.parametrize("body", ["residual", "plain"])
def test_the_count_of_batches_may_be_missing(body: Body) -> None:
    config = GeneratorConfig(blocks=1, channels=4, batch_norm=True, body=body)
    arrays = arrays_of(state_of(config))
    counted = {name for name in arrays if name.endswith("num_batches_tracked")}
    assert counted
    _, whole = folded(config, arrays)
    _, without = folded(config, {name: arrays[name] for name in arrays.keys() - counted})
    assert all(np.array_equal(whole[name], without[name]) for name in whole)


def test_without_batch_norm_there_is_nothing_to_fold() -> None:
    config = GeneratorConfig(blocks=1, channels=4)
    arrays = arrays_of(state_of(config))
    same, copied = folded(config, arrays)
    assert same == config
    assert copied is not arrays and copied == arrays


def test_the_epsilon_is_pytorch_s() -> None:
    assert torch.nn.BatchNorm2d(1).eps == NORM_EPSILON
