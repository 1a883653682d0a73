"""One file of weights: written and read whole, its header alone too.

It is a `.safetensors` whose header holds the generator's configuration (`config`, JSON) beside free
facts about its training, so one file is a whole model.

Files of others (`.safetensors` without that header, `.pth`) are read by the shapes of their tensors,
in the order in which the network uses them, whatever their names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vidsr.errors import WeightsError
from vidsr.models.generator_config import GeneratorConfig

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from vidsr.models.generator import Generator

T = TypeVar("T")


def read_header(path: Path) -> dict[str, str]:
    """The header's free text entries of a `.safetensors` file, without reading its tensors.

    The format: eight bytes of little-endian length, then that much JSON
    (https://github.com/huggingface/safetensors, "Format").
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > 100_000_000:  # the format's own limit
                raise ValueError("header too long")
            header = json.loads(file.read(length))
        metadata = header.get("__metadata__", {})
        return {str(key): str(value) for key, value in metadata.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: not a readable .safetensors file ({error})") from error


def config_of(header: Mapping[str, str], path: Path) -> dict[str, Any]:
    """The generator's configuration that a header holds. Raises WeightsError where it holds none."""
    try:
        config = json.loads(header["config"])
        if not isinstance(config, dict):
            raise TypeError("not an object")
        return config
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path}: its header holds no generator configuration ({error})") from error


def find_config(header: Mapping[str, str], path: Path) -> dict[str, Any]:
    """The same, or of a file of others what the shapes of its tensors say."""
    return config_of(header, path) if "config" in header else _read(path)[0]


def save_weights(
    path: Path,
    generator: Generator,
    *,
    metadata: Mapping[str, str],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a generator as one `.safetensors` file, whole or not at all.

    `metadata` are the free facts for the header (every value a string); the configuration is added.
    `dtype` None means half precision: a rounding of at most 2**-11 of each weight, far below what
    uint8 output shows, for half the size.
    """
    import torch
    from safetensors.torch import save_file

    dtype = dtype or torch.float16
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        if tensor.is_floating_point()
        else tensor.detach().cpu()
        for name, tensor in generator.state_dict().items()
    }
    header = {**metadata, "config": json.dumps(asdict(generator.config))}
    partial = path.with_name(f".{path.name}.partial")
    try:
        save_file(tensors, partial, metadata=header)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise WeightsError(f"{path}: cannot be written ({error.strerror or error})") from error


def read_whole(path: Path) -> tuple[GeneratorConfig, dict[str, NDArray[np.float32]]]:
    """Configuration and fp32 tensors by name, which fit each other. Raises WeightsError otherwise."""
    values, state = _read(path)
    try:
        config = GeneratorConfig(**values)
        shapes, state = _without_counts(config.shapes()), _without_counts(state)
        if odd := shapes.keys() ^ state.keys():
            raise ValueError(f"{min(odd)} is {'missing' if min(odd) in shapes else 'one too many'}")
        for name, shape in shapes.items():
            if state[name].shape != shape:
                raise ValueError(f"{name} is {state[name].shape}, not {shape}")
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path}: its tensors do not fit its configuration ({error})") from error
    return config, state


def _without_counts(named: Mapping[str, T]) -> dict[str, T]:
    """Less how many batches the norms have seen: training's alone, and not in every file."""
    return {name: item for name, item in named.items() if not name.endswith(".num_batches_tracked")}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Configuration and fp32 tensors of any weights file, under the generator's own names."""
    if path.suffix == ".safetensors" and "config" in (header := read_header(path)):
        return config_of(header, path), _read_arrays(path)
    from vidsr.models.paper_weights import adopt

    config, state = adopt(_read_floats(path), path)
    return config, {name: tensor.numpy() for name, tensor in state.items()}


def _read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """The fp32 tensors of a `.safetensors` file; only types that NumPy lacks take PyTorch to read."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except TypeError:  # bfloat16
        return {name: tensor.numpy() for name, tensor in _read_floats(path).items()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged ({error}); fetch or export it again") from error
    return {
        name: array if array.dtype.kind in "iu" else array.astype(np.float32)
        for name, array in arrays.items()
    }


def _read_floats(path: Path) -> dict[str, Tensor]:
    """The fp32 tensors of any weights file, under the names they have there."""
    from vidsr.models.state_dict import read_state_dict

    return {
        name: tensor.detach().float() if tensor.is_floating_point() else tensor
        for name, tensor in read_state_dict(path).items()
    }
