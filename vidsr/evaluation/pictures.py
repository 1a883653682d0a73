"""Pairs of pictures to score on: the high-resolution one and its low-resolution form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vidsr.errors import InputError
from vidsr.frames import FrameBatch
from vidsr.video.color import to_rgb
from vidsr.video.resample import imresize
from vidsr.video.stills import is_still, read_still


class PicturePair(NamedTuple):
    """One picture twice: (1, 3, h, w) and (1, 3, scale*h, scale*w), RGB floats in [0, 1]."""

    path: Path  # of the high-resolution file
    lr: Tensor
    hr: Tensor


def read_pairs(
    pictures: list[Path], lr_folder: Path | None, scale: int, device: torch.device
) -> Iterator[PicturePair]:
    """Read each picture with its low-resolution form, one at a time.

    Without `lr_folder` the picture, cut to a multiple of the scale, is reduced as benchmarks are made:
    MATLAB's antialiased bicubic, rounded to bytes. Raises InputError, naming the file, for a picture
    that cannot be read, is smaller than the scale, or does not fit its low-resolution form.
    """
    for path in pictures:
        hr = rgb_floats(read_still(path), device)
        if lr_folder is None:
            hr = _whole_multiple(hr, scale, path)
            lr = to_bytes(imresize(hr, 1 / scale))
        else:
            lr_path = find_lr(path, lr_folder, scale)
            lr = rgb_floats(read_still(lr_path), device)
            hr = _crop_to(hr, lr, scale, path, lr_path)
        yield PicturePair(path, lr, hr)


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder (or the one picture given), by name; InputError where there is none."""
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of pictures")
    pictures = sorted(path for path in folder.iterdir() if path.is_file() and is_still(path))
    if not pictures:
        raise InputError(f"{folder}: holds no pictures (PNG, JPEG, WebP)")
    return pictures


def find_lr(hr: Path, folder: Path, scale: int) -> Path:
    """The low-resolution picture of the same name, or with x4, _x4, LRBI_x4 ... after it."""
    wanted = re.compile(rf"{re.escape(hr.stem)}(?:(?:[_-]?[A-Za-z]+)?[_-]?x{scale})?")
    found = [path for path in list_pictures(folder) if wanted.fullmatch(path.stem)]
    if not found:
        raise InputError(
            f"{folder}: no low-resolution picture for {hr.name} ({hr.stem} or {hr.stem}x{scale})"
        )
    exact = [path for path in found if path.stem == hr.stem]
    if len(found) > 1 and len(exact) != 1:
        raise InputError(f"{folder}: several pictures for {hr.name}: {', '.join(p.name for p in found)}")
    return exact[0] if exact else found[0]


def rgb_floats(frame: FrameBatch, device: torch.device) -> Tensor:
    """(1, 3, H, W) floats in [0, 1] of one frame."""
    rgb: Tensor = to_rgb(frame.tensors()).to(device).permute(0, 3, 1, 2)
    return rgb.float() / 255 if rgb.dtype == torch.uint8 else rgb.float()


def to_bytes(x: Tensor) -> Tensor:
    """Floats in [0, 1] rounded to what a byte can hold, halves upwards as MATLAB rounds."""
    return (x.clamp(0, 1) * 255 + 0.5).floor() / 255


def _whole_multiple(hr: Tensor, scale: int, path: Path) -> Tensor:
    """Cut off, right and below, what is no multiple of the scale."""
    height, width = (side // scale * scale for side in hr.shape[-2:])
    if min(height, width) == 0:
        raise InputError(f"{path}: smaller than the scale of {scale}")
    return hr[..., :height, :width]


def _crop_to(hr: Tensor, lr: Tensor, scale: int, path: Path, lr_path: Path) -> Tensor:
    """Cut the reference to what the low-resolution picture shows."""
    height, width = (int(side) * scale for side in lr.shape[-2:])
    if not (0 <= hr.shape[-2] - height < scale and 0 <= hr.shape[-1] - width < scale):
        raise InputError(
            f"{lr_path}: {lr.shape[-1]}x{lr.shape[-2]} is not {path} ({hr.shape[-1]}x{hr.shape[-2]}) "
            f"reduced by {scale}"
        )
    return hr[..., :height, :width]
