"""A filter in blocks is the filter: its whole matrix, multiplied in one go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vidsr.video.banded import BLOCK, Banded
from vidsr.video.resize_taps import resize_taps, resize_weights

LENGTHS = [
    (4 * BLOCK, BLOCK),
    (8 * BLOCK + 4, 2 * BLOCK + 1),  # the last block is one line
    (1, 1),
    (3, 1),  # every tap is mirrored, several times
    (50, 37),
    (20, 45),  # enlarged
]


@pytest.mark.parametrize("lines", [9, 600])  # in one product, and in several where a block is large
@pytest.mark.parametrize(("length", "out"), LENGTHS)
def test_blocks_are_the_matrix(length: int, out: int, lines: int) -> None:
    how = length, out, out / length, "bicubic", True, 0.3
    banded, matrix = Banded(*resize_taps(*how)), resize_weights(*how)
    picture = np.random.default_rng(1).integers(0, 60000, (length, lines))
    wanted = matrix @ picture
    types: list[type[np.generic]] = [np.int32, np.uint16, np.float32]
    for samples in (picture.astype(each) for each in types):
        filtered: list[tuple[NDArray[Any], NDArray[Any]]] = [
            (banded.down(samples), wanted),
            (banded.across(samples.T), wanted.T),
        ]
        for found, expected in filtered:
            assert found.dtype == np.float32
            # 24 bits, after sums of sixteen or more.
            np.testing.assert_allclose(found, expected, rtol=0, atol=0.05)


def test_integers_that_fit_are_exact() -> None:
    source = np.array([[0, 1, 1], [2, 3, 0]])
    banded = Banded(source, np.array([[1.0, 2.0, 4.0], [1.0, 0.5, -1.0]]))
    column = np.array([[10], [20], [30], [40]], np.uint8)
    assert banded.down(column).tolist() == [[130], [40]]
