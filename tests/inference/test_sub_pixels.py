"""A convolution before the shuffle instead of behind it: arrays and tensors give the same one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tests.video.kinds import ARRAYS, TENSORS, Kind, both_kinds
from vidsr.inference.sub_pixels import before_shuffle

OUTPUTS, INPUTS = 3, 5


def convolution(side: int, dtype: type) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weight and bias."""
    random = np.random.default_rng(side)
    weight: NDArray[Any] = random.normal(size=(OUTPUTS, INPUTS, side, side)).astype(dtype)
    return weight, random.normal(size=OUTPUTS).astype(dtype)


@both_kinds
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("side", [1, 3, 5, 7, 9])
def test_it_computes_the_same_before_the_shuffle(side: int, factor: int, kind: Kind) -> None:
    weight, bias = convolution(side, np.float64)
    small = before_shuffle(kind.of(weight), kind.of(bias), factor)
    small_weight, small_bias = (torch.from_numpy(kind.back(part)) for part in small)
    radius = -(-(side // 2) // factor)
    shape = (OUTPUTS * factor**2, INPUTS * factor**2, 2 * radius + 1, 2 * radius + 1)
    assert tuple(small_weight.shape) == shape
    x = torch.rand(2, shape[1], 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    moved = functional.pixel_shuffle(
        functional.conv2d(x, small_weight, small_bias, padding=radius), factor
    )
    shuffled = functional.pixel_shuffle(x, factor)
    plain = functional.conv2d(
        shuffled, torch.from_numpy(weight), torch.from_numpy(bias), padding=side // 2
    )
    assert (moved - plain).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_and_tensors_give_the_same_bits(dtype: type) -> None:
    weight, bias = convolution(9, dtype)
    arrays, tensors = (
        [kind.back(part) for part in before_shuffle(kind.of(weight), kind.of(bias), 2)]
        for kind in (ARRAYS, TENSORS)
    )
    for array, tensor in zip(arrays, tensors, strict=True):
        assert array.dtype == tensor.dtype == dtype
        assert np.array_equal(array, tensor)


@both_kinds
def test_what_is_given_is_left_alone(kind: Kind) -> None:
    weight, bias = convolution(3, np.float32)
    given = kind.of(weight.copy()), kind.of(bias.copy())
    for factor in (1, 2):
        for part in before_shuffle(*given, factor):
            part[...] = 0
        assert all(map(np.array_equal, map(kind.back, given), (weight, bias)))
