from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch.nn import functional

from tests.video.test_resize_taps import LENGTHS, naive
from vidsr.video.resample import imresize
from vidsr.video.resize_taps import Kernel


@pytest.mark.parametrize(("length", "out", "factor"), LENGTHS)
def test_equals_the_rule_written_out(length: int, out: int, factor: float) -> None:
    line = torch.rand(length, generator=torch.Generator().manual_seed(length), dtype=torch.float64)
    expected = naive(line.tolist(), out, factor)
    rows = imresize(line.view(1, 1, -1, 1).expand(1, 1, -1, 5), factor)[0, 0, :, 0]
    columns = imresize(line.view(1, 1, 1, -1).expand(1, 1, 6, -1), factor)[0, 0, 0]
    assert rows.tolist() == pytest.approx(expected, abs=1e-12)
    assert columns.tolist() == pytest.approx(expected, abs=1e-12)


def test_agrees_with_pytorch_away_from_the_borders() -> None:
    # PyTorch's antialiased bicubic is the same kernel, but cuts it at the borders.
    x = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    theirs = functional.interpolate(x, size=(16, 12), mode="bicubic", antialias=True)
    ours = imresize(x, Fraction(1, 4))
    assert torch.allclose(ours[..., 2:-2, 2:-2], theirs[..., 2:-2, 2:-2], atol=1e-6)
    assert not torch.allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos3"])
@pytest.mark.parametrize("scale", [0.25, 0.3, 1.7, 4])
def test_a_flat_picture_stays_flat(kernel: Kernel, scale: float) -> None:
    flat = torch.full((2, 3, 21, 34), 0.3)
    assert torch.allclose(imresize(flat, scale, kernel=kernel), torch.tensor(0.3), atol=1e-6)


def test_positions_are_kept() -> None:
    # Sample centres lie at i + 1/2: a ramp in these coordinates is the same ramp after resizing.
    ramp = ((torch.arange(40) + 0.5) / 40).view(1, 1, 1, -1).expand(1, 1, 8, -1)
    for scale in (0.25, 2.0):
        out = imresize(ramp, scale)[0, 0, 0]
        expected = (torch.arange(len(out)) + 0.5) / len(out)
        assert torch.allclose(out[4:-4], expected[4:-4], atol=1e-6)


def test_sizes() -> None:
    x = torch.rand(1, 2, 9, 10)
    assert imresize(x, 0.25).shape == (1, 2, 3, 3)  # rounded up
    assert imresize(x, Fraction(1, 3)).shape == (1, 2, 3, 4)
    assert imresize(x, size=(27, 4)).shape == (1, 2, 27, 4)
    assert torch.equal(imresize(x, 1), x)
    # With a size each axis has its own factor: 2 vertically, 1/2 horizontally.
    both = imresize(imresize(x, size=(18, 10)), size=(18, 5))
    assert torch.allclose(imresize(x, size=(18, 5)), both, atol=1e-6)


def test_half_precision_is_computed_in_single_also_under_autocast() -> None:
    x = torch.rand(1, 3, 32, 32)
    exact = imresize(x.double(), 0.25).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(imresize(x, 0.25), exact, atol=1e-6)
    low = imresize(x.bfloat16(), 0.25)
    assert low.dtype == torch.bfloat16
    assert torch.equal(low, imresize(x.bfloat16().float(), 0.25).bfloat16())


def test_gradients_pass() -> None:
    x = torch.rand(1, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(imresize(x, 0.5).sum(), x)
    assert float(gradient.sum()) == pytest.approx(16, abs=1e-4)  # each output's weights sum to 1


def test_impossible_requests_are_refused() -> None:
    x = torch.rand(1, 1, 8, 8)
    for bad in ({}, {"scale": 2.0, "size": (4, 4)}, {"scale": 0.0}, {"scale": -1.0}, {"size": (0, 4)}):
        with pytest.raises(ValueError, match=r"scale|size"):
            imresize(x, **bad)
    with pytest.raises(ValueError, match="floats"):
        imresize((x * 255).byte(), 2)
    with pytest.raises(ValueError, match="floats"):
        imresize(x[0], 2)
