from __future__ import annotations

import pytest
import torch

from tests.evaluation.test_flow import moved, texture
from vidsr.evaluation.flicker import flicker_step


def test_an_equal_video_does_not_flicker() -> None:
    pair = moved(3, 1)
    step = flicker_step(pair, pair)
    assert step.temporal == 0
    assert step.tof == 0
    assert step.warping == step.warping_reference
    assert step.warping is not None and step.warping < 1e-4
    assert step.followed > 0.8


def test_flicker_of_a_still_scene_by_hand() -> None:
    still = texture(64, 80)
    step = flicker_step((still, still), (still + 4, still - 6))
    assert step.temporal == pytest.approx(10, abs=1e-4)
    # The scene stands still, so the warp changes nothing: the flicker's own square.
    assert step.warping == pytest.approx((10 / 255) ** 2, rel=1e-3)
    assert step.warping_reference == pytest.approx(0, abs=1e-9)
    assert step.followed == 1


def test_a_constant_difference_is_no_flicker() -> None:
    first, second = moved(2, -1)
    step = flicker_step((first, second), (first + 7, second + 7))
    assert step.temporal == pytest.approx(0, abs=1e-4)
    assert step.tof == pytest.approx(0, abs=1e-2)
    assert step.warping == pytest.approx(step.warping_reference, rel=1e-2)


def test_motion_that_is_missing_shows_in_tof() -> None:
    first, second = moved(3, -2)
    frozen = flicker_step((first, second), (first, first), border=10)
    assert frozen.tof == pytest.approx(3 + 2, abs=0.15)
    assert frozen.temporal > 5
    # Sharper texture that crawls: noise on each frame raises all three.
    generator = torch.Generator().manual_seed(0)
    noisy = tuple(x + 8 * torch.randn(x.shape, generator=generator) for x in (first, second))
    step = flicker_step((first, second), noisy, border=10)
    assert step.tof is not None and step.warping is not None and step.warping_reference is not None
    assert 0.05 < step.tof < 3
    # Two independent noises of deviation 8: their difference, interpolation aside, has 2 * 8^2.
    assert step.warping == pytest.approx(2 * 8**2 / 255**2, rel=0.35)
    assert step.temporal == pytest.approx(8 * 2**0.5 * (2 / torch.pi) ** 0.5, rel=0.05)


def test_the_border_is_left_out() -> None:
    still = texture(64, 80)
    other = still.clone()
    other[..., :4] += 50
    assert flicker_step((still, still), (still, other), border=0).temporal > 1
    assert flicker_step((still, still), (still, other), border=4).temporal == 0


def test_a_cut_counts_for_temporal_only() -> None:
    before, after = texture(64, 80, seed=1), texture(64, 80, seed=2)
    step = flicker_step((before, after), (before, after + 3))
    assert step.temporal == pytest.approx(3, abs=1e-4)
    assert step.followed < 1 / 3
    assert (step.warping, step.warping_reference, step.tof) == (None, None, None)
