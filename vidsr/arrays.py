"""What NumPy's arrays and PyTorch's tensors spell differently, for arithmetic that is written once.

On the host, frames are NumPy's arrays: PyTorch takes a second and 200 MB to load, and has nothing to do
where OpenVINO computes. Where PyTorch computes, they are its tensors. Operators, slices and the
functions of `namespace` are the same for both; what is not, is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeGuard

import numpy as np

if TYPE_CHECKING:
    import torch

Array: TypeAlias = Any
"""An array of NumPy's or a tensor of PyTorch's: type checkers have no word for "the same on both
sides"."""

DType = Literal["uint8", "uint16", "float32"]
"""What samples and pixels are made of, by the name that both libraries give it."""


@dataclass(frozen=True)
class Host:
    """The processor, by way of NumPy's arrays; stands where a `torch.device` stands else."""

    type: str = "cpu"


HOST = Host()

Device: TypeAlias = "torch.device | Host"


def is_card(device: Device) -> TypeGuard[torch.device]:
    """Whether a device is a GPU of PyTorch's."""
    return device.type == "cuda"


def namespace(array: Array) -> Any:
    """The module, numpy or torch, of functions that both have: add, multiply, clip, concatenate, ..."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def device_of(array: Array) -> Device:
    """Where an array lies."""
    return HOST if isinstance(array, np.ndarray) else array.device


def dtype_of(array: Array) -> str:
    """The name of what an array is made of: "uint8", "float32", ..."""
    return str(array.dtype).removeprefix("torch.")


def is_floating(array: Array) -> bool:
    """Whether an array is made of numbers with a fraction."""
    return "float" in dtype_of(array)


def empty(shape: Sequence[int], dtype: str, device: Device) -> Array:
    """Room for an array; what is in it is undefined."""
    if isinstance(device, Host):
        return np.empty(tuple(shape), dtype)
    import torch

    return torch.empty(tuple(shape), dtype=getattr(torch, dtype), device=device)


def cast(array: Array, dtype: str) -> Array:
    """The same numbers as another type, the array itself where it has that already."""
    if isinstance(array, np.ndarray):
        return array.astype(dtype, copy=False)
    import torch

    return array.to(getattr(torch, dtype))


def floats(array: Array) -> Array:
    """A float32 copy that is dense and that the caller may overwrite."""
    if isinstance(array, np.ndarray):
        return array.astype(np.float32, order="C")
    import torch

    if array.dtype == torch.uint8:
        # Gathering bytes first and converting them then is faster than both in one pass.
        array = array.contiguous()
    return array.to(torch.float32, memory_format=torch.contiguous_format, copy=True)


def add_scaled(array: Array, other: Array, factor: float) -> Array:
    """array + factor * other, as a new array."""
    if isinstance(array, np.ndarray):
        scaled = other * array.dtype.type(factor)
        return np.add(array, scaled, out=scaled)
    return array.add(other, alpha=factor)


def accumulate(array: Array, other: Array, factor: float) -> None:
    """Add factor * other to floats, in their place."""
    if isinstance(array, np.ndarray):
        array += other * array.dtype.type(factor)
    else:
        array.add_(other, alpha=factor)


def store_floored(values: Array, out: Array) -> None:
    """Write floats of at least 0 to an array of integers that can hold them; fractions are cut off."""
    if isinstance(values, np.ndarray):
        np.copyto(out, values, casting="unsafe")
        return
    import torch

    # PyTorch converts floats to integers of their own size, or half of it, in vectors, but to bytes
    # one by one: on a CPU the way around is three times as fast.
    out.copy_(values.to(torch.int16 if out.dtype == torch.uint8 else torch.int32))


def dense(array: Array) -> Array:
    """The same array with its last axis, then the one before, ... side by side in memory."""
    return np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array.contiguous()


def equal(one: Array, other: Array) -> bool:
    """Whether two arrays of one kind have the same shape and the same numbers."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    import torch

    return torch.equal(one, other)


def copy(array: Array) -> Array:
    """Another array with the same numbers."""
    return array.copy() if isinstance(array, np.ndarray) else array.clone()


def writing(array: Array) -> AbstractContextManager[object]:
    """Within it an array may be changed that came out of a network: PyTorch's cannot be elsewhere."""
    if isinstance(array, np.ndarray):
        return nullcontext()
    import torch

    return torch.inference_mode()


def to_host(array: Array) -> np.ndarray[Any, Any]:
    """The same numbers as an array of NumPy's; the same memory where that is the host's."""
    if isinstance(array, np.ndarray):
        return array
    here: np.ndarray[Any, Any] = array.cpu().numpy()
    return here


def to_device(array: np.ndarray[Any, Any], device: Device) -> Array:
    """The same numbers on a device; the same memory where that is the host's."""
    if isinstance(device, Host):
        return array
    import torch

    return torch.from_numpy(array).to(device)
