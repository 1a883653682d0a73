"""Changes between frames, against what the colour conversion really makes of them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.changes import BLOCK, changed_blocks, same_frame, within
from vidsr.video.chroma import chroma_reach, chroma_size
from vidsr.video.color import to_rgb

SIZE = (37, 51)  # neither a multiple of anything


Plane = NDArray[Any]


def grey(color: ColorSpec) -> list[Plane]:
    dtype = np.uint8 if color.depth == 8 else np.uint16
    small = SIZE if color.matrix == "rgb" else chroma_size(SIZE, color.subsampling)
    sizes = [SIZE, small, small][: color.channels - color.alpha] + [SIZE] * color.alpha
    return [np.full(size, 1 << (color.depth - 1), dtype) for size in sizes]


def touched(planes: list[Plane], plane: int, y: int, x: int) -> list[Plane]:
    """The same planes with one sample changed."""
    changed = [each.copy() for each in planes]
    changed[plane][y, x] = 200
    return changed


COLORS = {
    "4:2:0": ColorSpec(),
    "4:2:0 centred": ColorSpec(siting="center"),
    "4:2:0 10 bit": ColorSpec(depth=10),
    "4:2:2": ColorSpec(subsampling=(1, 2), siting="topleft"),
    "4:4:4": ColorSpec(subsampling=(1, 1)),
    "4:1:1": ColorSpec(subsampling=(1, 4)),
    "4:1:0": ColorSpec(subsampling=(4, 4), siting="center"),
    "rgb": ColorSpec(matrix="rgb", range="full", subsampling=(1, 1)),
    "gray": ColorSpec(matrix="gray"),
}


@pytest.mark.parametrize("name", COLORS)
def test_no_pixel_changes_beyond_the_reach_of_a_changed_sample(name: str) -> None:
    color = COLORS[name]
    before = grey(color)

    def rgb(planes: list[Plane]) -> Plane:
        batch = FrameBatch(tuple(p[None] for p in planes), color, (0,), Fraction(1, 25))
        pixels: Plane = to_rgb(batch)
        return pixels

    shown = 0
    for plane in range(len(before)):
        height, width = before[plane].shape
        for y in {0, 1, height // 2, height - 2, height - 1}:
            for x in {0, 1, width // 2, width - 2, width - 1}:
                after = touched(before, plane, y, x)
                blocks = within(changed_blocks(before, after, color), chroma_reach(color.subsampling))
                pixels = (rgb(before) != rgb(after)).any(-1)[0]
                allowed = blocks.repeat(BLOCK, 0).repeat(BLOCK, 1)[: SIZE[0], : SIZE[1]]
                assert not (pixels & ~allowed).any(), (plane, y, x)
                shown += int(pixels.sum())
    assert shown


def test_one_sample_is_one_block() -> None:
    color = ColorSpec()
    before = grey(color)
    for plane, y, x, block in ((0, 36, 50, (9, 12)), (0, 4, 3, (1, 0)), (1, 18, 25, (9, 12))):
        found = changed_blocks(before, touched(before, plane, y, x), color)
        assert found.shape == (10, 13)
        assert [tuple(place) for place in np.argwhere(found)] == [block]
    assert not changed_blocks(before, before, color).any()


def test_alpha_tells_frames_apart_but_no_network_sees_it() -> None:
    color = ColorSpec(alpha=True)
    before = grey(color)
    after = touched(before, 3, 0, 0)
    assert same_frame(before, [plane.copy() for plane in before])
    assert not same_frame(before, after)
    assert not changed_blocks(before, after, color).any()


@pytest.mark.parametrize("reach", [0, 1, 4, 5, 19, 200])
def test_within_is_a_square_of_whole_blocks(reach: int) -> None:
    rng = np.random.default_rng(1)
    blocks = rng.random((11, 17)) < 0.03
    steps = -(-reach // BLOCK)
    expected = np.zeros_like(blocks)
    for y, x in np.argwhere(blocks):
        expected[max(0, y - steps) : y + steps + 1, max(0, x - steps) : x + steps + 1] = True
    assert np.array_equal(within(blocks, reach), expected)
