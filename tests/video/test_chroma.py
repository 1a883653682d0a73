"""Chroma resampling: exact inverse, exact place, bounded overshoot."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.video.kinds import TENSORS, Kind, both_kinds
from vidsr.frames import ColorSpec, Siting
from vidsr.video.chroma import chroma_size, enlarge_chroma, shrink_chroma

SITINGS: tuple[Siting, ...] = get_args(Siting)
SUBSAMPLINGS = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (4, 4))


def enlarged_by(
    kind: Kind, chroma: NDArray[Any], size: tuple[int, int], spec: ColorSpec
) -> NDArray[Any]:
    """What `enlarge_chroma` makes of an array of one kind or the other."""
    return kind.back(enlarge_chroma(kind.of(chroma), size, spec))


def shrunk_by(kind: Kind, chroma: NDArray[Any], spec: ColorSpec) -> NDArray[Any]:
    """What `shrink_chroma` makes of an array of one kind or the other."""
    return kind.back(shrink_chroma(kind.of(chroma), spec))


@both_kinds
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("siting", SITINGS)
def test_shrinking_undoes_enlarging(siting: Siting, subsampling: tuple[int, int], kind: Kind) -> None:
    spec = ColorSpec(siting=siting, subsampling=subsampling)
    generator = np.random.default_rng(0)
    for size in product((1, 2, 3, 4, 5, 6, 7, 8, 21), (1, 2, 3, 4, 5, 6, 7, 8, 30)):
        chroma = generator.random((2, *chroma_size(size, subsampling)))
        enlarged = enlarged_by(kind, chroma, size, spec)
        assert enlarged.shape == (2, *size)
        assert np.abs(shrunk_by(kind, enlarged, spec) - chroma).max() < 1e-12, size


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("siting", SITINGS)
def test_arrays_and_tensors_are_filtered_alike(siting: Siting, subsampling: tuple[int, int]) -> None:
    spec = ColorSpec(siting=siting, subsampling=subsampling)
    generator = np.random.default_rng(1)
    for size in product((1, 2, 3, 4, 5, 6, 7, 8, 21), (1, 2, 3, 4, 5, 6, 7, 8, 30)):
        small = generator.random((2, *chroma_size(size, subsampling)), np.float32)
        large = generator.random((2, *size), np.float32)
        enlarged, shrunk = enlarge_chroma(small, size, spec), shrink_chroma(large, spec)
        assert enlarged.dtype == shrunk.dtype == np.float32
        assert np.abs(enlarged - enlarged_by(TENSORS, small, size, spec)).max() < 1e-6, size
        assert np.abs(shrunk - shrunk_by(TENSORS, large, spec)).max() < 1e-6, size


@both_kinds
@pytest.mark.parametrize("siting", SITINGS)
def test_flat_chroma_stays_flat(siting: Siting, kind: Kind) -> None:
    for subsampling in SUBSAMPLINGS:
        spec = ColorSpec(siting=siting, subsampling=subsampling)
        flat = np.full((1, 7, 9), 0.3, np.float32)
        assert np.abs(shrunk_by(kind, flat, spec) - 0.3).max() < 1e-6
        enlarged = enlarged_by(kind, flat, (7 * subsampling[0], 9 * subsampling[1]), spec)
        assert np.abs(enlarged - 0.3).max() < 1e-6


@both_kinds
@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("siting", SITINGS)
def test_chroma_lies_where_the_siting_says(siting: Siting, factor: int, kind: Kind) -> None:
    # A chroma sample's value is its own place among the luma samples; so must every luma sample's be.
    spec = ColorSpec(siting=siting, subsampling=(factor, factor))
    size = (48, 64)
    middle = (factor - 1) / 2
    down, right = {
        "topleft": (0.0, 0.0),
        "left": (middle, 0.0),
        "top": (0.0, middle),
        "center": (middle, middle),
    }[siting]
    rows = np.arange(size[0] // factor) * factor + down
    columns = np.arange(size[1] // factor) * factor + right
    luma_rows, luma_columns = (np.arange(n, dtype=np.float64) for n in size)
    inner = slice(12, -12)
    small = slice(4, -4) if factor == 4 else slice(6, -6)
    for chroma, luma in (
        (np.tile(rows[:, None], len(columns)), np.tile(luma_rows[:, None], size[1])),
        (np.tile(columns, (len(rows), 1)), np.tile(luma_columns, (size[0], 1))),
    ):
        enlarged = enlarged_by(kind, chroma[None], size, spec)[0]
        assert np.abs(enlarged - luma)[inner, inner].max() < 1e-9
        shrunk = shrunk_by(kind, luma[None], spec)[0]
        assert np.abs(shrunk - chroma)[small, small].max() < 1e-9


@both_kinds
@pytest.mark.parametrize("siting", SITINGS)
def test_chroma_filters_keep_edges_in_bounds(siting: Siting, kind: Kind) -> None:
    spec = ColorSpec(siting=siting)
    for place in range(20, 24):
        edge = np.zeros((1, 48, 48))
        edge[:, :, place:] = 1
        shrunk = shrunk_by(kind, edge, spec)
        assert shrunk.min() > -0.11 and shrunk.max() < 1.11
        enlarged = enlarged_by(kind, edge, (96, 96), spec)
        assert enlarged.min() > -0.0626 and enlarged.max() < 1.0626
