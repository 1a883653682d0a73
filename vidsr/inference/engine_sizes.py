"""Which engine serves which frames: an engine has a size, a video has another.

Frames smaller than a fixed engine are padded, larger ones are cut in tiles that overlap. Both cost
pixels that are computed and thrown away, so the cheapest engine wins, and one that wastes too much is
not taken at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from vidsr.inference.engine_key import ShapeRange
from vidsr.inference.tiling import plan_tiles

COMMON_SIZES = (
    (180, 320),
    (240, 320),
    (240, 426),
    (270, 480),
    (360, 480),
    (360, 640),
    (480, 640),
    (480, 720),
    (480, 854),
    (540, 960),
    (576, 720),
    (720, 1280),
    (1080, 1920),
)
"""(height, width) of what people enlarge: standard definition, its streaming sizes, HD."""

MOST_WASTE = 1.6
"""Pixels computed over pixels wanted, at most, of an engine that is there: above this a build of its own
is soon paid back."""

MOST_WASTE_BUILT = 1.36
"""The same of an engine yet to be built, for serving other videos too: films cropped to 2.35:1 and
2.39:1 in the engine of the uncropped size cost 1.32 to 1.35, 4:3 in that of 16:9 costs 1.33."""

BATCH_PIXELS = 480 * 270 * 4
"""Enough LR pixels in a call to fill the largest cards; smaller frames go several at a time."""


def computed_pixels(shapes: ShapeRange, height: int, width: int, overlap: int) -> int | None:
    """LR pixels that an engine computes for one frame of this size; None where it cannot at all."""
    _, most_high, most_wide = shapes.greatest
    _, least_high, least_wide = shapes.least
    try:
        tiles = plan_tiles(height, width, (most_high, most_wide), overlap)
    except ValueError:  # nothing would be left between the overlaps
        return None
    return sum(max(tile.size[0], least_high) * max(tile.size[1], least_wide) for tile in tiles)


def cheapest(
    candidates: Iterable[ShapeRange],
    height: int,
    width: int,
    overlap: int,
    most_waste: float = MOST_WASTE,
) -> ShapeRange | None:
    """The engine that computes least for frames of this size; None where each would waste too much.

    Of equals a fixed one before a dynamic one, then the larger: fewer calls.
    """
    costs = [
        (cost, not shapes.is_fixed, -math.prod(shapes.greatest), shapes)
        for shapes in candidates
        if (cost := computed_pixels(shapes, height, width, overlap)) is not None
        and cost <= most_waste * height * width
    ]
    return min(costs, key=lambda entry: entry[:3])[3] if costs else None


def size_to_build(height: int, width: int, overlap: int, most_pixels: int) -> ShapeRange:
    """The engine to build for frames of this size, of no more LR pixels than the card's memory holds.

    A common size where one is near, so that it serves others too; else the frame's own; where that does
    not fit, the common size whose tiles compute least.
    """
    fitting = [ShapeRange.fixed(*size) for size in COMMON_SIZES if math.prod(size) <= most_pixels]
    found = cheapest(fitting, height, width, overlap, MOST_WASTE_BUILT)
    if found is None and height * width > most_pixels:
        found = cheapest(fitting, height, width, overlap, math.inf)
        found = found or ShapeRange.fixed(*COMMON_SIZES[0])
    if found is not None:
        _, height, width = found.greatest
    return ShapeRange.fixed(height, width, max(1, min(4, BATCH_PIXELS // (height * width))))
