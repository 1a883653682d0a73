"""Cutting frames into tiles that overlap enough for the seams to vanish, and enlarging them so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidsr.arrays import Array, dense, device_of, dtype_of, empty, namespace
from vidsr.inference.backend import Backend


@dataclass(frozen=True)
class Span:
    """Along one axis: what a tile reads, and what of it is kept; LR pixels, half-open."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True)
class Tile:
    """A rectangle of the frame that the network sees at once."""

    rows: Span
    columns: Span

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what is read, LR pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def cut(self, image: Array) -> Array:
        """What this tile reads of (N, H, W, 3), as a view."""
        return image[:, self.rows.start : self.rows.stop, self.columns.start : self.columns.stop]

    def place(self, upscaled: Array, target: Array, scale: int) -> None:
        """Write the kept part of an upscaled tile (N, s*h, s*w, 3) into the whole (N, s*H, s*W, 3)."""
        y, x = self.rows, self.columns
        target[
            :, y.keep_start * scale : y.keep_stop * scale, x.keep_start * scale : x.keep_stop * scale
        ] = upscaled[
            :,
            (y.keep_start - y.start) * scale : (y.keep_stop - y.start) * scale,
            (x.keep_start - x.start) * scale : (x.keep_stop - x.start) * scale,
        ]


def plan_tiles(height: int, width: int, tile: int | tuple[int, int] | None, overlap: int) -> list[Tile]:
    """Tiles that cover a frame, row by row; one tile where `tile` is None or the frame fits into it.

    `tile` is the side of what is read, or its (height, width), overlap included, and `overlap` how far
    a kept pixel may look beyond what is kept; both in LR pixels. With the generator's receptive radius
    as overlap the tiled result equals the whole frame's up to the rounding of floats. Along an axis
    longer than `tile` all tiles have that very length (the last ones move inwards), so that they share
    one compiled shape.
    Raises ValueError where nothing would be left to keep.
    """
    sides = tile if isinstance(tile, tuple) else (tile or height, tile or width)
    rows = _spans(height, sides[0], overlap)
    columns = _spans(width, sides[1], overlap)
    return [Tile(row, column) for row in rows for column in columns]


def cover_tiles(
    wanted: NDArray[np.bool_], block: int, size: tuple[int, int], side: int, overlap: int
) -> list[Tile]:
    """Tiles of one shape that together keep every wanted block of a frame, wherever they must lie.

    `wanted` is (ceil(H / block), ceil(W / block)) for a frame of `size` = (H, W) LR pixels, and what a
    tile keeps must be a block at least. Shelf by shelf: the first row that still wants something
    begins a shelf of tiles, each of which begins at the first column that wants something in it.
    """
    left = wanted.copy()
    tiles: list[Tile] = []
    while left.any():
        rows = _span(int(left.any(axis=1).argmax()) * block, size[0], side, overlap)
        shelf = left[rows.keep_start // block : _blocks(rows.keep_stop, size[0], block)]
        while shelf.any():
            columns = _span(int(shelf.any(axis=0).argmax()) * block, size[1], side, overlap)
            shelf[:, columns.keep_start // block : _blocks(columns.keep_stop, size[1], block)] = False
            tiles.append(Tile(rows, columns))
    return tiles


def upscale_tiled(lr: Array, backend: Backend, tiles: Sequence[Tile]) -> Array:
    """Enlarge (N, h, w, 3) tile by tile to (N, scale*h, scale*w, 3), same dtype and device.

    Tiles below the backend's least size or off its multiple are padded by repeating the border, and the
    result is cropped. Raises OutOfMemory.
    """
    if len(tiles) == 1:
        return _call_padded(lr, backend)
    count, height, width, _ = lr.shape
    scale = backend.scale
    # Plane by plane: so the colour conversion reads it.
    planes = empty((count, 3, height * scale, width * scale), dtype_of(lr), device_of(lr))
    sr = namespace(planes).moveaxis(planes, 1, 3)
    upscale_into(sr, lr, backend, tiles)
    return sr


def upscale_into(sr: Array, lr: Array, backend: Backend, tiles: Sequence[Tile]) -> None:
    """Enlarge only what `tiles` keep of (N, h, w, 3), into its place in (N, scale*h, scale*w, 3)."""
    for tile in tiles:
        tile.place(_call_padded(tile.cut(lr), backend), sr, backend.scale)


def _call_padded(lr: Array, backend: Backend) -> Array:
    """Call the backend with a size it takes; the padding at bottom and right is cropped again."""
    height, width = lr.shape[1], lr.shape[2]
    least, multiple = backend.limits.least, backend.limits.multiple
    padded_height, padded_width = (
        -(-max(length, least) // multiple) * multiple for length in (height, width)
    )
    if (padded_height, padded_width) == (height, width):
        return backend(dense(lr))
    rows = np.arange(padded_height).clip(max=height - 1)
    columns = np.arange(padded_width).clip(max=width - 1)
    sr = backend(lr[:, rows][:, :, columns])
    return sr[:, : height * backend.scale, : width * backend.scale]


def least_tile(overlap: int) -> int:
    """The smallest sensible tile, LR pixels: 32 rows of it at least are kept."""
    return 2 * overlap + 32


def _spans(length: int, tile: int, overlap: int) -> list[Span]:
    if length > tile and tile <= 2 * overlap:
        raise ValueError(f"a tile of {tile} leaves nothing between overlaps of {overlap}")
    spans = [_span(0, length, tile, overlap)]
    while spans[-1].keep_stop < length:
        spans.append(_span(spans[-1].keep_stop, length, tile, overlap))
    return spans


def _span(kept_from: int, length: int, tile: int, overlap: int) -> Span:
    """The span that keeps as much as it can from `kept_from` on."""
    start = max(min(kept_from - overlap, length - tile), 0)
    stop = min(start + tile, length)
    return Span(start, stop, kept_from, length if stop == length else stop - overlap)


def _blocks(stop: int, length: int, block: int) -> int:
    """How many whole blocks lie before `stop`; the last one may be cut short by the frame's end."""
    return -(-stop // block) if stop == length else stop // block
