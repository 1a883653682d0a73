"""Whether a backend gives the same bits however a frame comes to it, tried out on noise.

A pixel's sum may be taken in another order in a call of another size: libraries choose their kernels by
it. On a CPU neither OpenVINO nor PyTorch does so for the generators of vidsr (the tests compare them),
but that is nobody's promise, and on a GPU it is the rule. So it is tried on the very machine, with the
very sizes, before anything is built on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from vidsr.arrays import Array, Device, accumulate, add_scaled, copy, dense, equal, to_device
from vidsr.inference.backend import Backend
from vidsr.inference.tiling import Tile, upscale_into

PLACES = 67
"""Places in memory that are tried: more than a vector has, on any processor, and no multiple of it."""


def exact_alone(backend: Backend, shape: tuple[int, ...], dtype: str) -> bool:
    """Whether a frame in a batch, of `shape` (N, h, w, 3), comes out as it does alone."""
    noise = _noise(shape, dtype, backend.device)
    together = backend(noise)
    return all(equal(together[i : i + 1], backend(dense(noise[i : i + 1]))) for i in (0, shape[0] - 1))


def exact_in_tiles(backend: Backend, size: tuple[int, int], dtype: str, tiles: Sequence[Tile]) -> bool:
    """Whether what `tiles` keep of a frame of `size` (h, w) comes out as it does from the whole."""
    noise = _noise((1, *size, 3), dtype, backend.device)
    whole = backend(noise)
    pieces, blank = copy(whole), whole * 0
    for tile in tiles:
        tile.place(blank, pieces, backend.scale)
    upscale_into(pieces, noise, backend, tiles)
    return equal(pieces, whole)


@cache
def exact_anywhere(device: Device) -> bool:
    """Whether arithmetic there gives the same bits wherever in memory a value lies.

    Most values go through vector instructions, the last few of an array one by one; a product and a sum
    may be rounded together in one of them and apart in the other.
    """
    x = _noise((PLACES, PLACES), "float32", device)
    y = dense(x.swapaxes(0, 1))

    def mixed(a: Array, b: Array) -> Array:
        result = add_scaled(a, b, 0.7152)
        result -= b * 0.0722
        result *= 219 / 255
        accumulate(result, a, -1 / 48)
        return result

    whole = mixed(x, y)
    return all(
        equal(mixed(x[start:, start:], y[start:, start:]), whole[start:, start:])
        and equal(mixed(x[:, start], y[:, start]), whole[:, start])
        for start in range(PLACES)
    )


def _noise(shape: tuple[int, ...], dtype: str, device: Device) -> Array:
    """Around mid-grey: most of what comes out is neither black nor white, where all would be alike."""
    noise = np.random.default_rng(0).random(shape, np.float32) * 0.5 + 0.25
    if dtype == "uint8":
        noise *= 255
    return to_device(noise.astype(dtype), device)
