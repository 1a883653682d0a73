"""Whether PyTorch has a card to compute on: without a driver it need not be loaded to say no."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

DRIVERS = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
"""The library through which all of CUDA goes, by `sys.platform`; it comes with the driver alone."""

ROCM_DEVICE = Path("/dev/kfd")
"""There where a driver of AMD's is loaded: a PyTorch built with ROCm answers to the name of CUDA."""


def has_driver() -> bool:
    """Whether a driver for cards that PyTorch could compute on is installed."""
    if ROCM_DEVICE.exists():
        return True
    library = DRIVERS.get(sys.platform)
    try:
        return library is not None and ctypes.CDLL(library) is not None
    except OSError:
        return False


@cache
def card_answers() -> bool:
    """Whether PyTorch computes on a card; loads it, a second of work, only where there is a driver."""
    if not has_driver():
        return False
    import torch

    return torch.cuda.is_available()
