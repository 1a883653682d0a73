"""Both kinds of array that pictures are made of, for the tests of code that takes either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from numpy.typing import NDArray

from vidsr.arrays import HOST, Array, Device, device_of, to_device, to_host


@dataclass(frozen=True)
class Kind:
    """NumPy's arrays or PyTorch's tensors, by where they lie."""

    device: Device

    def of(self, array: NDArray[Any]) -> Array:
        """The same numbers as an array of this kind."""
        return to_device(array, self.device)

    def back(self, array: Array) -> NDArray[Any]:
        """What code made of such arrays, which must be such an array itself, for NumPy to look at."""
        assert device_of(array) == self.device
        return to_host(array)


ARRAYS, TENSORS = Kind(HOST), Kind(torch.device("cpu"))

both_kinds = pytest.mark.parametrize("kind", [ARRAYS, TENSORS], ids=["arrays", "tensors"])
"""Gives a test `kind`, one after the other."""
