"""The weights that resize a line: the known ones, and those of the rule written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vidsr.video.resize_taps import Kernel, resize_taps, resize_weights

LENGTHS = [
    (12, 3, 0.25),
    (9, 36, 4.0),
    (10, 7, 0.7),
    (7, 24, 3.3),
    (3, 1, 0.25),
    (1, 4, 4.0),
    (2, 1, 0.5),
]
"""Of a line, of the resized one, and the factor between them."""


def keys(x: float) -> float:
    """The cubic of Keys 1981, eq. 15."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def naive(line: list[float], out: int, factor: float) -> list[float]:
    """MATLAB's rule, one sample at a time: every tap summed, borders mirrored."""
    result = []
    for i in range(out):
        centre = (i + 0.5) / factor - 0.5
        stretch = max(1.0, 1 / factor)
        total = weight_sum = 0.0
        for tap in range(math.floor(centre - 2 * stretch) - 1, math.ceil(centre + 2 * stretch) + 2):
            weight = keys((centre - tap) / stretch)
            phase = tap % (2 * len(line))
            total += weight * line[phase if phase < len(line) else 2 * len(line) - 1 - phase]
            weight_sum += weight
        result.append(total / weight_sum)
    return result


def test_weights_of_doubling_and_halving_are_the_known_ones() -> None:
    # Keys' cubic at distances 1.25, 0.25, 0.75, 1.75; halving stretches it twice.
    doubling = resize_weights(16, 32, 2.0, "bicubic", True)
    assert doubling[16, 6:10].tolist() == [-0.0234375, 0.2265625, 0.8671875, -0.0703125]
    halving = resize_weights(16, 8, 0.5, "bicubic", True)
    half = [-0.01171875, -0.03515625, 0.11328125, 0.43359375]
    assert halving[4, 5:13].tolist() == half + half[::-1]
    # Without antialiasing the kernel keeps its width: exactly between two samples.
    assert resize_weights(16, 8, 0.5, "bicubic", False)[4, 7:11].tolist() == [
        -0.0625,
        0.5625,
        0.5625,
        -0.0625,
    ]


def test_lanczos_weights_are_normalised_sinc_products() -> None:
    x = [-2.25, -1.25, -0.25, 0.75, 1.75, 2.75]
    raw = [math.sin(math.pi * t) * math.sin(math.pi * t / 3) * 3 / (math.pi * t) ** 2 for t in x]
    row = resize_weights(20, 40, 2.0, "lanczos3", True)[21]  # centre at 10.25
    assert row[8:14].tolist() == pytest.approx([value / sum(raw) for value in raw], abs=1e-12)
    assert np.count_nonzero(row) == 6


@pytest.mark.parametrize(("length", "out", "factor"), LENGTHS)
def test_lines_are_resized_by_the_rule_written_out(length: int, out: int, factor: float) -> None:
    line = np.random.default_rng(length).random(length)
    weights = resize_weights(length, out, factor, "bicubic", True)
    assert (weights @ line).tolist() == pytest.approx(naive(line.tolist(), out, factor), abs=1e-12)


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos3"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("length", "out", "factor"), LENGTHS)
def test_taps_are_places_of_the_line_that_sum_to_one(
    length: int, out: int, factor: float, kernel: Kernel, antialias: bool
) -> None:
    source, weights = resize_taps(length, out, factor, kernel, antialias)
    assert source.shape == weights.shape and len(source) == out
    assert source.dtype == np.int64 and weights.dtype == np.float64
    assert source.min() >= 0 and source.max() < length
    assert np.abs(weights.sum(axis=1) - 1).max() < 1e-12


def test_a_shift_moves_what_is_read() -> None:
    plain = resize_weights(40, 20, 0.5, "bicubic", True)
    assert np.allclose(resize_weights(40, 20, 0.5, "bicubic", True, 2.0)[4:-5], plain[5:-4], atol=1e-12)
    ramp = np.arange(40.0)
    moved = resize_weights(40, 20, 0.5, "bicubic", True, 0.3) @ ramp - plain @ ramp
    assert np.abs(moved - 0.3)[3:-3].max() < 1e-12
