"""Small generators with random weights, and how they are compared with weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from vidsr.models.generator import Generator, fold_batch_norm
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import Weights, load_tensors


def small(seed: int = 0, **values: Any) -> Generator:
    torch.manual_seed(seed)
    return Generator(GeneratorConfig(**{"blocks": 1, "channels": 8, **values})).eval()


def same_as(generator: Generator, weights: Weights, tolerance: float = 0) -> None:
    """The tensors of these weights are the generator's, its batch norm folded."""
    plain = fold_batch_norm(generator)
    config, arrays = load_tensors(weights)
    assert config == plain.config
    expected = plain.state_dict()
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert isinstance(array, np.ndarray) and array.dtype == np.float32
        assert array.flags.writeable
        np.testing.assert_allclose(array, expected[name].numpy(), rtol=tolerance, atol=tolerance)
