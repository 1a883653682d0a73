"""Parts of a picture converted alone are, to the bit, those of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from tests.video.kinds import Kind, both_kinds
from vidsr.arrays import copy, equal
from vidsr.frames import ColorSpec
from vidsr.inference.exactness import exact_anywhere
from vidsr.inference.tiling import Span, Tile
from vidsr.inference.windows import convert_changed
from vidsr.video.color import to_planes

COLORS = {
    "4:2:0": ColorSpec(),
    "4:2:0 centred, 10 bit": ColorSpec(siting="center", depth=10),
    "4:2:2": ColorSpec(subsampling=(1, 2)),
    "4:1:0": ColorSpec(subsampling=(4, 4)),
    "4:4:4": ColorSpec(subsampling=(1, 1)),
    "rgb": ColorSpec(matrix="rgb", range="full", subsampling=(1, 1)),
    "gray": ColorSpec(matrix="gray"),
}


def tile(top: int, bottom: int, left: int, right: int) -> Tile:
    return Tile(Span(top, bottom, top, bottom), Span(left, right, left, right))


TILES = [
    [tile(0, 5, 0, 7)],
    [tile(13, 14, 20, 21)],
    [tile(30, 37, 44, 51), tile(3, 19, 40, 51)],
    [tile(10, 20, 10, 20), tile(15, 25, 15, 25)],
]


@both_kinds
@pytest.mark.parametrize(
    ("name", "deep"),
    [
        (name, deep)
        for name, color in COLORS.items()
        for deep in (False, True)
        if deep or color.depth == 8
    ],
)
def test_only_what_changed_is_converted_and_nothing_else_differs(
    name: str, deep: bool, kind: Kind
) -> None:
    color, scale = COLORS[name], 3
    random = np.random.default_rng(1)
    before, noise = (
        kind.of(image if deep else (image * 255).astype(np.uint8))
        for image in random.random((2, 1, 37 * scale, 51 * scale, 3), np.float32)
    )
    planes = to_planes(before, color)
    kept = [copy(plane) for plane in planes]
    for tiles in TILES:
        after = copy(before)
        for each in tiles:
            each.place(
                noise[
                    :,
                    each.rows.start * scale : each.rows.stop * scale,
                    each.columns.start * scale : each.columns.stop * scale,
                ],
                after,
                scale,
            )
        found = convert_changed(planes, after, color, tiles, scale)
        for plane, (mine, whole) in enumerate(zip(found, to_planes(after, color), strict=True)):
            assert equal(mine, whole), (plane, tiles)
    assert all(map(equal, planes, kept))


@both_kinds
def test_arithmetic_of_this_machine_does_not_depend_on_the_place(kind: Kind) -> None:
    assert exact_anywhere(kind.device)
