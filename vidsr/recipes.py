"""The presets of `vidsr train`: shapes of networks and schedules that go together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Form = Literal["paper", "compact", "unet", "patch"]
"""Of a discriminator: see `vidsr.models.discriminator`."""

AdversarialLoss = Literal["standard", "relativistic"]
"""See `vidsr.training.losses`."""

DegradedDetail = Literal["none", "edges"]
"""What is asked of degraded patches beside the pixel loss: see `vidsr.training.edges`."""

OptimizerName = Literal["adam", "muon"]
"""See `vidsr.training.muon`."""


@dataclass(frozen=True)
class Recipe:
    """What a preset of `vidsr train` stands for: shapes of networks, schedule and losses.

    Lengths of stages are updates of the generator; patches are sides in LR pixels.
    """

    blocks: int
    channels: int
    activation: str
    body: str
    head_kernel: int
    tail_kernel: int
    upsampler: str
    input_skip: bool
    discriminator: Form
    optimizer: OptimizerName  # of the pixel stage; the adversarial one has Adam
    updates: int  # of the pixel stage
    patch: int
    batch: int  # over all processes
    learning_rate: float
    clip_norm: float  # greatest norm of the generator's gradient
    adversarial_updates: int
    adversarial_patch: int
    adversarial_batch: int
    adversarial_learning_rate: float
    # Of the adversarial stage
    degraded_share: float | None  # of patches; None: as in the pixel stage, and all are held against HR
    degraded_detail: DegradedDetail
    pixel_weight: float
    perceptual_layers: tuple[tuple[str, float], ...]  # of VGG, with their weights
    adversarial_loss: AdversarialLoss
    adversarial_weight: float


FOR_PROCESSORS = Recipe(
    blocks=8,
    channels=48,
    activation="leaky_relu",
    body="residual",
    head_kernel=3,
    tail_kernel=3,
    upsampler="single",
    input_skip=True,
    discriminator="patch",
    optimizer="muon",
    updates=20_000,
    patch=32,
    batch=16,
    learning_rate=1e-3,
    clip_norm=0.5,
    adversarial_updates=6000,
    adversarial_patch=32,
    adversarial_batch=16,
    adversarial_learning_rate=2e-4,
    degraded_share=0.5,
    degraded_detail="none",
    pixel_weight=1.0,
    perceptual_layers=(),
    adversarial_loss="relativistic",
    adversarial_weight=0.004,  # at 0.01 it draws patterns into what is smooth
)
"""Nothing is computed at high resolution, and every operation is one that 8 bits are good at. VGG, which
would take most of the time of a processor, is left out."""

PRESETS: dict[str, Recipe] = {
    # Minutes on two cores: proves data and settings, and already beats Lanczos.
    "tiny": replace(
        FOR_PROCESSORS,
        blocks=4,
        channels=32,
        updates=1000,
        patch=24,
        adversarial_updates=100,
        adversarial_patch=24,
        adversarial_batch=4,
    ),
    # An hour on two cores: the shape for real time on a CPU.
    # Plain networks learn less by Muon.
    "fast": replace(
        FOR_PROCESSORS, blocks=10, channels=32, body="plain", optimizer="adam", updates=30_000
    ),
    # Hours on two cores: the best that is still fast there.
    "small": FOR_PROCESSORS,
    # A data-centre GPU: the network of arXiv:1609.04802, at twice its learning rate and patch (48
    # instead of 24) and twice its batch, which modern cards take at the same cost per update.
    "paper": Recipe(
        blocks=16,
        channels=64,
        activation="prelu",
        body="residual",
        head_kernel=9,
        tail_kernel=9,
        upsampler="staged",
        input_skip=False,
        discriminator="paper",
        optimizer="adam",
        updates=150_000,
        patch=48,
        batch=32,
        learning_rate=2e-4,
        clip_norm=1.0,
        adversarial_updates=100_000,
        adversarial_patch=32,
        adversarial_batch=32,
        adversarial_learning_rate=1e-4,
        degraded_share=None,
        degraded_detail="none",
        pixel_weight=0.0,  # the paper has none, ESRGAN 0.01
        perceptual_layers=(("relu5_4", 1.0),),  # the paper's VGG5,4
        adversarial_loss="standard",
        adversarial_weight=1e-3,  # arXiv:1609.04802, equation 3
    ),
}
