"""Colour conversion of parts of a picture, with the same bits as that of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from vidsr.arrays import Array, copy
from vidsr.frames import ColorSpec
from vidsr.inference.lanes import Planes
from vidsr.inference.tiling import Tile
from vidsr.video.chroma import shrunk_reach
from vidsr.video.color import to_planes


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture; pixels, half-open."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def kept(cls, tile: Tile, scale: int) -> Self:
        """What a tile keeps, in the picture `scale` times as large."""
        rows, columns = tile.rows, tile.columns
        sides = rows.keep_start, rows.keep_stop, columns.keep_start, columns.keep_stop
        return cls(*(side * scale for side in sides))

    def wider(self, reach: int, size: tuple[int, int], unit: tuple[int, int]) -> Window:
        """With all that is within `reach` in a picture of `size` = (H, W), in whole chroma samples.

        `unit` is how many pixels a chroma sample stands for, (vertical, horizontal).
        """
        return Window(
            max(0, self.top - reach) // unit[0] * unit[0],
            min(size[0], -(-(self.bottom + reach) // unit[0]) * unit[0]),
            max(0, self.left - reach) // unit[1] * unit[1],
            min(size[1], -(-(self.right + reach) // unit[1]) * unit[1]),
        )

    def seen_from(self, outer: Window) -> Window:
        """The same rectangle in the picture that `outer` cuts out."""
        return Window(
            self.top - outer.top,
            self.bottom - outer.top,
            self.left - outer.left,
            self.right - outer.left,
        )

    def samples(self, unit: tuple[int, int]) -> tuple[slice, slice, slice]:
        """Its samples in planes (N, H, W) of which each stands for `unit` pixels."""
        return (
            slice(None),
            slice(self.top // unit[0], -(-self.bottom // unit[0])),
            slice(self.left // unit[1], -(-self.right // unit[1])),
        )


def convert_changed(
    before: Planes, sr: Array, color: ColorSpec, tiles: Sequence[Tile], scale: int
) -> Planes:
    """The planes of `sr`, given those of a picture that differs only in what `tiles` keep.

    `sr` is (1, s*H, s*W, 3), and `before` what `to_planes` made of the other picture. Only what sees a
    change is converted; `before` is left as it is. The bits are those of converting the whole, where
    arithmetic is the same wherever a sample lies in memory (see `exact_anywhere`).
    """
    size = int(sr.shape[1]), int(sr.shape[2])
    chroma = (1, 1) if color.matrix in ("rgb", "gray") else color.subsampling
    reach = shrunk_reach(chroma)
    planes = tuple(copy(plane) for plane in before)
    for tile in tiles:
        changed = Window.kept(tile, scale).wider(reach, size, chroma)
        read = changed.wider(reach, size, chroma)
        converted = to_planes(sr[read.samples((1, 1))], color)
        for index, (plane, part) in enumerate(zip(planes, converted, strict=True)):
            unit = chroma if index else (1, 1)
            plane[changed.samples(unit)] = part[changed.seen_from(read).samples(unit)]
    return planes
