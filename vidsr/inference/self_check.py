"""Whether an engine computes what the network computes: measured on stored frames, before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidsr.errors import EngineError
from vidsr.inference.tiling import Tile, plan_tiles
from vidsr.models.generator import Generator

PICTURE = Path(__file__).parent / "check_picture.safetensors"
"""A real picture, (72, 128, 3) uint8, cut from a frame of Big Buck Bunny at 320x180: (c) 2008 Blender
Foundation, https://peach.blender.org, CC-BY 3.0; its header says which frame."""

LEAST_PSNR_DB = {"bf16": 40.0, "fp16": 48.0, "fp32": 60.0}
"""Floor of each frame. Sound fp16 measures 60 to 64 dB against fp32 on the shipped weights, and noise is
its worst frame; bf16, with three bits less, about 50; a wrong layer, layout or scale stays below 35."""

MOST_LEVELS = {"bf16": 16.0, "fp16": 4.0, "fp32": 1.0}
"""Largest difference of one value, in levels of 255: a rounding that falls the other way is one."""

WINDOW_PX = 160
"""Side of the corners that are compared, LR pixels: the reference runs in fp32, where a whole HD frame
takes gigabytes. Corners, since there the padding shows."""


@dataclass(frozen=True)
class Difference:
    """How far an engine is from fp32 PyTorch on one frame."""

    psnr_db: float  # capped at 100 for equality
    most_levels: float  # of 255


def check_engine(
    run: Callable[[Tensor], Tensor],
    generator: Generator,
    size: tuple[int, int],
    dtype: torch.dtype,
    precision: str,
) -> Mapping[str, Any]:
    """Compare an engine with the fp32 generator; what was measured, per frame, as plain values.

    `run` takes (1, h, w, 3) of `dtype`, uint8 or floating in [0, 1], on the generator's device; `size`
    is (h, w). Raises EngineError where a value is not finite or too far off.
    """
    measured: dict[str, Any] = {}
    for name, frame in frames(*size):
        lr = frame[None].to(generator.head.weight.device)
        sr = run(lr if dtype == torch.uint8 else (lr.float() / 255).to(dtype))
        levels = sr.float() * (1 if dtype == torch.uint8 else 255)
        if not bool(torch.isfinite(levels).all()):
            raise EngineError(f"the {precision} engine yields infinities on the frame {name!r}")
        found = difference(levels, lr, generator, rounded=dtype == torch.uint8)
        measured[name] = asdict(found)
        if found.psnr_db < LEAST_PSNR_DB[precision] or found.most_levels > MOST_LEVELS[precision]:
            raise EngineError(
                f"the {precision} engine differs from PyTorch on the frame {name!r}: "
                f"{found.psnr_db:.1f} dB, {found.most_levels:.1f} levels at most"
            )
    return measured


def frames(height: int, width: int) -> Iterator[tuple[str, Tensor]]:
    """The named frames, each (height, width, 3) uint8: the extremes, what is hardest, what is usual."""
    yield "black", torch.zeros(height, width, 3, dtype=torch.uint8)
    yield "white", torch.full((height, width, 3), 255, dtype=torch.uint8)
    random = torch.Generator().manual_seed(0)
    yield "noise", torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=random)
    yield "picture", _mirrored(_picture(), height, width)


def _picture() -> Tensor:
    from safetensors.torch import load_file

    return load_file(PICTURE)["picture"]


def _mirrored(picture: Tensor, height: int, width: int) -> Tensor:
    """A picture cut, or continued as in mirrors, to a size."""

    def positions(length: int, available: int) -> Tensor:
        at = torch.arange(length) % (2 * available)
        return torch.minimum(at, 2 * available - 1 - at)

    return picture[positions(height, picture.shape[0])][:, positions(width, picture.shape[1])]


def difference(levels: Tensor, lr: Tensor, generator: Generator, *, rounded: bool) -> Difference:
    """Compare (1, s*h, s*w, 3) levels, 0 to 255, with the generator's in the first and the last window.

    `lr` is (1, h, w, 3) uint8; `rounded`: the levels are whole numbers.
    """
    height, width = lr.shape[1:3]
    radius = generator.config.receptive_radius
    side = WINDOW_PX + radius
    tiles = plan_tiles(height, width, (min(side, height), min(side, width)), radius)
    worst, squares, count = 0.0, 0.0, 0
    for tile in dict.fromkeys((tiles[0], tiles[-1])):
        expected = _reference(generator, tile.cut(lr))
        if rounded:
            expected = expected.round()
        scale = generator.config.scale
        error = (_kept(tile, expected, scale) - _same_of_whole(tile, levels, scale)).abs()
        worst = max(worst, float(error.max()))
        squares += float((error.double() ** 2).sum())
        count += error.numel()
    mean = squares / count
    psnr = 100.0 if mean == 0 else min(100.0, 10 * float(torch.tensor(255.0**2 / mean).log10()))
    return Difference(round(psnr, 2), round(worst, 3))


def _reference(generator: Generator, lr: Tensor) -> Tensor:
    """Levels (1, s*h, s*w, 3), as the generator itself has them in fp32."""
    with torch.inference_mode(), _exact_fp32():
        sr: Tensor = generator(lr.permute(0, 3, 1, 2).float() / 255)
    return sr.mul(255).clamp(0, 255).permute(0, 2, 3, 1)


@contextmanager
def _exact_fp32() -> Iterator[None]:
    """cuDNN convolves fp32 in TF32 unless it is told not to, with 10 bits of mantissa, as fp16 has."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _kept(tile: Tile, sr: Tensor, scale: int) -> Tensor:
    """Of a window's own result, what its cut edges did not touch."""
    y, x = tile.rows, tile.columns
    return sr[
        :,
        (y.keep_start - y.start) * scale : (y.keep_stop - y.start) * scale,
        (x.keep_start - x.start) * scale : (x.keep_stop - x.start) * scale,
    ]


def _same_of_whole(tile: Tile, sr: Tensor, scale: int) -> Tensor:
    """The same place in the whole frame's result."""
    y, x = tile.rows, tile.columns
    return sr[:, y.keep_start * scale : y.keep_stop * scale, x.keep_start * scale : x.keep_stop * scale]
