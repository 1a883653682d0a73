"""A filter in blocks is the filter: its whole matrix, multiplied in one go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidsr.video.banded import BLOCK, Banded
from vidsr.video.resample import resize_taps, resize_weights

LENGTHS = [
    (4 * BLOCK, BLOCK),
    (8 * BLOCK + 4, 2 * BLOCK + 1),  # the last block is one line
    (1, 1),
    (3, 1),  # every tap is mirrored, several times
    (50, 37),
    (20, 45),  # enlarged
]


@pytest.mark.parametrize(("length", "out"), LENGTHS)
def test_blocks_are_the_matrix(length: int, out: int) -> None:
    how = length, out, out / length, "bicubic", True, 0.3
    banded, matrix = Banded(*resize_taps(*how)), resize_weights(*how)
    picture = torch.randint(
        0, 60000, (length, 9), dtype=torch.int32, generator=torch.Generator().manual_seed(1)
    )
    wanted = (matrix @ picture.double()).float()
    kinds: list[Tensor] = [picture, picture.to(torch.uint16), picture.float()]
    for samples in kinds:
        # 24 bits, after sums of sixteen or more.
        torch.testing.assert_close(banded.down(samples), wanted, rtol=0, atol=0.05)
        torch.testing.assert_close(banded.across(samples.T), wanted.T, rtol=0, atol=0.05)
    assert banded.down(picture).dtype == torch.float32


def test_integers_that_fit_are_exact() -> None:
    source = torch.tensor([[0, 1, 1], [2, 3, 0]])
    banded = Banded(source, torch.tensor([[1.0, 2.0, 4.0], [1.0, 0.5, -1.0]]))
    column = torch.tensor([[10], [20], [30], [40]], dtype=torch.uint8)
    assert banded.down(column).tolist() == [[130], [40]]
