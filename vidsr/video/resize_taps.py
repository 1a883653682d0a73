"""The weights of MATLAB's `imresize`: which samples of a line make up a sample of the resized one.

The kernel of R. Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE TASSP 29(6),
1981, with a = -1/2, or Lanczos' with three lobes; stretched by the factor when reducing; weights
normalised to sum 1; borders mirrored with the edge sample repeated.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Kernel = Literal["bicubic", "lanczos3"]

Doubles: TypeAlias = NDArray[np.float64]

_SUPPORT: dict[Kernel, float] = {"bicubic": 4.0, "lanczos3": 6.0}  # width of the kernel, samples


@lru_cache(maxsize=64)
def resize_weights(
    length: int, out: int, factor: float, kernel: Kernel, antialias: bool, shift: float = 0.0
) -> Doubles:
    """(out, length) matrix that resizes a line; see `resize_taps`.

    The returned array is shared between calls: do not change it.
    """
    return as_matrix(*resize_taps(length, out, factor, kernel, antialias, shift), length)


def as_matrix(source: NDArray[np.int64], weights: Doubles, length: int) -> Doubles:
    """(out, length) matrix in which input sample source[i, t] counts weights[i, t] for output i."""
    matrix = np.zeros((len(source), length))
    np.add.at(matrix, (np.arange(len(source))[:, None], source), weights)
    return matrix


def resize_taps(
    length: int, out: int, factor: float, kernel: Kernel, antialias: bool, shift: float = 0.0
) -> tuple[NDArray[np.int64], Doubles]:
    """What resizes a line of `length` samples by `factor` to `out`: places (out, taps), their weights.

    Sample centres are at i + 1/2, so that output sample i lies at (i + 1/2) / factor in the input, and
    `shift` input samples further on. A place may occur twice.
    """
    stretch = 1 / factor if antialias and factor < 1 else 1.0
    support = _SUPPORT[kernel] * stretch
    centres = (np.arange(out) + 0.5) / factor - 0.5 + shift
    first = np.floor(centres - support / 2)
    taps = first[:, None] + np.arange(math.ceil(support) + 2)
    weights = _evaluate(kernel, (centres[:, None] - taps) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    # Mirror with the edge sample repeated, as often as a short line needs: period 2 * length.
    phase = taps.astype(np.int64) % (2 * length)
    return np.where(phase < length, phase, 2 * length - 1 - phase), weights


def _evaluate(kernel: Kernel, x: NDArray[Any]) -> Doubles:
    """Value of the kernel at distances `x`, in samples of its own spacing."""
    x = np.abs(x)
    if kernel == "bicubic":
        near = 1.5 * x**3 - 2.5 * x**2 + 1
        far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
