"""The folder of one training: its checkpoint, its weights, its report."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidsr.cores import threads
from vidsr.distributed import World
from vidsr.errors import TrainingError
from vidsr.models.weights_file import save_weights
from vidsr.train_config import TrainConfig
from vidsr.training.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from vidsr.training.gan_step import TrainState
from vidsr.training.journal import Journal
from vidsr.training.report import render_report

MAY_CHANGE = frozenset(
    [
        *("videos", "output", "validation", "cache", "restart"),
        *("updates", "adversarial_updates", "hours", "checkpoint_every_s", "log_every"),
        *("device", "compile", "workers", "threads", "tensorboard"),
        *("vgg_weights", "validate_every", "validation_crops", "lpips_weights"),
    ]
)
"""Settings that a resumed run may have otherwise than the one it goes on from."""


@dataclass(frozen=True)
class TrainReport:
    """What came of a training."""

    output: Path
    weights: Path  # of the last stage: what `vidsr upscale --model` takes
    stages: Mapping[str, Mapping[str, float]]  # by name: updates, seconds, patches
    scores: Mapping[str, float]  # of the averaged weights on held-out files; empty where there are none
    baselines: Mapping[str, float]  # of bicubic and Lanczos on the same
    best: Mapping[str, float]  # the best scores on the way

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = dataclasses.asdict(self)
        return {**plain, "output": str(self.output), "weights": str(self.weights)}

    def summary(self) -> str:
        """A few lines for a person."""
        stages = ", ".join(
            f"{name} {stage['updates']:.0f} updates in {stage['seconds'] / 60:.1f} min"
            for name, stage in self.stages.items()
        )
        lines = [f"{self.weights}: {stages}"]
        if self.scores:
            numbers = {**self.scores, **self.baselines}
            lines.append("held-out files: " + ", ".join(f"{k} {v:.4g}" for k, v in numbers.items()))
        lines.append(
            f"use it: vidsr upscale --model {self.output} IN OUT; see {self.output}/report.html"
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its files; only the first process of a world writes."""

    config: TrainConfig
    world: World

    @property
    def checkpoint(self) -> Path:
        """The one checkpoint of the run, replaced as it goes on."""
        return self.config.output / "checkpoint.pt"

    @property
    def weights(self) -> Path:
        """The result."""
        return self.config.output / "weights.safetensors"

    def make(self) -> None:
        """Create the folder, where it is not there."""
        try:
            self.config.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise TrainingError(f"{self.config.output}: cannot be made ({reason})") from error

    def unfinished(self) -> Checkpoint | None:
        """The checkpoint to go on from; None at a beginning.

        Raises TrainingError where it belongs to a run with other settings.
        """
        if self.config.restart and self.world.leads:
            self.checkpoint.unlink(missing_ok=True)
        self.world.wait()
        if not self.checkpoint.exists():
            return None
        kept = read_checkpoint(self.checkpoint)
        ours = self.settings()
        # A setting that came with a later version was then what is its default now.
        theirs = {name: kept.settings.get(name, default) for name, default in _defaults().items()}
        changed = [name for name in ours if ours[name] != theirs[name]]
        if changed:
            details = ", ".join(f"{name} was {theirs[name]}" for name in changed)
            raise TrainingError(
                f"{self.checkpoint}: belongs to a run with other settings ({details}); repeat those to "
                "go on, or give --restart to begin anew"
            )
        return kept

    def settings(self) -> dict[str, Any]:
        """What must stay the same over a run, as plain values."""
        return _plain({f.name: getattr(self.config, f.name) for f in dataclasses.fields(TrainConfig)})

    def _published(self) -> dict[str, Any]:
        """The settings as others may see them: weights are handed on, folders are not for them."""
        settings = self.settings()
        return {**settings, "init": Path(settings["init"]).name}

    def save(self, state: TrainState, journal: Journal) -> None:
        """Replace the checkpoint."""
        if self.world.leads:
            save_checkpoint(self.checkpoint, state, self.settings(), journal.to_plain())

    def save_average(
        self, name: str, state: TrainState, journal: Journal, scores: Mapping[str, float], data: str
    ) -> None:
        """Write the averaged weights as `<name>.safetensors`, with what made them in the header."""
        if not self.world.leads:
            return
        config = self.config
        under_way = {"updates": state.step, "seconds": round(state.used_s, 1)}
        video = config.degradation == "video"
        save_weights(
            config.output / f"{name}.safetensors",
            state.average,
            metadata={
                "trained_for": "compressed video" if video else "clean bicubic input",
                "objective": state.stage,
                "degradation": config.degradation,
                "data": data,
                "stages": json.dumps({state.stage: under_way, **journal.finished}),
                "scores": json.dumps(dict(scores)),
                "baselines": json.dumps(journal.baselines),
                "settings": json.dumps(self._published()),
                "hardware": hardware(state.device),
            },
        )

    def finish(
        self,
        state: TrainState,
        journal: Journal,
        scores: Mapping[str, float],
        strips: list[Tensor],
        data: str,
    ) -> TrainReport:
        """Write the result and the page about it."""
        self.save_average("weights", state, journal, scores, data)
        config = self.config
        title = f"Training on {config.videos.name}, x{config.scale}"
        about = {"data": data, "hardware": hardware(state.device), **self.settings()}
        page = render_report(title, journal, about, scores, strips)
        partial = config.output / ".report.html.partial"
        if self.world.leads:
            try:
                partial.write_text(page, encoding="utf-8")
                partial.replace(config.output / "report.html")
            except OSError as error:
                raise TrainingError(
                    f"{config.output}: the report cannot be written ({error.strerror or error}); "
                    f"the weights are whole, in {self.weights.name}"
                ) from error
        return TrainReport(
            output=config.output,
            weights=self.weights,
            stages=dict(journal.finished),
            scores=dict(scores),
            baselines=dict(journal.baselines),
            best=dict(journal.best),
        )


def hardware(device: torch.device) -> str:
    """What computes, in a few words."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.processor() or platform.machine()}, {threads()} threads"


def _defaults() -> dict[str, Any]:
    return _plain({field.name: field.default for field in dataclasses.fields(TrainConfig)})


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a resumed run must have, as a checkpoint holds them."""
    return {
        name: value if isinstance(value, (bool, int, float, str)) else str(value)
        for name, value in values.items()
        if name not in MAY_CHANGE
    }
