"""Frames and planes resized to the exact size that is asked for, with an antialiasing filter."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vidsr.frames import ColorSpec, FrameBatch

_PIXELS_AT_ONCE = 1 << 24
"""Pixels resized in one call: bounds the memory of the float copies."""


def resize_plane(plane: Tensor, size: tuple[int, int], depth: int | None = None) -> Tensor:
    """Resize (N, H, W) to `size` = (height, width) with an antialiased bicubic filter.

    The kernel is Keys' with a = -1/2, stretched by the factor when reducing. dtype and range stay:
    uint8, uint16 codes of `depth` bits (16 where it is not given), or floating in [0, 1].
    """
    return _resize(plane[..., None], size, depth)[..., 0]


def resize_rgb(rgb: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (N, H, W, 3), uint8 or floating in [0, 1], to `size` as `resize_plane` does."""
    return _resize(rgb, size, None)


def resize_alpha(batch: FrameBatch, target: ColorSpec, size: tuple[int, int]) -> Tensor:
    """The alpha plane of a batch, at `size` and in the target's depth; opaque where it has none.

    The result is (N, *size), uint8 or uint16. Alpha is full range in every format of FFmpeg.
    """
    dtype = torch.uint8 if target.depth == 8 else torch.uint16
    peak = (1 << target.depth) - 1
    source = batch.planes[-1]
    if not batch.color.alpha:
        return torch.full((len(batch), *size), peak, dtype=torch.int32, device=source.device).to(dtype)
    if batch.color.depth == target.depth:
        return resize_plane(source, size, target.depth)
    opacity = source.to(torch.float32).div_((1 << batch.color.depth) - 1)
    return resize_plane(opacity, size).mul_(peak).add_(0.5).to(dtype)


def _resize(image: Tensor, size: tuple[int, int], depth: int | None) -> Tensor:
    """(N, H, W, C) to (N, *size, C), a few frames at a time."""
    if (image.shape[1], image.shape[2]) == size:
        return image
    floating = image.is_floating_point()
    peak = 1.0 if floating else float((1 << (depth or 8 * image.element_size())) - 1)
    out = torch.empty(image.shape[0], *size, image.shape[3], dtype=image.dtype, device=image.device)
    most = (max(image.shape[1], size[0]), max(image.shape[2], size[1]))
    step = max(1, _PIXELS_AT_ONCE // (most[0] * most[1] * image.shape[3]))
    for start in range(0, image.shape[0], step):
        part = slice(start, start + step)
        work = image[part].to(torch.float32).permute(0, 3, 1, 2)
        work = functional.interpolate(work, size, mode="bicubic", align_corners=False, antialias=True)
        work = work.clamp_(0, peak) if floating else work.add_(0.5).clamp_(0, peak)
        out[part] = work.permute(0, 2, 3, 1).to(image.dtype)
    return out
