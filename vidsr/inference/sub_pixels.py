"""A convolution behind a PixelShuffle as a smaller one before it."""

from __future__ import annotations

import numpy as np

from vidsr.arrays import Array, device_of, dtype_of, empty


def before_shuffle(weight: Array, bias: Array, factor: int) -> tuple[Array, Array]:
    """Weight and bias of C such that PixelShuffle(C(x)) equals conv(PixelShuffle(x)), both by `factor`.

    `weight` is (outputs, inputs, k, k), k odd, of a convolution padded to keep the size; the result is
    (outputs * factor**2, inputs * factor**2, 2 r + 1, 2 r + 1), r = ceil(k // 2 / factor). Along one
    axis, output f*y + i reads, d pixels away, position f*y + i + d = f*(y + a) + b with
    a = floor((i + d) / f) and b = (i + d) mod f: sub-pixel b of the small map's pixel y + a. So the
    weight of offset d becomes that of offset a, from input channel (c, b) to output channel (k, i). A
    9x9 from 64 to 3 channels becomes, at factor 2, a 5x5 from 256 to 12, of which 81/100 are not zero.
    """
    outputs, inputs, side, _ = weight.shape
    reach = side // 2
    radius = -(-reach // factor)
    shape = (outputs, factor, factor, inputs, factor, factor, 2 * radius + 1, 2 * radius + 1)
    small = empty(shape, dtype_of(weight), device_of(weight))
    small[...] = 0
    for row_out in range(factor):
        for column_out in range(factor):
            for row in range(side):
                row_at, row_in = divmod(row_out + row - reach, factor)
                for column in range(side):
                    column_at, column_in = divmod(column_out + column - reach, factor)
                    small[
                        :, row_out, column_out, :, row_in, column_in, radius + row_at, radius + column_at
                    ] = weight[:, :, row, column]
    area = factor**2
    whole = small.reshape(outputs * area, inputs * area, 2 * radius + 1, 2 * radius + 1)
    return whole, bias[np.arange(outputs * area) // area]
