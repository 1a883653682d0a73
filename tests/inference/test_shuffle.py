"""Cells become the picture that PyTorch's own shuffle makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vidsr.inference.shuffle import spread


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (1, 9)])
@pytest.mark.parametrize("count", [1, 2])
def test_it_is_pixel_shuffle(count: int, size: tuple[int, int], factor: int, dtype: type) -> None:
    # Every byte of a float takes part, those of values that are no numbers too.
    length = count * size[0] * size[1] * 3 * factor**2 * np.dtype(dtype).itemsize
    bits = np.random.default_rng(1).integers(0, 256, length, np.uint8)
    cells: NDArray[Any] = bits.view(dtype).reshape(count, *size, 3 * factor**2)
    kept = cells.copy()
    picture = spread(cells, factor)
    shuffled = torch.nn.functional.pixel_shuffle(torch.from_numpy(cells).permute(0, 3, 1, 2), factor)
    assert picture.shape == (count, size[0] * factor, size[1] * factor, 3)
    assert picture.dtype == dtype
    planes = picture.transpose(0, 3, 1, 2)
    assert planes.flags.c_contiguous
    assert planes.tobytes() == shuffled.numpy().tobytes()
    picture[...] = 0
    assert cells.tobytes() == kept.tobytes()
