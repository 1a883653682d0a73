"""Resizing to an exact size."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.video.kinds import ARRAYS, TENSORS, Kind, both_kinds
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.video.resize import resize_alpha, resize_plane, resize_rgb


def resized_rgb(kind: Kind, rgb: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """What `resize_rgb` makes of a picture of one kind or the other."""
    return kind.back(resize_rgb(kind.of(rgb), size))


def resized_plane(
    kind: Kind, plane: NDArray[Any], size: tuple[int, int], depth: int | None = None
) -> NDArray[Any]:
    """What `resize_plane` makes of a plane of one kind or the other."""
    return kind.back(resize_plane(kind.of(plane), size, depth))


def resized_alpha(
    kind: Kind, planes: list[NDArray[Any]], depth: int, target: ColorSpec, size: tuple[int, int]
) -> NDArray[Any]:
    """What `resize_alpha` makes of planes of one kind or the other; the fourth is alpha."""
    color = ColorSpec(subsampling=(1, 1), depth=depth, alpha=len(planes) == 4)
    batch = FrameBatch(tuple(map(kind.of, planes)), color, (0,), Fraction(1, 25))
    return kind.back(resize_alpha(batch, target, size))


@both_kinds
def test_sizes_types_and_ranges(kind: Kind) -> None:
    rgb = np.random.default_rng(0).integers(0, 2, (2, 12, 10, 3), np.uint8) * np.uint8(255)
    for size in ((5, 21), (24, 7), (1, 1), (12, 10)):
        resized = resized_rgb(kind, rgb, size)
        assert resized.shape == (2, *size, 3)
        assert resized.dtype == np.uint8
        floats = resized_rgb(kind, rgb.astype(np.float32) / 255, size)
        assert floats.dtype == np.float32
        assert floats.min() >= 0 and floats.max() <= 1  # the kernel overshoots
        assert np.abs(floats * 255 - resized).max() <= 0.51
    assert resized_rgb(kind, rgb.astype(np.float16) / 255, (5, 5)).dtype == np.float16


def test_arrays_and_tensors_are_resized_alike() -> None:
    generator = np.random.default_rng(1)
    floats = generator.random((2, 12, 10, 3), np.float32)
    for size in ((5, 21), (24, 7), (1, 1), (12, 10)):
        for content in (floats, (floats * 255).astype(np.uint8)):
            ours, theirs = (resized_rgb(kind, content, size) for kind in (ARRAYS, TENSORS))
            assert np.array_equal(ours, theirs)
        codes = generator.integers(0, 1024, (3, 12, 10), np.uint16)
        ours, theirs = (resized_plane(kind, codes, size, 10) for kind in (ARRAYS, TENSORS))
        assert np.array_equal(ours, theirs)
        opacity = [generator.integers(0, 256, (1, 12, 10), np.uint8)] * 4
        for depth in (8, 10, 16):
            target = ColorSpec(depth=depth, alpha=True)
            ours, theirs = (resized_alpha(kind, opacity, 8, target, size) for kind in (ARRAYS, TENSORS))
            # The last of 24 bits of an opacity may be rounded differently.
            assert np.abs(ours.astype(int) - theirs).max() <= 1


@both_kinds
def test_what_is_resized_is_not_changed(kind: Kind) -> None:
    codes = np.random.default_rng(2).integers(0, 256, (1, 9, 9), np.uint8)
    for plane in (codes, (codes / 255).astype(np.float32)):
        before = plane.copy()
        resized_plane(kind, plane, (18, 18))
        resized_alpha(kind, [codes] * 4, 8, ColorSpec(depth=10, alpha=True), (9, 9))
        assert np.array_equal(plane, before)


@both_kinds
def test_codes_stay_within_their_depth(kind: Kind) -> None:
    plane = np.zeros((1, 16, 16), np.uint16)
    plane[:, :, 8:] = 1023
    resized = resized_plane(kind, plane, (37, 37), depth=10)
    assert resized.dtype == np.uint16
    assert resized.max() == 1023
    assert resized.min() == 0


@both_kinds
def test_reducing_does_not_alias(kind: Kind) -> None:
    lines = np.zeros((1, 64, 64), np.uint8)
    lines[:, ::2] = 255
    inner = resized_plane(kind, lines, (16, 16))[:, 2:-2]
    assert np.abs(inner - 127.5).max() < 3


@both_kinds
def test_a_ramp_keeps_its_place(kind: Kind) -> None:
    ramp = np.tile(np.arange(32, dtype=np.float32) / 31, (1, 8, 1))
    resized = resized_plane(kind, ramp, (8, 80))[0, 4]
    wanted = (((np.arange(80) + 0.5) * 32 / 80) - 0.5) / 31
    assert np.abs(resized - wanted)[8:-8].max() < 1e-6


@both_kinds
@pytest.mark.parametrize(("depth", "peak"), [(8, 255), (10, 1023), (16, 65535)])
def test_alpha_changes_depth_and_size(depth: int, peak: int, kind: Kind) -> None:
    plane = np.zeros((1, 6, 6), np.uint8)
    opacity = plane.copy()
    opacity[:, :, 3:] = 255
    target = ColorSpec(depth=depth, alpha=True)
    alpha = resized_alpha(kind, [plane, plane, plane, opacity], 8, target, (12, 12))
    assert alpha.dtype == (np.uint8 if depth == 8 else np.uint16)
    assert alpha.shape == (1, 12, 12)
    assert alpha[0, 6, 0] == 0
    assert alpha[0, 6, -1] == peak
    both = alpha[0, :, :6].astype(int) + alpha[0, :, :5:-1]
    assert np.abs(both - peak).max() <= 1
    filled = resized_alpha(kind, [plane] * 3, 8, target, (3, 4))
    assert np.array_equal(filled, np.full((1, 3, 4), peak))
