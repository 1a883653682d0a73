"""Cutting frames into tiles that overlap enough for the seams to vanish."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


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

    def cut(self, image: Tensor) -> Tensor:
        """What this tile reads of (N, H, W, 3), as a view."""
        return image[:, self.rows.start : self.rows.stop, self.columns.start : self.columns.stop]

    def place(self, upscaled: Tensor, target: Tensor, scale: int) -> None:
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


def least_tile(overlap: int) -> int:
    """The smallest sensible tile, LR pixels: 32 rows of it at least are kept."""
    return 2 * overlap + 32


def _spans(length: int, tile: int, overlap: int) -> list[Span]:
    if length <= tile:
        return [Span(0, length, 0, length)]
    if tile <= 2 * overlap:
        raise ValueError(f"a tile of {tile} leaves nothing between overlaps of {overlap}")
    spans: list[Span] = []
    kept = 0
    while kept < length:
        start = min(max(kept - overlap, 0), length - tile)
        stop = start + tile
        keep_stop = length if stop == length else stop - overlap
        spans.append(Span(start, stop, kept, keep_stop))
        kept = keep_stop
    return spans
