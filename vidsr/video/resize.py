"""Frames and planes resized to the exact size that is asked for, with an antialiasing filter."""

from __future__ import annotations

from vidsr.arrays import (
    HOST,
    Array,
    device_of,
    dtype_of,
    empty,
    floats,
    is_floating,
    namespace,
    store_floored,
    to_device,
    to_host,
)
from vidsr.frames import ColorSpec, FrameBatch

_PIXELS_AT_ONCE = 1 << 24
"""Pixels resized in one call: bounds the memory of the float copies."""


def resize_plane(plane: Array, size: tuple[int, int], depth: int | None = None) -> Array:
    """Resize (N, H, W) to `size` = (height, width) with an antialiased bicubic filter.

    The kernel is Keys' with a = -1/2, stretched by the factor when reducing. dtype and range stay:
    uint8, uint16 codes of `depth` bits (16 where it is not given), or floating in [0, 1].
    """
    return _resize(plane[..., None], size, depth)[..., 0]


def resize_rgb(rgb: Array, size: tuple[int, int]) -> Array:
    """Resize (N, H, W, 3), uint8 or floating in [0, 1], to `size` as `resize_plane` does."""
    return _resize(rgb, size, None)


def resize_alpha(batch: FrameBatch, target: ColorSpec, size: tuple[int, int]) -> Array:
    """The alpha plane of a batch, at `size` and in the target's depth; opaque where it has none.

    The result is (N, *size), uint8 or uint16. Alpha is full range in every format of FFmpeg.
    """
    dtype = "uint8" if target.depth == 8 else "uint16"
    peak = (1 << target.depth) - 1
    source = batch.planes[-1]
    if batch.color.alpha and batch.color.depth == target.depth:
        return resize_plane(source, size, target.depth)
    out = empty((len(batch), *size), dtype, device_of(source))
    if not batch.color.alpha:
        out[...] = peak
        return out
    opacity = floats(source)
    opacity /= (1 << batch.color.depth) - 1
    codes = resize_plane(opacity, size)
    codes *= peak
    codes += 0.5
    store_floored(codes, out)
    return out


def _resize(image: Array, size: tuple[int, int], depth: int | None) -> Array:
    """(N, H, W, C) to (N, *size, C), a few frames at a time."""
    if (image.shape[1], image.shape[2]) == size:
        return image
    # Resizing to any size is PyTorch's: few jobs need it.
    import torch
    from torch.nn import functional

    device = device_of(image)
    floating = is_floating(image)
    peak = 1.0 if floating else float((1 << (depth or 8 * image.itemsize)) - 1)
    out = empty((image.shape[0], *size, image.shape[3]), dtype_of(image), device)
    most = (max(image.shape[1], size[0]), max(image.shape[2], size[1]))
    step = max(1, _PIXELS_AT_ONCE // (most[0] * most[1] * image.shape[3]))
    for start in range(0, image.shape[0], step):
        part = slice(start, start + step)
        work = floats(image[part])
        if device == HOST:
            work = to_device(work, torch.device("cpu"))
        work = functional.interpolate(
            work.permute(0, 3, 1, 2), size, mode="bicubic", align_corners=False, antialias=True
        ).permute(0, 2, 3, 1)
        if device == HOST:
            work = to_host(work)
        if floating:
            out[part] = namespace(work).clip(work, 0, peak)
        else:
            work += 0.5
            store_floored(namespace(work).clip(work, 0, peak), out[part])
    return out
