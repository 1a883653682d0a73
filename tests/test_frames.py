"""A batch of frames as NumPy's arrays and as PyTorch's tensors."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.video.kinds import Kind, both_kinds
from vidsr.frames import ColorSpec, FrameBatch, upright


def frames(depth: int) -> FrameBatch:
    """Two frames of noise, and what else a batch knows."""
    random = np.random.default_rng(0)
    sample = np.uint8 if depth == 8 else np.uint16
    sizes = [(4, 6), (2, 3), (2, 3)]
    planes = tuple(random.integers(0, 1 << depth, (2, *size), sample) for size in sizes)
    return FrameBatch(planes, ColorSpec(depth=depth), (3, 7), Fraction(1, 25), (4, 4))


@pytest.mark.parametrize("depth", [8, 10])
def test_arrays_and_tensors_share_their_memory(depth: int) -> None:
    batch = frames(depth)
    tensors = batch.tensors()
    assert all(isinstance(plane, torch.Tensor) for plane in tensors.planes)
    again = tensors.arrays()
    assert all(map(np.array_equal, again.planes, batch.planes))
    for ours, theirs in zip(again.planes, batch.planes, strict=True):
        assert ours.dtype == theirs.dtype
        assert np.shares_memory(ours, theirs)
    assert replace(tensors, planes=batch.planes) == replace(again, planes=batch.planes) == batch


def test_what_is_one_kind_already_stays_what_it_is() -> None:
    batch = frames(8)
    tensors = batch.tensors()
    assert all(ours is theirs for ours, theirs in zip(batch.arrays().planes, batch.planes, strict=True))
    for ours, theirs in zip(tensors.tensors().planes, tensors.planes, strict=True):
        assert ours is theirs


@pytest.mark.parametrize("depth", [8, 10])
def test_bytes_and_parts_are_those_of_either_kind(depth: int) -> None:
    batch = frames(depth)
    for each in (batch, batch.tensors()):
        assert each.nbytes == 2 * (24 + 6 + 6) * (1 if depth == 8 else 2)
        assert each.size == (4, 6)
        parts = [part.arrays() for part in each.split(1)]
        assert [part.pts for part in parts] == [(3,), (7,)]
        for index, part in enumerate(parts):
            for ours, theirs in zip(part.planes, batch.planes, strict=True):
                assert np.array_equal(ours, theirs[index : index + 1])


@both_kinds
@pytest.mark.parametrize("rotation", [0, 90, 180, 270, -90])
def test_pictures_are_turned_by_right_angles(rotation: int, kind: Kind) -> None:
    pictures = np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3)
    turned = kind.back(upright(kind.of(pictures), rotation))
    assert np.array_equal(turned, np.rot90(pictures, rotation // 90, (1, 2)))
