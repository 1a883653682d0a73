"""What survives compression: pictures without their weak texture, all edges as sharp as they were.

A discriminator that sees whole photographs asks a generator for texture. Where compression has taken
it, nothing in the input tells which, and the answer is a pattern, the same everywhere. Edges are still
there to be sharpened; so degraded patches are held against these pictures.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

RADIUS = 4
"""Of the windows, HR pixels."""
CONTRAST = 0.05
"""Standard deviation in a window that is halfway kept, of [0, 1]: 13 levels of 8 bits."""


def without_texture(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) floats in [0, 1] without what varies by less than CONTRAST; the same shape.

    The guided filter with the picture's own grey as its guide, K. He, J. Sun, X. Tang, "Guided Image
    Filtering", IEEE TPAMI 35(6), 2013: in every window each colour is a line in grey, of the slope
    cov(colour, grey) / (var(grey) + CONTRAST^2) through both means; a pixel takes the mean of the lines
    of all windows that it lies in. Windows end at the border of the picture. Where two colours of one
    grey meet, their border is softened.
    """
    planes = pictures.contiguous()  # PyTorch's windows are five times as slow over channels-last memory
    grey = planes.mean(dim=1, keepdim=True)
    mean_grey, mean = _means(grey), _means(planes)
    variance = _means(grey.square()) - mean_grey.square()
    slope = (_means(planes * grey) - mean * mean_grey) / (variance + CONTRAST**2)
    offset = mean - slope * mean_grey
    return _means(slope) * grey + _means(offset)


def _means(planes: Tensor) -> Tensor:
    """Over the window around each pixel, as far as it lies in the picture."""
    side = 2 * RADIUS + 1
    rows = functional.avg_pool2d(planes, (1, side), 1, (0, RADIUS), count_include_pad=False)
    return functional.avg_pool2d(rows, (side, 1), 1, (RADIUS, 0), count_include_pad=False)
