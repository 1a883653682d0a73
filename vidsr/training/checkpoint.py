"""A training on disk: everything that a later process needs to go on as if it had never stopped.

The order of the data is no part of it: patches are a function of seed and step alone.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import nn
from torch.optim import Optimizer

from vidsr.errors import TrainingError
from vidsr.models.generator_config import GeneratorConfig
from vidsr.training.gan_step import StageName, TrainState
from vidsr.training.muon import Muon

FORMAT = 1
"""Raised when an older file can no longer be read rightly."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds, read but not yet put in place."""

    path: Path
    stage: StageName
    step: int
    used_s: float
    shape: GeneratorConfig
    settings: Mapping[str, Any]  # whatever the run must not change in mid-course
    journal: dict[str, Any] = field(default_factory=dict)  # curves and best scores so far
    _tensors: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def restore(self, state: TrainState) -> None:
        """Put networks, optimisers, average, step and random state into a state of the same stage."""
        parts = _parts(state)
        if set(parts) != set(self._tensors["parts"]):
            raise TrainingError(
                f"{self.path}: holds {', '.join(sorted(self._tensors['parts']))}, but this run needs "
                f"{', '.join(sorted(parts))}: give another output folder or --restart"
            )
        try:
            for name, part in parts.items():
                part.load_state_dict(self._tensors["parts"][name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(
                f"{self.path}: is of another architecture ({str(error).splitlines()[0]}); "
                "give another output folder or --restart"
            ) from error
        state.step, state.used_s = self.step, self.used_s
        torch.set_rng_state(self._tensors["random"])
        if state.device.type == "cuda" and "random_cuda" in self._tensors:
            torch.cuda.set_rng_state(self._tensors["random_cuda"], state.device)


def save_checkpoint(
    path: Path, state: TrainState, settings: Mapping[str, Any], journal: Mapping[str, Any]
) -> None:
    """Write a checkpoint beside its place, onto the disk itself, then rename it into place.

    `settings` and `journal` are of plain numbers, strings, lists and dicts. A network with a weight that
    is not finite is refused, so the last sound checkpoint is never lost to it.
    """
    for name, part in _parts(state).items():
        if isinstance(part, nn.Module) and not _is_finite(part):
            raise TrainingError(
                f"{path}: not replaced, because the {name} holds numbers that are not finite; start "
                "again with a lower --learning-rate"
            )
    content = {
        "format": FORMAT,
        "stage": state.stage,
        "step": state.step,
        "used_s": state.used_s,
        "shape": asdict(state.generator.config),
        "settings": dict(settings),
        "journal": dict(journal),
        "parts": {name: part.state_dict() for name, part in _parts(state).items()},
        "random": torch.get_rng_state(),
    }
    if state.device.type == "cuda":
        content["random_cuda"] = torch.cuda.get_rng_state(state.device)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise TrainingError(
            f"{path}: cannot be written ({error.strerror or error}); the checkpoint before it is kept"
        ) from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU. Raises TrainingError where it is none, or of another format."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, not {FORMAT}")
        return Checkpoint(
            path=path,
            stage=content["stage"],
            step=content["step"],
            used_s=content["used_s"],
            shape=GeneratorConfig(**content["shape"]),
            settings=content["settings"],
            journal=content["journal"],
            _tensors=content,
        )
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        BadZipFile,
        pickle.UnpicklingError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrainingError(
            f"{path}: not a usable checkpoint ({reason}); give --restart to begin anew"
        ) from error


def _parts(state: TrainState) -> dict[str, nn.Module | Optimizer | torch.amp.GradScaler]:
    """All of a state that has a state_dict, by name."""
    muon = isinstance(state.generator_optimizer, Muon)  # what it holds is of no use to Adam
    parts: dict[str, nn.Module | Optimizer | torch.amp.GradScaler | None] = {
        "generator": state.generator,
        "average": state.average,
        "generator Muon" if muon else "generator optimiser": state.generator_optimizer,
        "discriminator": state.discriminator,
        "discriminator optimiser": state.discriminator_optimizer,
        "scaler": state.scaler,
    }
    return {name: part for name, part in parts.items() if part is not None}


def _is_finite(network: nn.Module) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters())
