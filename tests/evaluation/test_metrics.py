from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from vidsr.evaluation.metrics import crop_border, luma, psnr, ssim


def flat(value: float, side: int = 16) -> Tensor:
    return torch.full((1, 1, side, side), float(value))


def noise(seed: int, *shape: int) -> Tensor:
    return 255 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_ssim(a: Tensor, b: Tensor) -> float:
    """Equation 13 of the paper, one window at a time, in double precision."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    x, y = a.double().numpy(), b.double().numpy()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            p, q = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


@pytest.mark.parametrize(
    ("rgb", "y"),
    [
        ((0, 0, 0), 16),
        ((1, 1, 1), 235),
        ((1, 0, 0), 81.481),
        ((0, 1, 0), 144.553),
        ((0, 0, 1), 40.966),
        ((0.5, 0.5, 0.5), 125.5),
    ],
)
def test_luma_is_that_of_matlab(rgb: tuple[float, float, float], y: float) -> None:
    picture = torch.tensor(rgb).view(1, 3, 1, 1).expand(2, 3, 4, 5)
    assert luma(picture).shape == (2, 1, 4, 5)
    assert torch.allclose(luma(picture), torch.tensor(float(y)), atol=1e-4)


def test_psnr_by_hand() -> None:
    assert float(psnr(flat(100), flat(105))) == pytest.approx(20 * math.log10(255 / 5))  # 34.15 dB
    half = flat(100)
    half[..., :8] += 10  # half the pixels off by 10: MSE 50
    assert float(psnr(half, flat(100))) == pytest.approx(10 * math.log10(255**2 / 50))
    assert float(psnr(flat(0.25), flat(0.75), peak=1)) == pytest.approx(20 * math.log10(2))
    assert float(psnr(flat(3), flat(3))) == math.inf


def test_psnr_is_of_each_picture() -> None:
    a, b = torch.cat((flat(0), flat(0))), torch.cat((flat(1), flat(255)))
    assert psnr(a, b).tolist() == pytest.approx([20 * math.log10(255), 0])


def test_the_border_is_left_out() -> None:
    a, b = flat(50), flat(50)
    b[..., :2, :] = b[..., -1:, :] = 255
    b[..., 0] = 0
    assert float(psnr(a, b, border=2)) == math.inf
    assert float(psnr(a, b, border=1)) < 30
    assert float(ssim(a, b, border=2)) == pytest.approx(1)
    assert torch.equal(crop_border(a, 0), a)
    with pytest.raises(ValueError, match="leaves nothing"):
        crop_border(a, 8)


def test_ssim_of_flat_pictures_by_hand() -> None:
    # No variance: only the luminance term is left.
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 130 + c1) / (100**2 + 130**2 + c1)
    assert float(ssim(flat(100), flat(130))) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ssim_equals_the_paper_window_by_window(dtype: torch.dtype) -> None:
    a = noise(0, 1, 1, 17, 14)
    b = (0.6 * a + 0.4 * noise(1, 1, 1, 17, 14)).clamp(0, 255)
    expected = naive_ssim(a[0, 0], b[0, 0])
    assert 0.3 < expected < 0.95
    assert float(ssim(a.to(dtype), b.to(dtype))) == pytest.approx(expected, abs=1e-5)


def test_ssim_in_single_precision_is_exact_enough_on_smooth_bright_pictures() -> None:
    # The variance is a millionth of the mean of squares here: the case that loses digits.
    ramp = torch.linspace(230, 235, 32, dtype=torch.float64).expand(1, 1, 32, 32)
    other = ramp + 0.2 * torch.sin(torch.arange(32, dtype=torch.float64))
    expected = naive_ssim(ramp[0, 0], other[0, 0])
    assert float(ssim(ramp.float(), other.float())) == pytest.approx(expected, abs=1e-5)


def test_ssim_extremes() -> None:
    a = noise(2, 2, 3, 20, 20)
    assert ssim(a, a).tolist() == pytest.approx([1, 1])
    assert float(ssim(a, 255 - a)[0]) < -0.5


def test_ssim_averages_channels_and_keeps_pictures_apart() -> None:
    a, b = noise(3, 2, 3, 12, 13), noise(4, 2, 3, 12, 13)
    expected = [
        np.mean([naive_ssim(x, y) for x, y in zip(p, q, strict=True)]) for p, q in zip(a, b, strict=True)
    ]
    assert ssim(a, b).tolist() == pytest.approx(expected, abs=1e-9)


def test_impossible_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        psnr(flat(0, 16), flat(0, 15))
    with pytest.raises(ValueError, match="floats"):
        ssim(flat(0).byte(), flat(0).byte())
    with pytest.raises(ValueError, match="at least 11"):
        ssim(flat(0, 12), flat(0, 12), border=1)
