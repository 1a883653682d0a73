"""Resizing to an exact size."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from vidsr.frames import ColorSpec, FrameBatch
from vidsr.video.resize import resize_alpha, resize_plane, resize_rgb


def test_sizes_types_and_ranges() -> None:
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 2, (2, 12, 10, 3), dtype=torch.uint8, generator=generator) * 255
    for size in ((5, 21), (24, 7), (1, 1), (12, 10)):
        resized = resize_rgb(rgb, size)
        assert resized.shape == (2, *size, 3)
        assert resized.dtype == torch.uint8
        floats = resize_rgb(rgb.float() / 255, size)
        assert floats.dtype == torch.float32
        assert floats.min() >= 0 and floats.max() <= 1  # the kernel overshoots
        assert (floats * 255 - resized).abs().max() <= 0.51
    assert resize_rgb(rgb.half() / 255, (5, 5)).dtype == torch.float16


def test_codes_stay_within_their_depth() -> None:
    plane = torch.zeros(1, 16, 16, dtype=torch.int32)
    plane[:, :, 8:] = 1023
    resized = resize_plane(plane.to(torch.uint16), (37, 37), depth=10)
    assert resized.dtype == torch.uint16
    assert int(resized.to(torch.int32).max()) == 1023
    assert int(resized.to(torch.int32).min()) == 0


def test_reducing_does_not_alias() -> None:
    lines = torch.zeros(1, 64, 64, dtype=torch.uint8)
    lines[:, ::2] = 255
    inner = resize_plane(lines, (16, 16))[:, 2:-2].float()
    assert (inner - 127.5).abs().max() < 3


def test_a_ramp_keeps_its_place() -> None:
    ramp = torch.arange(32.0).div(31).expand(1, 8, 32)
    resized = resize_plane(ramp, (8, 80))[0, 4]
    wanted = (((torch.arange(80) + 0.5) * 32 / 80) - 0.5) / 31
    assert (resized - wanted)[8:-8].abs().max() < 1e-6


@pytest.mark.parametrize(("depth", "peak"), [(8, 255), (10, 1023), (16, 65535)])
def test_alpha_changes_depth_and_size(depth: int, peak: int) -> None:
    spec = ColorSpec(subsampling=(1, 1), alpha=True)
    plane = torch.zeros(1, 6, 6, dtype=torch.uint8)
    opacity = plane.clone()
    opacity[:, :, 3:] = 255
    batch = FrameBatch((plane, plane, plane, opacity), spec, (0,), Fraction(1, 25))
    alpha = resize_alpha(batch, ColorSpec(depth=depth, alpha=True), (12, 12)).to(torch.int32)
    assert alpha.shape == (1, 12, 12)
    assert int(alpha[0, 6, 0]) == 0
    assert int(alpha[0, 6, -1]) == peak
    assert (alpha[0, :, :6] + alpha[0, :, 6:].flip(1) - peak).abs().max() <= 1
    opaque = FrameBatch((plane, plane, plane), ColorSpec(subsampling=(1, 1)), (0,), Fraction(1, 25))
    filled = resize_alpha(opaque, ColorSpec(depth=depth, alpha=True), (3, 4)).to(torch.int32)
    assert torch.equal(filled, torch.full((1, 3, 4), peak, dtype=torch.int32))
