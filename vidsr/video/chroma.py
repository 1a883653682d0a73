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

from vidsr.arrays import Array, accumulate, copy, device_of, dtype_of, empty, namespace
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


def enlarge_chroma(chroma: Array, size: tuple[int, int], color: ColorSpec) -> Array:
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


def shrink_chroma(chroma: Array, color: ColorSpec) -> Array:
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


def _double(x: Array, axis: int, length: int, phase: Phase) -> Array:
    """One axis doubled to `length` samples, where the source has ceil(length/2)."""
    shape = list(x.shape)
    shape[axis] = length
    out = empty(shape, dtype_of(x), device_of(x))
    even, odd = _every_second(out, axis)
    if phase == "cosited":
        even[...] = x
        _between(x, axis, odd.shape[axis], out=odd)
        return out
    xp = namespace(x)
    n = x.shape[axis]
    # The mirror that fits: behind half a block at an odd end, at the edge of a whole block elsewhere.
    behind = (n - 1) if length % 2 == 0 else max(n - 2, 0)
    padded = xp.concatenate((_part(x, axis, 0, 1), x, _part(x, axis, behind, 1)), axis)
    before, after = _part(padded, axis, 0, n), _part(padded, axis, 2, n)
    xp.multiply(x, 14 / 16, out=even)
    accumulate(even, before, 3 / 16)
    accumulate(even, after, -1 / 16)
    m = odd.shape[axis]
    xp.multiply(_part(x, axis, 0, m), 14 / 16, out=odd)
    accumulate(odd, _part(after, axis, 0, m), 3 / 16)
    accumulate(odd, _part(before, axis, 0, m), -1 / 16)
    return out


def _halve(x: Array, axis: int, phase: Phase) -> Array:
    """One axis halved to ceil(length/2) samples: undoes `_double` of that length."""
    if phase == "cosited":
        # As a lifting step (W. Sweldens, 1996; the pair itself: G. Deslauriers and S. Dubuc, 1989):
        # what interpolation fails to predict of the odd samples is shared among their neighbours.
        # It predicts all of what it made itself, so the inverse holds at every border.
        even, odd = _every_second(x, axis)
        if odd.shape[axis] == 0:
            return copy(even)
        missed = odd - _between(even, axis, odd.shape[axis])
        n = even.shape[axis]
        right = _extended(missed, axis, 1, n - odd.shape[axis])
        shared = _part(right, axis, 0, n) + _part(right, axis, 1, n)
        shared *= 0.25
        shared += even
        return shared
    length = x.shape[axis]
    # Outputs that read nothing beyond the ends; the first of all reads a mirror.
    inner = (length - 4) // 2
    if inner < 1:
        return _six_taps(_mirrored(x, axis, 2, 2 + length % 2), axis)
    # The ends alone are copied: a copy of all takes as long as the filter.
    first = _mirrored(_part(x, axis, 0, 4), axis, 2, 0)
    last = _mirrored(_part(x, axis, 2 * inner, length - 2 * inner), axis, 0, 2 + length % 2)
    taken = (_six_taps(first, axis), _six_taps(x, axis), _six_taps(last, axis))
    return namespace(x).concatenate(taken, axis)


def _six_taps(x: Array, axis: int) -> Array:
    """(-1, -3, 28, 28, -3, -1)/48 of each six samples, from every second one on."""
    count = (x.shape[axis] - 4) // 2
    a, d = _every_second(_part(x, axis, 0, 2 * count), axis)
    b, e = _every_second(_part(x, axis, 2, 2 * count), axis)
    c, f = _every_second(_part(x, axis, 4, 2 * count), axis)
    # In the order of the axis: a d b e c f.
    sums = b + e
    sums *= 28 / 48
    accumulate(sums, d + c, -3 / 48)
    accumulate(sums, a + f, -1 / 48)
    return sums


def _between(even: Array, axis: int, count: int, out: Array | None = None) -> Array:
    """Cubic interpolation, (-1, 9, 9, -1)/16, of the first `count` places behind each sample."""
    x = _extended(even, axis, 1, 2)
    result = namespace(x).add(_part(x, axis, 1, count), _part(x, axis, 2, count), out=out)
    result *= 9 / 16
    accumulate(result, _part(x, axis, 0, count), -1 / 16)
    accumulate(result, _part(x, axis, 3, count), -1 / 16)
    return result


def _part(x: Array, axis: int, start: int, count: int) -> Array:
    """So many places of an axis, as a view."""
    return x[:, start : start + count] if axis == 1 else x[:, :, start : start + count]


def _every_second(x: Array, axis: int) -> tuple[Array, Array]:
    """The even and the odd places of an axis, as views."""
    if axis == 1:
        return x[:, 0::2], x[:, 1::2]
    return x[:, :, 0::2], x[:, :, 1::2]


def _extended(x: Array, axis: int, before: int, after: int) -> Array:
    """An axis with its first and last sample repeated."""
    first, last = _part(x, axis, 0, 1), _part(x, axis, x.shape[axis] - 1, 1)
    return namespace(x).concatenate([first] * before + [x] + [last] * after, axis)


def _mirrored(x: Array, axis: int, before: int, after: int) -> Array:
    """An axis mirrored at the outer edges of its first and last sample, as often as it takes."""
    n = x.shape[axis]
    places = [i % (2 * n) for i in (*range(-before, 0), *range(n, n + after))]
    parts = [_part(x, axis, min(i, 2 * n - 1 - i), 1) for i in places]
    return namespace(x).concatenate([*parts[:before], x, *parts[before:]], axis)
