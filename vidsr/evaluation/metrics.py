"""How far a picture is from its reference: PSNR and SSIM, pure functions of tensors.

The conventions are those of the super-resolution literature: luma of ITU-R BT.601 in the code range
16 to 235 as MATLAB's `rgb2ycbcr` gives it (unrounded), peak 255, a border of `scale` pixels left out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PEAK = 255.0
"""The greatest value of the scale on which luma is given; luma itself ends at 235."""

SSIM_WINDOW = 11  # side of the Gaussian window in pixels, of Wang et al. 2004
SSIM_SIGMA = 1.5  # its standard deviation in pixels


def luma(rgb: Tensor) -> Tensor:
    """Luma (N, 1, H, W) in [16, 235] of RGB (N, 3, H, W) in [0, 1]; floats.

    BT.601 luma coefficients times 219, plus 16: the first row of the matrix of MATLAB's `rgb2ycbcr`
    (C. Poynton, "A Technical Introduction to Digital Video", 1996, p. 175).
    """
    red, green, blue = rgb.unbind(dim=1)
    return (16 + 65.481 * red + 128.553 * green + 24.966 * blue).unsqueeze(1)


def crop_border(x: Tensor, border: int) -> Tensor:
    """(N, C, H, W) without `border` pixels on each side."""
    if border == 0:
        return x
    if 2 * border >= min(x.shape[-2:]):
        raise ValueError(f"a border of {border} px leaves nothing of {x.shape[-1]}x{x.shape[-2]}")
    return x[..., border:-border, border:-border]


def psnr(a: Tensor, b: Tensor, *, peak: float = PEAK, border: int = 0) -> Tensor:
    """Peak signal-to-noise ratio in dB of each picture, (N,) float64; infinite where they are equal.

    `a` and `b` are (N, C, H, W) floats on a scale that ends at `peak`: 10 log10(peak^2 / MSE), with
    the mean squared error over all channels and pixels inside the border.
    """
    _check_pair(a, b)
    error = crop_border(a, border).double() - crop_border(b, border).double()
    return 10 * torch.log10(peak**2 / error.square().mean(dim=(1, 2, 3)))


def ssim(a: Tensor, b: Tensor, *, peak: float = PEAK, border: int = 0) -> Tensor:
    """Mean structural similarity of each picture, (N,) float64, in [-1, 1]; 1 where they are equal.

    Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image Quality Assessment: From Error Visibility to
    Structural Similarity", IEEE TIP 13(4), 2004, eq. 13, with its constants (K1 = 0.01, K2 = 0.03,
    window of 11x11 pixels, sigma 1.5), only where the whole window lies inside the picture, as in the
    authors' own code. Channels are averaged.
    """
    _check_pair(a, b)
    a, b = crop_border(a, border), crop_border(b, border)
    if min(a.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW} pixels a side, not {tuple(a.shape[-2:])}")
    count = int(a.shape[0])
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    # Variances as mean of squares minus square of mean lose digits in float32. They lose few around
    # zero, and do not change when both pictures are shifted by what is the middle of them.
    a, b = a.reshape(-1, 1, *a.shape[-2:]), b.reshape(-1, 1, *b.shape[-2:])
    middle = (a + b).mean(dim=(2, 3), keepdim=True) / 2
    a, b = a - middle, b - middle
    moments = _window_mean(torch.cat((a, b, a * a, b * b, a * b), dim=1))
    mean_a, mean_b, square_a, square_b, product = moments.unbind(dim=1)
    variance_a, variance_b = square_a - mean_a**2, square_b - mean_b**2
    covariance = product - mean_a * mean_b
    mean_a, mean_b = mean_a + middle[:, 0], mean_b + middle[:, 0]
    alike = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity: Tensor = alike / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
    return similarity.double().view(count, -1).mean(dim=1)


def _window_mean(x: Tensor) -> Tensor:
    """Mean of (N, C, H, W) under the Gaussian window, (N, C, H-10, W-10)."""
    offsets = torch.arange(SSIM_WINDOW, dtype=x.dtype, device=x.device) - SSIM_WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    window /= window.sum()
    channels = int(x.shape[1])
    vertical = window.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    horizontal = window.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    return functional.conv2d(
        functional.conv2d(x, vertical, groups=channels), horizontal, groups=channels
    )


def _check_pair(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.dim() != 4:
        raise ValueError(f"pictures must be two (N, C, H, W) of one shape: {a.shape} and {b.shape}")
    if not (a.is_floating_point() and b.is_floating_point()):
        raise ValueError(f"pictures must be floats, not {a.dtype} and {b.dtype}")
