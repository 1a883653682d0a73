"""Everything that `vidsr train` and its benchmark can be asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from vidsr.errors import UsageError
from vidsr.recipes import PRESETS, AdversarialLoss, DegradedDetail, Form, OptimizerName, Recipe

Precision = Literal["auto", "fp16", "bf16", "fp32"]
Degradation = Literal["bicubic", "video"]
Stage = Literal["both", "pixel", "adversarial"]
Preset = Literal["tiny", "fast", "small", "paper"]


@dataclass(frozen=True)
class TrainConfig:
    """Everything that `vidsr train` can be asked for. None takes the preset's value."""

    videos: Path  # a folder, searched to its depths, or one file: videos and pictures
    output: Path  # folder of the run: weights, checkpoint, report
    scale: int = 4  # 2 or 4
    preset: Preset = "small"
    stage: Stage = "both"
    init: str | None = None  # a registered model or weights file to begin from; its shape is kept
    grow: bool = False  # or becomes the preset's, with the same output to begin with
    restart: bool = False  # throw the run's checkpoint away and begin anew

    # Data
    validation: Path | None = None  # folder or file; None holds out a share of the files
    validation_share: float = 0.1  # of the files, one at least where there are two
    cache: Path | None = None  # folder of decoded pictures, shared between runs; None: in output
    degradation: Degradation = "video"
    versions: int = 4  # LR versions of a frame; the first is clean, the others are degraded
    clean_share: float = 0.5  # of patches that come from the clean version, degradation "video"
    # The same the other way round, in the adversarial stage, and what detail is asked of the degraded:
    # a network that is asked for what compression took answers with a pattern.
    degraded_share: float | None = None
    degraded_detail: DegradedDetail | None = None
    clips_per_file: int = 32  # short runs of frames taken from a video, at most
    clip_frames: int = 5  # consecutive frames of a clip
    crop: int = 512  # side of the textured window kept of a clip, HR pixels
    shrink: float = 1.0  # reduce the source by this factor first: hides its own compression
    flat_share: float = 0.15  # of patches without texture that are taken all the same

    # Networks and schedule
    blocks: int | None = None
    channels: int | None = None
    activation: Literal["prelu", "relu", "leaky_relu"] | None = None
    body: Literal["residual", "plain"] | None = None  # blocks of two convolutions, or single ones
    discriminator: Form | None = None
    optimizer: OptimizerName | None = None  # of the pixel stage; the adversarial one has Adam
    # 0, where --grow: the network is written in the larger form as it is.
    updates: int | None = None  # of the pixel stage
    adversarial_updates: int | None = None
    hours: float | None = None  # wall time of training; the schedule is fitted to it, not to updates
    adversarial_share: float = 0.4  # of the hours, where both stages run
    patch: int | None = None  # side in LR pixels, both stages
    batch: int | None = None  # patches an update over all processes, both stages
    learning_rate: float | None = None  # of both stages
    schedule: Literal["cosine", "step"] = "cosine"
    warm_up: int = 200  # updates until the full learning rate, each stage
    average: float = 0.999  # decay of the averaged weights
    accumulate: int = 1  # parts an update is computed in, to fit large batches into memory

    # Losses
    pixel_loss: Literal["l1", "charbonnier", "mse"] = "l1"
    pixel_weight: float | None = None  # in the adversarial stage
    vgg_weights: Path | None = None  # None: torch.hub's VGG-19
    # "conv": before, "relu": after activation; none: VGG is not needed.
    perceptual_layers: tuple[tuple[str, float], ...] | None = None
    adversarial_loss: AdversarialLoss | None = None
    adversarial_weight: float | None = None
    label_smoothing: float = 0.0  # the discriminator's target for real pictures is 1 minus this
    variation_weight: float = 0.0  # total variation

    # Machine
    device: str = "auto"  # "auto", "cpu", "cuda"
    precision: Precision = "auto"  # auto: bf16 or fp16 on CUDA; the faster of bf16, fp32 on a CPU
    compile: bool = False  # torch.compile of the generator
    workers: int = 2  # processes that cut patches, only where the data does not fit the device
    threads: int = 0  # of the CPU, for training; 0: as torch decides
    seed: int = 0

    # What is seen of it
    validate_every: int = 500  # updates
    checkpoint_every_s: float = 120.0  # seconds
    log_every: int = 10  # updates between two reports of losses
    validation_crops: int = 24  # held-out pictures
    lpips_weights: tuple[Path, Path] | None = None  # AlexNet's features and the LPIPS heads
    tensorboard: bool = True  # where the package is installed

    def __post_init__(self) -> None:
        if self.scale not in (2, 4):
            raise UsageError(f"--scale must be 2 or 4 for training, not {self.scale}")
        if self.preset not in PRESETS:
            raise UsageError(f"--preset must be one of {', '.join(PRESETS)}, not {self.preset!r}")
        for name in ("blocks", "channels", "updates", "adversarial_updates", "batch", "versions"):
            value = getattr(self, name)
            least = 0 if self.grow and name.endswith("updates") else 1
            if value is not None and value < least:
                raise UsageError(f"--{name.replace('_', '-')} must be at least {least}, not {value}")
        if self.degradation == "video" and self.versions < 2:
            raise UsageError("--versions must be at least 2 with --degradation video: one is clean")
        for name in ("clips_per_file", "clip_frames", "accumulate", "validate_every", "log_every"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}"
                )
        if self.grow and self.init is None:
            raise UsageError("--grow makes a given network larger: give it with --init")
        if self.stage == "adversarial" and self.init is None:
            raise UsageError("--stage adversarial continues a generator: give it with --init")
        if self.patch is not None and self.patch < 8:
            raise UsageError(f"--patch must be at least 8 LR pixels, not {self.patch}")
        if self.crop < 16 * self.scale:
            raise UsageError(f"--crop must be at least {16 * self.scale} pixels, not {self.crop}")
        if not 1 <= self.shrink <= 16:
            raise UsageError(f"--shrink must be from 1 to 16, not {self.shrink:g}")
        for name in ("clean_share", "flat_share", "adversarial_share", "label_smoothing", "average"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"--{name.replace('_', '-')} must be from 0 to 1")
        if not 0 <= self.validation_share < 1:
            raise UsageError("--validation-share must be at least 0 and below 1")
        if self.hours is not None and self.hours <= 0:
            raise UsageError(f"--hours must be above 0, not {self.hours:g}")
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise UsageError(f"--learning-rate must be above 0 and below 1, not {self.learning_rate:g}")
        for name in ("pixel_weight", "adversarial_weight", "variation_weight"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UsageError(f"--{name.replace('_', '-')} must not be negative")
        if self.degraded_share is not None and not 0 <= self.degraded_share < 1:
            raise UsageError("--degraded-share must be at least 0 and below 1")
        degraded = self.degradation == "video" and self.recipe.degraded_share is not None
        if self.recipe.degraded_detail == "edges" and not degraded:
            raise UsageError("--degraded-detail edges needs --degraded-share and --degradation video")

    @property
    def recipe(self) -> Recipe:
        """The preset with what was asked for in its place."""
        asked: dict[str, Any] = {
            "blocks": self.blocks,
            "channels": self.channels,
            "activation": self.activation,
            "body": self.body,
            "discriminator": self.discriminator,
            "optimizer": self.optimizer,
            "degraded_share": self.degraded_share,
            "degraded_detail": self.degraded_detail,
            "pixel_weight": self.pixel_weight,
            "perceptual_layers": self.perceptual_layers,
            "adversarial_loss": self.adversarial_loss,
            "adversarial_weight": self.adversarial_weight,
            "updates": self.updates,
            "adversarial_updates": self.adversarial_updates,
            "patch": self.patch,
            "adversarial_patch": self.patch,
            "batch": self.batch,
            "adversarial_batch": self.batch,
            "learning_rate": self.learning_rate,
            "adversarial_learning_rate": self.learning_rate,
        }
        return replace(PRESETS[self.preset], **{k: v for k, v in asked.items() if v is not None})


@dataclass(frozen=True)
class TrainingBenchmarkConfig:
    """Everything that `vidsr benchmark --train` can be asked for; it measures the pixel stage."""

    preset: Preset = "small"
    scale: int = 4  # 2 or 4
    updates: int = 30  # that are measured
    warm_up: int = 5  # updates before them: kernels are built, buffers made, algorithms chosen
    patch: int | None = None  # side in LR pixels; None: the preset's
    batch: int | None = None  # patches an update; None: the preset's
    device: str = "auto"  # "auto", "cpu", "cuda"
    precision: Precision = "auto"  # as for training
    compile: bool = False  # torch.compile of the generator
    threads: int = 0  # of the CPU; 0: as torch decides
    seed: int = 0

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UsageError(f"--threads must not be negative, not {self.threads}")
        if self.warm_up < 1:
            raise UsageError(f"at least one update must warm up, not {self.warm_up}")
        if self.updates < 1:
            raise UsageError(f"--updates must be at least 1, not {self.updates}")
        _ = self.training  # the rest is refused there

    @property
    def training(self) -> TrainConfig:
        """The training whose updates are measured; its folders are not looked at."""
        return TrainConfig(
            videos=Path(),
            output=Path(),
            scale=self.scale,
            preset=self.preset,
            stage="pixel",
            updates=self.warm_up + self.updates,
            patch=self.patch,
            batch=self.batch,
            device=self.device,
            precision=self.precision,
            compile=self.compile,
            threads=self.threads,
            seed=self.seed,
        )
