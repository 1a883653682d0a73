"""Chroma planes brought to the size of luma and back, such that back undoes there exactly.

A network that changes nothing must give the source's chroma back, so each filter that brings chroma
down is a left inverse of the one that brings it up, at the borders too. That forbids the filters
players use on their own (for any interpolation and its own decimation the round trip blurs); the two
pairs below were chosen among wavelet pairs by measurement. PSNR in dB of sharp photographs (luma
exact, chroma halved on both axes) for "our down, a player's bicubic up" and "bicubic down, our up",
against bicubic both ways:

    axis       pair                                            our down    our up    bicubic
    co-sited   cubic up, (1,0,-8,16,46,16,-8,0,1)/64 down          44.2      43.3       43.4
    co-sited   linear up, LeGall (-1,2,6,2,-1)/8 down              44.0      42.3
    co-sited   CDF 9/7                                             43.9      43.8
    centred    (3,14,-1)/16 up, (-1,-3,28,28,-3,-1)/48 down        44.0      42.9       43.4
    centred    linear up, (-1,3,3,-1)/4 down                       42.1      41.8
    centred    CDF 2/6: box down                                   43.4      43.5

The first of each group overshoots a hard edge by 6 % on the way up and by 11 % (co-sited) or 8 %
(centred) on the way down; (-1,3,3,-1)/4 would by 25 %.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vidsr.frames import ColorSpec

Phase = Literal["cosited", "centred"]


def phases(color: ColorSpec) -> tuple[Phase, Phase]:
    """How chroma samples lie on the (vertical, horizontal) axis, from the siting's name.

    They are ChromaSampleLocType 0 to 3 of H.273, section 8.7: left, center, topleft, top.
    """
    vertical: Phase = "cosited" if color.siting in ("topleft", "top") else "centred"
    horizontal: Phase = "cosited" if color.siting in ("topleft", "left") else "centred"
    return vertical, horizontal


def chroma_size(size: tuple[int, int], subsampling: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the chroma planes of a picture of `size` = (height, width)."""
    return -(-size[0] // subsampling[0]), -(-size[1] // subsampling[1])


def enlarge_chroma(chroma: Tensor, size: tuple[int, int], color: ColorSpec) -> Tensor:
    """Chroma at the resolution of luma.

    `chroma` is floating, (N, ceil(H/sub_v), ceil(W/sub_h)), of any range; `size` is (H, W). The result
    has the same dtype; beside hard edges it leaves the range by up to 7 % of it on each axis.
    """
    vertical, horizontal = phases(color)
    # Rows last: they are the cheaper axis, and by then there are more samples.
    for length in _halvings(size[1], color.subsampling[1])[-2::-1]:
        chroma = _double(chroma, 2, length, horizontal)
    for length in _halvings(size[0], color.subsampling[0])[-2::-1]:
        chroma = _double(chroma, 1, length, vertical)
    return chroma


def chroma_reach(subsampling: tuple[int, int]) -> int:
    """How many luma samples beyond its own block a chroma sample shows in `enlarge_chroma`.

    The cubic filter takes four samples, so a sample shows up to three places away from its own after
    each doubling; of the second doubling's places, one of the first is two.
    """
    return 3 * (max(subsampling) - 1)


def shrunk_reach(subsampling: tuple[int, int]) -> int:
    """How many luma samples beyond the block of a chroma sample `shrink_chroma` looks.

    The longer filter, of nine samples, looks four to each side of its own at each halving; of the
    second halving's samples, one is two of the first's.
    """
    return 4 * (max(subsampling) - 1)


def shrink_chroma(chroma: Tensor, color: ColorSpec) -> Tensor:
    """Chroma brought down from the resolution of luma: the left inverse of `enlarge_chroma`.

    `chroma` is floating, (N, H, W), of any range; the result is (N, ceil(H/sub_v), ceil(W/sub_h)).
    """
    vertical, horizontal = phases(color)
    for _ in _halvings(chroma.shape[1], color.subsampling[0])[1:]:
        chroma = _halve(chroma, 1, vertical)
    for _ in _halvings(chroma.shape[2], color.subsampling[1])[1:]:
        chroma = _halve(chroma, 2, horizontal)
    return chroma


def _halvings(length: int, factor: int) -> list[int]:
    """Lengths on the way down: a factor of 4 is two factors of 2, whose phases add up to its own."""
    lengths = [length]
    while factor > 1:
        lengths.append((lengths[-1] + 1) // 2)
        factor //= 2
    return lengths


def _double(x: Tensor, dim: int, length: int, phase: Phase) -> Tensor:
    """One axis doubled to `length` samples, where the source has ceil(length/2)."""
    shape = list(x.shape)
    shape[dim] = length
    out = x.new_empty(shape)
    even, odd = _every_second(out, dim)
    if phase == "cosited":
        even.copy_(x)
        _between(x, dim, odd.shape[dim], out=odd)
        return out
    n = x.shape[dim]
    # The mirror that fits: behind half a block at an odd end, at the edge of a whole block elsewhere.
    behind = (n - 1) if length % 2 == 0 else max(n - 2, 0)
    padded = torch.cat([x.narrow(dim, 0, 1), x, x.narrow(dim, behind, 1)], dim)
    before, after = padded.narrow(dim, 0, n), padded.narrow(dim, 2, n)
    torch.mul(x, 14 / 16, out=even).add_(before, alpha=3 / 16).sub_(after, alpha=1 / 16)
    m = odd.shape[dim]
    torch.mul(x.narrow(dim, 0, m), 14 / 16, out=odd)
    odd.add_(after.narrow(dim, 0, m), alpha=3 / 16).sub_(before.narrow(dim, 0, m), alpha=1 / 16)
    return out


def _halve(x: Tensor, dim: int, phase: Phase) -> Tensor:
    """One axis halved to ceil(length/2) samples: undoes `_double` of that length."""
    if phase == "cosited":
        # As a lifting step (W. Sweldens, 1996; the pair itself: G. Deslauriers and S. Dubuc, 1989):
        # what interpolation fails to predict of the odd samples is shared among their neighbours.
        # It predicts all of what it made itself, so the inverse holds at every border.
        even, odd = _every_second(x, dim)
        if odd.shape[dim] == 0:
            return even.clone()
        missed = odd - _between(even, dim, odd.shape[dim])
        n = even.shape[dim]
        right = _extended(missed, dim, 1, n - odd.shape[dim])
        return right.narrow(dim, 0, n).add(right.narrow(dim, 1, n)).mul_(0.25).add_(even)
    length = x.shape[dim]
    # Outputs that read nothing beyond the ends; the first of all reads a mirror.
    inner = (length - 4) // 2
    if inner < 1:
        return _six_taps(_mirrored(x, dim, 2, 2 + length % 2), dim)
    # The ends alone are copied: a copy of all takes as long as the filter.
    first = _mirrored(x.narrow(dim, 0, 4), dim, 2, 0)
    last = _mirrored(x.narrow(dim, 2 * inner, length - 2 * inner), dim, 0, 2 + length % 2)
    return torch.cat([_six_taps(first, dim), _six_taps(x, dim), _six_taps(last, dim)], dim)


def _six_taps(x: Tensor, dim: int) -> Tensor:
    """(-1, -3, 28, 28, -3, -1)/48 of each six samples, from every second one on."""
    count = (x.shape[dim] - 4) // 2
    a, d = _every_second(x.narrow(dim, 0, 2 * count), dim)
    b, e = _every_second(x.narrow(dim, 2, 2 * count), dim)
    c, f = _every_second(x.narrow(dim, 4, 2 * count), dim)
    # In the order of the axis: a d b e c f.
    return (b + e).mul_(28 / 48).sub_(d + c, alpha=3 / 48).sub_(a + f, alpha=1 / 48)


def _between(even: Tensor, dim: int, count: int, out: Tensor | None = None) -> Tensor:
    """Cubic interpolation, (-1, 9, 9, -1)/16, of the first `count` places behind each sample."""
    x = _extended(even, dim, 1, 2)
    result = torch.add(x.narrow(dim, 1, count), x.narrow(dim, 2, count), out=out).mul_(9 / 16)
    return result.sub_(x.narrow(dim, 0, count), alpha=1 / 16).sub_(x.narrow(dim, 3, count), alpha=1 / 16)


def _every_second(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The even and the odd places of an axis, as views."""
    if dim == 1:
        return x[:, 0::2], x[:, 1::2]
    return x[:, :, 0::2], x[:, :, 1::2]


def _extended(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    """An axis with its first and last sample repeated."""
    first, last = x.narrow(dim, 0, 1), x.narrow(dim, x.shape[dim] - 1, 1)
    return torch.cat([first] * before + [x] + [last] * after, dim)


def _mirrored(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    """An axis mirrored at the outer edges of its first and last sample, as often as it takes."""
    n = x.shape[dim]
    places = [i % (2 * n) for i in (*range(-before, 0), *range(n, n + after))]
    parts = [x.narrow(dim, min(i, 2 * n - 1 - i), 1) for i in places]
    return torch.cat([*parts[:before], x, *parts[before:]], dim)
