"""A filter along one axis of a picture, as products of small matrices.

Each output sample looks at a few input samples beside each other, so the matrix of the filter is a band
of numbers along its diagonal. Cut into blocks of a few outputs, each with the inputs it looks at, it is
a row of small dense matrices; their products run at the speed of matrix products, which makes up for
the zeros in them several times: reducing 1280x720 by four with a filter of 16 samples takes 0.9 ms,
where PyTorch's own resizing takes 2.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidsr.video.resize_taps import as_matrix

Floats: TypeAlias = NDArray[np.float32]

BLOCK = 16
"""Outputs of a block: of 4 to 24, tried on 1280x720 by four, the fastest."""

PRODUCT = 1 << 18
"""Most multiplications of one product. So many NumPy's OpenBLAS leaves to the thread that asks for them
(interface/gemm.c: four times 65536); more it shares among all of its threads, and those wait for the
next product by spinning, at 34 CPU ms for each frame of 1280x720 instead of 1.8."""


@dataclass(frozen=True)
class _Block:
    """Outputs beside each other: which they are, which inputs they look at, and how."""

    outputs: slice
    inputs: slice
    weights: Floats  # (outputs, inputs)

    def parts(self, count: int) -> Iterator[slice]:
        """So many lines, in parts that are filtered at once."""
        step = max(1, PRODUCT // self.weights.size)
        return (slice(start, min(start + step, count)) for start in range(0, count, step))


class Banded:
    """A linear filter on lines of one length, made once and used for many pictures."""

    def __init__(self, source: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """Output sample i is the sum of weights[i, t] times input sample source[i, t]; both (out, taps).

        `source` may name a sample twice.
        """
        self.length = len(source)
        self._blocks: list[_Block] = []
        for start in range(0, self.length, BLOCK):
            outputs = slice(start, min(start + BLOCK, self.length))
            places, parts = source[outputs], weights[outputs]
            first, last = int(places.min()), int(places.max())
            dense = as_matrix(places - first, parts, last + 1 - first)
            self._blocks.append(_Block(outputs, slice(first, last + 1), dense.astype(np.float32)))

    def down(self, picture: NDArray[Any]) -> Floats:
        """(H, W) of any number type to (length, W): each column filtered."""
        width = picture.shape[1]
        out = np.empty((self.length, width), np.float32)
        for block in self._blocks:
            samples = picture[block.inputs].astype(np.float32, copy=False)
            for part in block.parts(width):
                np.matmul(block.weights, samples[:, part], out=out[block.outputs, part])
        return out

    def across(self, picture: NDArray[Any]) -> Floats:
        """(H, W) of any number type to (H, length): each row filtered."""
        picture = picture.astype(np.float32, copy=False)
        height = picture.shape[0]
        out = np.empty((height, self.length), np.float32)
        for block in self._blocks:
            for part in block.parts(height):
                np.matmul(picture[part, block.inputs], block.weights.T, out=out[part, block.outputs])
        return out
