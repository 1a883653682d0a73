"""NearestBackend: the one fake. It repeats pixels, so size, order and time show to the integer."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from vidsr.arrays import Array, Device, Host
from vidsr.config import UpscaleConfig
from vidsr.errors import OutOfMemory, VidsrError
from vidsr.inference.backend import SizeLimits
from vidsr.models.weights import Weights
from vidsr.progress import Progress

CPU = torch.device("cpu")


def repeated(pixels: Array, scale: int) -> Array:
    """Every pixel of (N, h, w, ...) `scale` times along both axes."""
    repeat: Any = np.repeat if isinstance(pixels, np.ndarray) else torch.repeat_interleave
    return repeat(repeat(pixels, scale, 1), scale, 2)


class NearestBackend:
    """Enlarges by repeating pixels; out of memory above `most_pixels` a call, where that is given.

    It takes tensors, or arrays of NumPy's where `device` is HOST.
    """

    name = "nearest"
    precision = "exact"
    runtime = "none"
    receptive_radius = 0
    bytes_per_pixel = 100

    def __init__(
        self,
        scale: int = 4,
        limits: SizeLimits | None = None,
        most_pixels: int | None = None,
        device: Device = CPU,
    ) -> None:
        self.scale = scale
        self.device = device
        self.limits = limits or SizeLimits()
        self.calls: list[tuple[int, ...]] = []
        self._most_pixels = most_pixels

    def __call__(self, lr: Array) -> Array:
        """Repeat every pixel of (N, h, w, 3) `scale` times along both axes."""
        assert isinstance(lr, np.ndarray) == isinstance(self.device, Host)
        if self._most_pixels is not None and math.prod(lr.shape[:3]) > self._most_pixels:
            raise OutOfMemory("pretended")
        self.calls.append(tuple(lr.shape))
        return repeated(lr, self.scale)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


def open_nearest(weights: Weights, config: UpscaleConfig, progress: Progress) -> NearestBackend:
    """Open it as `open_backend` would; a name that other processes can import."""
    return NearestBackend(weights.scale)


class PacedBackend(NearestBackend):
    """As slow as a network, so that something can happen to a run in its middle."""

    def __call__(self, lr: Array) -> Array:
        """Repeat pixels, 20 ms for each frame."""
        time.sleep(0.02 * lr.shape[0])
        return super().__call__(lr)


def open_paced(weights: Weights, config: UpscaleConfig, progress: Progress) -> PacedBackend:
    """Open the slow one."""
    return PacedBackend(weights.scale)


class FailingBackend(NearestBackend):
    """Opens well, and fails at every frame."""

    def __call__(self, lr: Array) -> Array:
        """Raises VidsrError."""
        raise VidsrError("too bright")


def open_failing(weights: Weights, config: UpscaleConfig, progress: Progress) -> FailingBackend:
    """Open the one that fails."""
    return FailingBackend(weights.scale)
