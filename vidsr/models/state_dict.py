"""Tensors out of a file, by name, without running anything that the file says."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vidsr.errors import WeightsError

WRAPPERS = ("params_ema", "generator", "state_dict", "params", "model")
"""Keys under which trainers put the tensors beside other things, the averaged ones first."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of a `.safetensors` or a PyTorch (`.pth`, `.pt`) file, on the CPU.

    dtypes are left as stored. PyTorch files are read with `weights_only=True`, so a pickle that wants
    to run code is refused. Raises WeightsError for a missing, damaged or foreign file.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; check the path")
    try:
        if path.suffix == ".safetensors":
            return load_file(path, device="cpu")
        tensors: object = torch.load(path, map_location="cpu", weights_only=True)
    # A file that is no PyTorch file ends, by its first bytes, in any of these.
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError, OSError) as error:
        raise WeightsError(
            f"{path}: not readable as weights (damaged or of another kind); fetch or export it again"
        ) from error
    for key in WRAPPERS:
        if isinstance(tensors, Mapping) and isinstance(tensors.get(key), Mapping):
            tensors = tensors[key]
            break
    if not isinstance(tensors, Mapping) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise WeightsError(f"{path}: holds more than named tensors; save its state dict alone")
    return {str(name): tensor for name, tensor in tensors.items()}
