"""Optical flow, simple and without a network: where each pixel of one picture went in the next.

Dense, coarse to fine, iterative Lucas-Kanade: B. Lucas, T. Kanade, "An Iterative Image Registration
Technique with an Application to Stereo Vision", IJCAI 1981, on an image pyramid as in J.-Y. Bouguet,
"Pyramidal Implementation of the Lucas Kanade Feature Tracker", 2000, at every pixel. Measures of
flicker compare flows with flows, so a plain method that behaves the same on both is enough; its
published relatives used G. Farneback's (2003), also a local fit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

WINDOW = 9  # side of the box, pixels, applied twice: the window is its triangle, 17 pixels wide
ITERATIONS = 3  # refinements a pyramid level
COARSEST = 24  # pixels: the pyramid ends before a side gets shorter
STIFFNESS = 4.0
"""Added to the diagonal of the structure tensor, in squared luma codes a pixel.

Where gradients are weaker than two codes a pixel, noise decides; the flow of the coarser level is kept.
"""
LONGEST_STEP = 2.0  # pixels of a level that one refinement may move: a fit to noise goes no further


def estimate_flow(first: Tensor, second: Tensor) -> Tensor:
    """Motion (N, 2, H, W) in pixels from `first` to `second`: x to the right, then y downwards.

    `first` and `second` are (N, 1, H, W) float luma on the scale 0..255. What is at (x, y) in the first
    is at (x + u, y + v) in the second: `warp(second, flow)` resembles `first`. Reliable to motions of
    about a twentieth of the shorter side; zero where there is nothing to see.
    """
    if first.shape != second.shape or first.dim() != 4 or first.shape[1] != 1:
        raise ValueError(f"flow takes two (N, 1, H, W) of one shape: {first.shape} and {second.shape}")
    levels = [(first, second)]
    while min(levels[-1][0].shape[-2:]) >= 2 * COARSEST:
        levels.append((_halve(levels[-1][0]), _halve(levels[-1][1])))
    coarse = levels[-1][0]
    flow = coarse.new_zeros(coarse.shape[0], 2, *coarse.shape[-2:])
    for level_first, level_second in reversed(levels):
        flow = _refine(level_first, level_second, _enlarge(flow, level_first))
    return flow


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """(N, C, H, W) fetched along the flow, bilinear: out(p) = x(p + flow(p)); edges are repeated."""
    height, width = x.shape[-2:]
    columns = torch.arange(width, dtype=x.dtype, device=x.device) + flow[:, 0]
    rows = torch.arange(height, dtype=x.dtype, device=x.device).view(-1, 1) + flow[:, 1]
    # grid_sample counts from -1 to 1 between the centres of the first and the last pixel.
    grid = torch.stack(
        (columns * (2 / max(width - 1, 1)) - 1, rows * (2 / max(height - 1, 1)) - 1), dim=-1
    )
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)


def visible(forward: Tensor, backward: Tensor) -> Tensor:
    """Where the forward flow can be trusted, (N, 1, H, W) bool: not occluded, and inside the picture.

    Going forward and back must lead home: |f + b|^2 <= 0.01 (|f|^2 + |b|^2) + 0.5 with b taken where f
    leads; N. Sundaram, T. Brox, K. Keutzer, "Dense Point Trajectories by GPU-accelerated Large
    Displacement Optical Flow", ECCV 2010, as the warping error of Lai et al. uses it.
    """
    returned = warp(backward, forward)
    gap = (forward + returned).square().sum(dim=1, keepdim=True)
    length = forward.square().sum(dim=1, keepdim=True) + returned.square().sum(dim=1, keepdim=True)
    height, width = forward.shape[-2:]
    columns = torch.arange(width, device=forward.device) + forward[:, :1]
    rows = torch.arange(height, device=forward.device).view(-1, 1) + forward[:, 1:]
    # A pixel reaches half a pixel beyond its centre; rounding must not hide a still picture's edge.
    inside = (columns >= -0.5) & (columns <= width - 0.5) & (rows >= -0.5) & (rows <= height - 0.5)
    return (gap <= 0.01 * length + 0.5) & inside


def _refine(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
    """Lucas-Kanade steps at one level: least squares of gradient . step = difference in the window."""
    padded = functional.pad(first, (1, 1, 1, 1), mode="replicate")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    xx, yy, xy = _window(torch.cat((dx * dx, dy * dy, dx * dy), dim=1)).unbind(dim=1)
    xx, yy = xx + STIFFNESS, yy + STIFFNESS
    determinant = xx * yy - xy * xy
    for _ in range(ITERATIONS):
        gap = first - warp(second, flow)
        gx, gy = _window(torch.cat((dx * gap, dy * gap), dim=1)).unbind(dim=1)
        step = torch.stack(((yy * gx - xy * gy) / determinant, (xx * gy - xy * gx) / determinant), dim=1)
        flow = flow + step.clamp(-LONGEST_STEP, LONGEST_STEP)
    return flow


def _window(x: Tensor) -> Tensor:
    """Weighted mean under the window, zero beyond the borders; (N, C, H, W) as given."""
    radius = WINDOW // 2
    for dim, padding in ((3, (radius, radius, 0, 0)), (2, (0, 0, radius, radius))):
        length = x.shape[dim]
        for _ in range(2):
            padded = functional.pad(x, padding)
            # Adding shifted views is five times as fast as PyTorch's pooling or convolution here.
            x = padded.narrow(dim, 0, length).clone()
            for offset in range(1, WINDOW):
                x += padded.narrow(dim, offset, length)
    return x.div_(WINDOW**4)


def _halve(x: Tensor) -> Tensor:
    """Half the size, rounded up, after the binomial low-pass (1, 4, 6, 4, 1) / 16 of Burt, Adelson."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=x.dtype, device=x.device) / 16
    x = functional.pad(x, (2, 2, 2, 2), mode="replicate")
    x = functional.conv2d(x, taps.view(1, 1, 1, 5), stride=(1, 2))
    return functional.conv2d(x, taps.view(1, 1, 5, 1), stride=(2, 1))


def _enlarge(flow: Tensor, like: Tensor) -> Tensor:
    """The flow of a coarser level on the grid of a finer one; the coarsest level's stays as it is."""
    if flow.shape[-2:] == like.shape[-2:]:
        return flow
    # Pixel (0, 0) of both grids is the same point, each coarse step two fine ones: fetch at p / 2.
    height, width = like.shape[-2:]
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device) / 2
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device).view(-1, 1) / 2
    grid_x = columns * (2 / max(int(flow.shape[-1]) - 1, 1)) - 1
    grid_y = rows * (2 / max(int(flow.shape[-2]) - 1, 1)) - 1
    grid = torch.stack((grid_x.expand(height, -1), grid_y.expand(-1, width)), dim=-1)
    grid = grid.expand(flow.shape[0], -1, -1, -1)
    return 2 * functional.grid_sample(
        flow, grid, mode="bilinear", padding_mode="border", align_corners=True
    )
