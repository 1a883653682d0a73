"""Where a frame differs from the one before it: compared as the codec gives them, block by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidsr.frames import ColorSpec

BLOCK = 4
"""Side of a block, luma samples: the greatest subsampling there is, so a chroma sample lies in one."""

Blocks = NDArray[np.bool_]
"""(ceil(H / BLOCK), ceil(W / BLOCK)): what holds for each block of a frame of (H, W) luma samples."""

Samples = NDArray[np.generic]

_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32}
"""As many truth values side by side as the key says, looked at as one number."""


def same_frame(before: Sequence[Samples], after: Sequence[Samples]) -> bool:
    """Whether two frames of one kind, planes (H, W) of uint8 or uint16, are equal."""
    return all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def changed_blocks(before: Sequence[Samples], after: Sequence[Samples], color: ColorSpec) -> Blocks:
    """The blocks of a frame in which a sample of its luma or chroma is another than before.

    Both frames are planes (H, W) of uint8 or uint16, of the same size and colour. Alpha is
    not looked at: no network sees it.
    """
    changed: Blocks | None = None
    for index in range(color.channels - color.alpha):
        # RGB has no subsampling, and the first plane of all others none either.
        down, across = color.subsampling if index and color.matrix != "rgb" else (1, 1)
        found = _blocks(before[index], after[index], BLOCK // down, BLOCK // across)
        changed = found if changed is None else np.logical_or(changed, found, out=changed)
    assert changed is not None
    return changed


def within(blocks: Blocks, reach: int) -> Blocks:
    """The blocks that have one of `blocks` at most `reach` luma samples away on both axes."""
    steps = -(-reach // BLOCK)
    for axis in (0, 1):
        # Sums from the beginning tell by one difference whether a stretch holds any.
        sums = np.cumsum(blocks, axis=axis, dtype=np.int32)
        last = blocks.shape[axis] - 1
        places = np.arange(last + 1)
        most = np.take(sums, np.minimum(places + steps, last), axis=axis)
        least = np.take(sums, np.maximum(places - steps - 1, 0), axis=axis)
        # Where the stretch begins at the frame's edge, nothing is to be taken off.
        begins = np.expand_dims(places - steps - 1 < 0, 1 - axis)
        blocks = most > np.where(begins, 0, least)
    return blocks


def _blocks(before: Samples, after: Samples, high: int, wide: int) -> Blocks:
    """Blocks of `high` by `wide` samples that differ; at the ends they may be cut short."""
    height, width = after.shape
    rows, columns = -(-height // high), -(-width // wide)
    differs = np.zeros((rows * high, columns * wide), np.bool_)
    np.not_equal(before, after, out=differs[:height, :width])
    words = differs.view(_WORDS[wide]).reshape(rows, high, columns)
    found: Blocks = np.bitwise_or.reduce(words, axis=1) != 0
    return found
