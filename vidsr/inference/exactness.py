"""Whether a backend gives the same bits however a frame comes to it, tried out on noise.

A pixel's sum may be taken in another order in a call of another size: libraries choose their kernels by
it. On a CPU neither OpenVINO nor PyTorch does so for the generators of vidsr (the tests compare them),
but that is nobody's promise, and on a GPU it is the rule. So it is tried on the very machine, with the
very sizes, before anything is built on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from vidsr.inference.backend import Backend
from vidsr.inference.tiling import Tile, upscale_into

PLACES = 67
"""Places in memory that are tried: more than a vector has, on any processor, and no multiple of it."""


def exact_alone(backend: Backend, shape: torch.Size, dtype: torch.dtype) -> bool:
    """Whether a frame in a batch, of `shape` (N, h, w, 3), comes out as it does alone."""
    noise = _noise(shape, dtype, backend.device)
    together = backend(noise)
    return all(
        torch.equal(together[i : i + 1], backend(noise[i : i + 1].contiguous()))
        for i in (0, shape[0] - 1)
    )


def exact_in_tiles(
    backend: Backend, size: tuple[int, int], dtype: torch.dtype, tiles: Sequence[Tile]
) -> bool:
    """Whether what `tiles` keep of a frame of `size` (h, w) comes out as it does from the whole."""
    noise = _noise(torch.Size((1, *size, 3)), dtype, backend.device)
    whole = backend(noise)
    pieces = whole.clone()
    for tile in tiles:
        tile.place(torch.zeros_like(pieces), pieces, backend.scale)
    upscale_into(pieces, noise, backend, tiles)
    return torch.equal(pieces, whole)


@cache
def exact_anywhere(device: torch.device) -> bool:
    """Whether PyTorch's arithmetic gives the same bits wherever in memory a value lies.

    Most values go through vector instructions, the last few of a tensor one by one; a product and a sum
    may be rounded together in one of them and apart in the other.
    """
    x = _noise(torch.Size((PLACES, PLACES)), torch.float32, device)
    y = x.t().contiguous()

    def mixed(a: Tensor, b: Tensor) -> Tensor:
        return torch.add(a, b, alpha=0.7152).sub_(b * 0.0722).mul_(219 / 255).sub_(a, alpha=1 / 48)

    whole = mixed(x, y)
    return all(
        torch.equal(mixed(x[start:, start:], y[start:, start:]), whole[start:, start:])
        and torch.equal(mixed(x[:, start], y[:, start]), whole[:, start])
        for start in range(PLACES)
    )


def _noise(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Around mid-grey: most of what comes out is neither black nor white, where all would be alike."""
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0)).mul_(0.5).add_(0.25)
    if dtype == torch.uint8:
        noise = noise.mul_(255)
    return noise.to(device, dtype)
