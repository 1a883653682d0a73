"""The networks, optimisers and losses that a stage of training begins with."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from vidsr.distributed import World
from vidsr.errors import TrainingError, UsageError, VidsrError
from vidsr.models.discriminator import RealAndMade, make_discriminator
from vidsr.models.generator import Generator, ResidualBlock
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.vgg import load_vgg
from vidsr.models.weights import find_sets, load_generator
from vidsr.train_config import TrainConfig
from vidsr.training.gan_step import StageName, TrainState, make_scaler
from vidsr.training.growth import grow
from vidsr.training.losses import PIXEL_LOSSES, Losses
from vidsr.training.muon import BETAS, Muon
from vidsr.training.precision import to_channels_last
from vidsr.training.schedule import Schedule

QUIET = 0.1
"""What the last convolution of each residual branch is multiplied by at the start, after X. Wang et
al., ESRGAN (arXiv:1809.00219), section 3.2: without batch norm, sums of many branches begin too loud."""


def new_generator(config: TrainConfig) -> Generator:
    """The generator that training begins from: that of `--init`, as it is or grown, else a fresh one.

    Of a model with two sets the pixel set is taken: what it learned leaves both stages open.
    """
    if config.init is None:
        return _fresh_generator(config)
    given = load_generator(find_sets(config.init, config.scale)[0], torch.device("cpu"))
    if given.config.scale != config.scale:
        raise UsageError(
            f"{config.init} enlarges by {given.config.scale}, but --scale is {config.scale}"
        )
    if not config.grow:
        return given.requires_grad_(True).train()
    large = _fresh_generator(config)
    grow(given, large)
    return large


def init_digest(config: TrainConfig) -> str:
    """SHA-256 of the weights that `--init` names now; empty where it names none, or none any more."""
    if config.init is None:
        return ""
    try:
        return find_sets(config.init, config.scale)[0].sha256
    except VidsrError:  # a run that goes on does not need them
        return ""


def _fresh_generator(config: TrainConfig) -> Generator:
    """A generator that knows nothing, of the shape that preset and options ask for."""
    recipe = config.recipe
    shape: dict[str, Any] = {
        "blocks": recipe.blocks,
        "channels": recipe.channels,
        "activation": recipe.activation,
        "body": recipe.body,
        "head_kernel": recipe.head_kernel,
        "tail_kernel": recipe.tail_kernel,
        "upsampler": recipe.upsampler,
        "input_skip": recipe.input_skip,
    }
    torch.manual_seed(config.seed)
    generator = Generator(GeneratorConfig(scale=config.scale, **shape))
    with torch.no_grad():
        generator.tail.weight.mul_(QUIET)
        for block in generator.body:
            if isinstance(block, ResidualBlock):
                block.conv2.weight.mul_(QUIET)
    return generator


def begin_stage(
    stage: StageName,
    generator: Generator,
    config: TrainConfig,
    dtype: torch.dtype,
    device: torch.device,
    world: World,
) -> TrainState:
    """A stage at step 0: networks on the device, in channels-last layout, shared between processes."""
    recipe = config.recipe
    generator = generator.to(device)
    to_channels_last(generator)
    make = _muon if stage == "pixel" and recipe.optimizer == "muon" else _adam
    state = TrainState(
        stage=stage,
        generator=generator,
        average=copy.deepcopy(generator).eval().requires_grad_(False),
        generator_optimizer=make(generator, schedule_of(stage, config).learning_rate),
        generate=_callable(_shared(generator, device, world), config.compile),
        scaler=make_scaler(device, dtype),
        dtype=dtype,
        accumulate=config.accumulate,
        clip_norm=recipe.clip_norm,
    )
    if stage == "adversarial":
        torch.manual_seed(config.seed + 1)
        discriminator: nn.Module = make_discriminator(recipe.discriminator).to(device)
        if world.size > 1 and device.type == "cuda":
            # The batch's statistics are then those of all processes.
            convert: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
            discriminator = convert(discriminator)
        to_channels_last(discriminator)
        state.discriminator = discriminator
        state.discriminator_optimizer = _adam(discriminator, recipe.adversarial_learning_rate)
        judge: Callable[..., Any] = _shared(RealAndMade(discriminator), device, world)
        state.judge = judge
    return state


def schedule_of(stage: StageName, config: TrainConfig) -> Schedule:
    """Length and learning rate of a stage; hours, where given, are shared by the stages that run."""
    recipe = config.recipe
    adversarial = stage == "adversarial"
    seconds: float | None = None
    if config.hours is not None:
        share = 1.0
        if config.stage == "both":
            share = config.adversarial_share if adversarial else 1 - config.adversarial_share
        seconds = 3600 * config.hours * share
    updates = recipe.adversarial_updates if adversarial else recipe.updates
    return Schedule(
        learning_rate=recipe.adversarial_learning_rate if adversarial else recipe.learning_rate,
        warm_up=config.warm_up,
        updates=updates if seconds is None else None,
        seconds=seconds,
        kind=config.schedule,
    )


def losses_of(stage: StageName, config: TrainConfig, device: torch.device) -> Losses:
    """What a stage minimises; VGG is loaded for the adversarial stage alone, and there if it counts."""
    pixel = PIXEL_LOSSES[config.pixel_loss]
    if stage == "pixel":
        return Losses(pixel=pixel, variation_weight=config.variation_weight)
    recipe = config.recipe
    layers = dict(recipe.perceptual_layers)
    features = None
    if layers:
        features = load_vgg(config.vgg_weights, tuple(layers)).to(device)
        to_channels_last(features)
    return Losses(
        pixel=pixel,
        pixel_weight=recipe.pixel_weight,
        features=features,
        layers=layers,
        adversarial=recipe.adversarial_loss,
        adversarial_weight=recipe.adversarial_weight,
        label_smoothing=config.label_smoothing,
        variation_weight=config.variation_weight,
    )


def choose_device(asked: str, world: World) -> torch.device:
    """The device of this process: with several GPUs, the one of its own number."""
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise UsageError(f"--device must be auto, cpu or cuda, not {asked!r}") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise TrainingError("--device cuda: PyTorch finds no GPU here; take --device cpu")
        device = torch.device("cuda", world.local_rank if device.index is None else device.index)
        torch.cuda.set_device(device)
        # Shapes never change within a stage, so the fastest algorithm is worth its search.
        torch.backends.cudnn.benchmark = True
    elif device.type != "cpu":
        raise UsageError(f"--device must be auto, cpu or cuda, not {asked!r}")
    return device


def _muon(network: nn.Module, learning_rate: float) -> Optimizer:
    return Muon(network.parameters(), learning_rate)


def _adam(network: nn.Module, learning_rate: float) -> Optimizer:
    on_gpu = next(network.parameters()).device.type == "cuda"
    # Fused: one kernel for all weights, and the verdict on non-finite gradients stays on the GPU.
    return torch.optim.Adam(network.parameters(), learning_rate, BETAS, fused=on_gpu)


def _shared(network: nn.Module, device: torch.device, world: World) -> nn.Module:
    if world.size == 1:
        return network
    return DistributedDataParallel(network, [device] if device.type == "cuda" else None)


def _callable(network: nn.Module, compiled: bool) -> Callable[[Tensor], Tensor]:
    return torch.compile(network) if compiled else network
