"""Cells become the picture that PyTorch's own shuffle makes of them."""

from __future__ import annotations

import pytest
import torch

from vidsr.inference.shuffle import spread


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (1, 9)])
def test_it_is_pixel_shuffle(size: tuple[int, int], factor: int, dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(1)
    # Every byte of a float takes part, those of values that are no numbers too.
    length = 2 * size[0] * size[1] * 3 * factor**2 * dtype.itemsize
    bits = torch.randint(0, 256, (length,), dtype=torch.uint8, generator=random)
    cells = bits.view(dtype).view(2, *size, 3 * factor**2)
    kept = cells.clone()
    picture = spread(cells, factor)
    shuffled = torch.nn.functional.pixel_shuffle(cells.permute(0, 3, 1, 2), factor)
    assert picture.shape == (2, size[0] * factor, size[1] * factor, 3)
    assert picture.dtype == dtype
    as_bytes = picture.permute(0, 3, 1, 2).contiguous().view(torch.uint8)
    assert torch.equal(as_bytes, shuffled.contiguous().view(torch.uint8))
    assert picture.permute(0, 3, 1, 2).is_contiguous()
    picture.zero_()
    assert torch.equal(cells.view(torch.uint8), kept.view(torch.uint8))
