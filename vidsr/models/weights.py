"""Weights of generators: the registry that ships with vidsr, and files that a user brings.

A weights file is a `.safetensors` whose header holds the generator's configuration (`config`, JSON)
beside free facts about its training, so one file is a whole model. Reading the registry takes only
those headers: no torch, no tensors.

Files of others (`.safetensors` without that header, `.pth`) are read by the shapes of their tensors,
in the order in which the network uses them, whatever their names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vidsr.errors import UsageError, WeightsError
from vidsr.models.generator_config import GeneratorConfig
from vidsr.network_name import network_name

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from vidsr.models.generator import Generator

T = TypeVar("T")

SHIPPED = Path(__file__).parent.parent / "weights"
"""Where the shipped files lie, one per model, scale and objective: `<name>_x<scale>_<objective>`."""

OBJECTIVES = ("pixel", "adversarial")
"""What a set was trained for: faithful (pixel loss) or detailed (perceptual and adversarial loss)."""

USUAL_DETAIL = 0.75
"""How much of the adversarial set is blended in where nobody says: on held-out pictures this has seven to
nine tenths of what that set gains in LPIPS, for less than half of what it loses in PSNR."""

PREFERRED = {"cuda": ("srgan", "srgan-lite", "srgan-fast"), "cpu": ("srgan-lite", "srgan-fast", "srgan")}
"""What `--model auto` takes on a kind of device: the first that is shipped, and is not too slow."""

FAST = "srgan-fast"
"""What `--fast` asks for."""


@dataclass(frozen=True)
class Weights:
    """Entry of the registry, or a file the user gave."""

    name: str
    path: Path
    sha256: str  # of all that the weights are made of: the file, or both files and the detail
    scale: int
    header: Mapping[str, str] = field(default_factory=dict, compare=False)  # free facts of training
    detailed: Path | None = None  # the adversarial set, where the two are blended
    detail: float | None = None  # of a blend, between 0 and 1: how much of the adversarial set

    @property
    def files(self) -> tuple[Path, ...]:
        """All that they are made of: one set, or the pixel set and the adversarial one."""
        return (self.path,) if self.detailed is None else (self.path, self.detailed)

    @property
    def label(self) -> str:
        """What people know them by: the name, and of a blend its detail."""
        return network_name(self.name, self.detail)

    @property
    def title(self) -> str:
        """The same with the factor."""
        return network_name(self.name, self.detail, self.scale)

    def to_json(self) -> dict[str, Any]:
        """What a report says of them."""
        return {
            "name": self.name,
            "files": [str(path) for path in self.files],
            "sha256": self.sha256,
            "scale": self.scale,
            "detail": self.detail,
        }


@dataclass(frozen=True)
class RegistryEntry:
    """One shipped model at one scale."""

    name: str
    scale: int
    files: Mapping[str, Path]  # by objective, in the order of OBJECTIVES
    header: Mapping[str, str]  # of the pixel set, else of the adversarial one

    def to_json(self) -> dict[str, Any]:
        """What `vidsr models --json` says."""
        return {
            "name": self.name,
            "scale": self.scale,
            "sets": {objective: path.name for objective, path in self.files.items()},
            **self.header,
        }


def registry() -> tuple[RegistryEntry, ...]:
    """All shipped models, by name and scale."""
    found: dict[tuple[str, int], dict[str, Path]] = {}
    for path in sorted(SHIPPED.glob("*.safetensors")):
        name, scale, objective = path.stem.rsplit("_", 2)
        found.setdefault((name, int(scale.removeprefix("x"))), {})[objective] = path
    return tuple(_entry(name, scale, files) for (name, scale), files in sorted(found.items()))


def _entry(name: str, scale: int, files: Mapping[str, Path]) -> RegistryEntry:
    ordered = {objective: files[objective] for objective in OBJECTIVES if objective in files}
    return RegistryEntry(name, scale, ordered, read_header(next(iter(ordered.values()))))


def model_card(name: str) -> str:
    """The card of a shipped model: data, recipe, length of training, scores, weaknesses; Markdown."""
    path = SHIPPED / f"{name}.md"
    if not path.is_file():
        raise UsageError(f"no model is named {name!r}: take one of {', '.join(_names())}")
    return path.read_text(encoding="utf-8")


def _names() -> list[str]:
    return list(dict.fromkeys(entry.name for entry in registry()))


def preferred_models(device_type: str) -> list[str]:
    """The shipped models that `--model auto` chooses from on "cuda" or "cpu", the best of them first."""
    shipped = {entry.name for entry in registry()}
    found = [name for name in PREFERRED[device_type] if name in shipped]
    if not found:
        raise WeightsError(f"no weights in {SHIPPED}: the installation is damaged, install vidsr again")
    return found


def default_model(device_type: str) -> str:
    """The best shipped model for "cuda" or "cpu", however long it takes."""
    return preferred_models(device_type)[0]


def find_weights(model: str, factor: float, *, detail: float | None = None) -> Weights:
    """The weights of a registered name, a file or a training's folder, to enlarge by at least `factor`.

    Of a registered model the smallest native scale that reaches `factor` is taken. `detail` blends the
    pixel (0) and the adversarial set (1); at either end that set is enough. None blends by USUAL_DETAIL
    where there are both, and takes the only set where there is one. Raises WeightsError where the file
    is missing or unusable, UsageError where the name is unknown or the scale or detail cannot be had.
    """
    entry = _find_entry(model, factor)
    if entry is None:
        return _find_file(model, factor, detail)
    if detail is None:
        detail = USUAL_DETAIL if len(entry.files) == 2 else float("pixel" not in entry.files)
    for objective, part in zip(OBJECTIVES, (1 - detail, detail), strict=True):
        if part > 0 and objective not in entry.files:
            raise UsageError(
                f"--detail {detail:g} needs the {objective} set of weights, and {entry.name} "
                f"x{entry.scale} has none: --detail {float(objective == 'pixel'):g} does without"
            )
    if detail in (0, 1):
        return _alone(entry, OBJECTIVES[int(detail)])
    pixel, adversarial = entry.files.values()
    digest = digest_of_blend(_digest(pixel), _digest(adversarial), detail)
    return Weights(entry.name, pixel, digest, entry.scale, entry.header, adversarial, detail)


def find_sets(model: str, factor: float) -> tuple[Weights, ...]:
    """Every set of a model alone, the pixel set first; of a weights file that one.

    Chosen as by `find_weights`, and raises as it does.
    """
    entry = _find_entry(model, factor)
    if entry is None:
        return (_find_file(model, factor, None),)
    return tuple(_alone(entry, objective) for objective in entry.files)


def digest_of_blend(pixel_sha256: str, adversarial_sha256: str, detail: float) -> str:
    """What tells a blend from every other: the digests of its sets, and how they are blended."""
    return hashlib.sha256(f"{pixel_sha256} {adversarial_sha256} {detail!r}".encode()).hexdigest()


def _find_entry(model: str, factor: float) -> RegistryEntry | None:
    """The sets of a registered model, or in the folder of a training; None for any other name."""
    entries = [entry for entry in registry() if entry.name == model]
    if not entries and Path(model).is_dir():
        entries = [_run_entry(Path(model))]
    if not entries:
        return None
    fitting = [entry for entry in entries if entry.scale >= factor]
    if not fitting:
        raise UsageError(
            f"{entries[0].name} enlarges by {entries[-1].scale} at most, not by {factor:g}: "
            "take a smaller --scale"
        )
    return fitting[0]


def _run_entry(folder: Path) -> RegistryEntry:
    """The sets in the folder of a training."""
    paths = {objective: folder / f"{objective}.safetensors" for objective in OBJECTIVES}
    files = {objective: path for objective, path in paths.items() if path.is_file()}
    if not files:
        raise WeightsError(
            f"{folder}: holds no weights of a training (pixel or adversarial.safetensors)"
        )
    header = read_header(next(iter(files.values())))
    return _entry(folder.name, int(_config_of(header, folder)["scale"]), files)


def _alone(entry: RegistryEntry, objective: str) -> Weights:
    path = entry.files[objective]
    return Weights(entry.name, path, _digest(path), entry.scale, read_header(path))


def _find_file(model: str, factor: float, detail: float | None) -> Weights:
    path = Path(model)
    if not path.suffix and not path.exists():
        raise UsageError(
            f"no model is named {model!r}: take one of {', '.join(_names())}, or a weights file"
        )
    if detail is not None:
        raise UsageError(
            f"--detail needs two sets of weights, and {model} is one file: give a shipped model, or the "
            "folder of a training with both stages"
        )
    if not path.is_file():
        raise WeightsError(f"{model}: no such weights file")
    digest = _digest(path)
    header = read_header(path) if path.suffix == ".safetensors" else {}
    config = _config_of(header, path) if "config" in header else _read(path)[0]
    scale = int(config["scale"])
    if scale < factor:
        raise UsageError(f"{model} enlarges by {scale}, not by {factor:g}: take a smaller --scale")
    return Weights(path.stem, path, digest, scale, header)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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


def _config_of(header: Mapping[str, str], path: Path) -> dict[str, Any]:
    try:
        config = json.loads(header["config"])
        if not isinstance(config, dict):
            raise TypeError("not an object")
        return config
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path}: its header holds no generator configuration ({error})") from error


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


def load_tensors(weights: Weights) -> tuple[GeneratorConfig, dict[str, NDArray[np.float32]]]:
    """The configuration of these weights and their tensors by name: fp32, batch norm folded.

    Files with a header of vidsr's are read without PyTorch. Raises WeightsError where the file is
    missing, damaged, or holds something else than its configuration says.
    """
    import numpy as np

    from vidsr.models.folding import folded

    config, state = _read_whole(weights.path)
    if weights.detailed is not None and weights.detail is not None:
        other_config, other = _read_whole(weights.detailed)
        if other_config != config:
            raise WeightsError(f"{weights.detailed}: differs in shape from {weights.path}")
        # Network interpolation, X. Wang et al., ESRGAN, ECCVW 2018 (arXiv:1809.00219), section 3.4.
        part = np.float32(weights.detail)
        state = {name: state[name] * (1 - part) + other[name] * part for name in state}
    return folded(config, state)


def load_generator(weights: Weights, device: torch.device) -> Generator:
    """The generator of these weights on a device: fp32, evaluation mode, batch norm folded."""
    import torch

    from vidsr.models.generator import Generator

    config, state = load_tensors(weights)
    generator = Generator(config)
    generator.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in state.items()})
    return generator.eval().requires_grad_(False).to(device)


def _read_whole(path: Path) -> tuple[GeneratorConfig, dict[str, NDArray[np.float32]]]:
    """Configuration and tensors of a weights file, which fit each other."""
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
        return _config_of(header, path), _read_arrays(path)
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
