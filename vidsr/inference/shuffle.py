"""The last step of a network on the processor: from the channels of small pixels to a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_RUNS = {2: np.int16, 4: np.int32, 8: np.int64, 16: np.complex128}
"""As many bytes side by side as the key says, moved as one value; nothing is computed with them."""


def spread(cells: NDArray[Any], factor: int) -> NDArray[Any]:
    """PixelShuffle(factor) of (N, h, w, 3 * factor**2) to frames (N, factor*h, factor*w, 3).

    `cells` is dense, uint8 or float32, its channels in PyTorch's order: colour, row, column. The result
    is memory of its own, one plane after the other: what lies side by side in a cell then does so in the
    picture, and runs of `factor` values move instead of single ones (0.3 ms for 1280x720 bytes, where
    OpenVINO's transposition takes 2); and the colour conversion behind it reads plane by plane.
    """
    count, height, width, _ = cells.shape
    runs: NDArray[Any] = cells.view(_RUNS[factor * cells.itemsize]).reshape(
        count, height, width, 3, factor
    )
    # A copy in any case: the planes of a single cell would else be the cell itself.
    planes = runs.transpose(0, 3, 1, 4, 2).copy()
    picture = planes.view(cells.dtype).reshape(count, 3, height * factor, width * factor)
    return picture.transpose(0, 2, 3, 1)
