"""Weights of generators: the registry that ships with vidsr, and files that a user brings.

Reading the registry takes only the headers of files (see `weights_file`): no torch, no tensors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsr.errors import UsageError, WeightsError
from vidsr.models.weights_file import config_of, find_config, read_header, read_whole
from vidsr.network_name import network_name

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from vidsr.models.generator import Generator
    from vidsr.models.generator_config import GeneratorConfig

SHIPPED = Path(__file__).parent.parent / "weights"
"""Where the shipped files lie, one per model, scale and objective: `<name>_x<scale>_<objective>`."""

OBJECTIVES = ("pixel", "adversarial")
"""What a set was trained for: faithful (pixel loss) or detailed (perceptual and adversarial loss)."""

USUAL_DETAIL = 0.75
"""How much of the adversarial set is blended in where nobody says: on held-out pictures this has about
seven tenths of what that set gains in LPIPS, for half of what it loses in PSNR, or less."""

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
    detail: float | None = None  # how much of the adversarial set, 0 to 1, where the model has two

    @property
    def files(self) -> tuple[Path, ...]:
        """All that they are made of: one set, or the pixel set and the adversarial one."""
        return (self.path,) if self.detailed is None else (self.path, self.detailed)

    @property
    def label(self) -> str:
        """What people know them by: the name, and where the model has two sets the detail."""
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
    return _entry(folder.name, int(config_of(header, folder)["scale"]), files)


def _alone(entry: RegistryEntry, objective: str) -> Weights:
    path = entry.files[objective]
    detail = float(OBJECTIVES.index(objective)) if len(entry.files) == 2 else None
    return Weights(entry.name, path, _digest(path), entry.scale, read_header(path), detail=detail)


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
    scale = int(find_config(header, path)["scale"])
    if scale < factor:
        raise UsageError(f"{model} enlarges by {scale}, not by {factor:g}: take a smaller --scale")
    return Weights(path.stem, path, digest, scale, header)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_tensors(weights: Weights) -> tuple[GeneratorConfig, dict[str, NDArray[np.float32]]]:
    """The configuration of these weights and their tensors by name: fp32, batch norm folded.

    Files with a header of vidsr's are read without PyTorch. Raises WeightsError where the file is
    missing, damaged, or holds something else than its configuration says.
    """
    import numpy as np

    from vidsr.models.folding import folded

    config, state = read_whole(weights.path)
    if weights.detailed is not None and weights.detail is not None:
        other_config, other = read_whole(weights.detailed)
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
