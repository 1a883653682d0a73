"""Chroma resampling: exact inverse, exact place, bounded overshoot."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest
import torch

from vidsr.frames import ColorSpec, Siting
from vidsr.video.chroma import chroma_size, enlarge_chroma, shrink_chroma

SITINGS: tuple[Siting, ...] = get_args(Siting)
SUBSAMPLINGS = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (4, 4))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("siting", SITINGS)
def test_shrinking_undoes_enlarging(siting: Siting, subsampling: tuple[int, int]) -> None:
    spec = ColorSpec(siting=siting, subsampling=subsampling)
    generator = torch.Generator().manual_seed(0)
    for size in product((1, 2, 3, 4, 5, 6, 7, 8, 21), (1, 2, 3, 4, 5, 6, 7, 8, 30)):
        shape = (2, *chroma_size(size, subsampling))
        chroma = torch.rand(shape, dtype=torch.float64, generator=generator)
        enlarged = enlarge_chroma(chroma, size, spec)
        assert enlarged.shape == (2, *size)
        assert (shrink_chroma(enlarged, spec) - chroma).abs().max() < 1e-12, size


@pytest.mark.parametrize("siting", SITINGS)
def test_flat_chroma_stays_flat(siting: Siting) -> None:
    for subsampling in SUBSAMPLINGS:
        spec = ColorSpec(siting=siting, subsampling=subsampling)
        flat = torch.full((1, 7, 9), 0.3)
        assert (shrink_chroma(flat, spec) - 0.3).abs().max() < 1e-6
        enlarged = enlarge_chroma(flat, (7 * subsampling[0], 9 * subsampling[1]), spec)
        assert (enlarged - 0.3).abs().max() < 1e-6


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("siting", SITINGS)
def test_chroma_lies_where_the_siting_says(siting: Siting, factor: int) -> None:
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
    rows = torch.arange(size[0] // factor, dtype=torch.float64) * factor + down
    columns = torch.arange(size[1] // factor, dtype=torch.float64) * factor + right
    luma_rows, luma_columns = (torch.arange(n, dtype=torch.float64) for n in size)
    inner = slice(12, -12)
    small = slice(4, -4) if factor == 4 else slice(6, -6)
    for chroma, luma in (
        (rows[:, None].expand(-1, len(columns)), luma_rows[:, None].expand(size)),
        (columns[None].expand(len(rows), -1), luma_columns[None].expand(size)),
    ):
        enlarged = enlarge_chroma(chroma[None].contiguous(), size, spec)[0]
        assert (enlarged - luma)[inner, inner].abs().max() < 1e-9
        shrunk = shrink_chroma(luma[None].contiguous(), spec)[0]
        assert (shrunk - chroma)[small, small].abs().max() < 1e-9


@pytest.mark.parametrize("siting", SITINGS)
def test_chroma_filters_keep_edges_in_bounds(siting: Siting) -> None:
    spec = ColorSpec(siting=siting)
    for place in range(20, 24):
        edge = torch.zeros(1, 48, 48, dtype=torch.float64)
        edge[:, :, place:] = 1
        shrunk = shrink_chroma(edge, spec)
        assert shrunk.min() > -0.11 and shrunk.max() < 1.11
        enlarged = enlarge_chroma(edge, (96, 96), spec)
        assert enlarged.min() > -0.0626 and enlarged.max() < 1.0626
