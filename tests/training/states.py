"""A small training state for the tests of updates and checkpoints."""

import copy

import torch

from vidsr.models.discriminator import RealAndMade, make_discriminator
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.recipes import OptimizerName
from vidsr.training.gan_step import SRPair, StageName, TrainState, make_scaler
from vidsr.training.muon import Muon

SHAPE = GeneratorConfig(
    scale=2,
    blocks=2,
    channels=8,
    activation="leaky_relu",
    head_kernel=3,
    tail_kernel=3,
    upsampler="single",
    input_skip=True,
)


def make_state(
    stage: StageName = "pixel",
    *,
    optimizer: OptimizerName = "adam",
    accumulate: int = 1,
    seed: int = 0,
) -> TrainState:
    torch.manual_seed(seed)
    generator = Generator(SHAPE)
    device = torch.device("cpu")
    state = TrainState(
        stage=stage,
        generator=generator,
        average=copy.deepcopy(generator).eval().requires_grad_(False),
        generator_optimizer=Muon(generator.parameters(), 2e-3)
        if optimizer == "muon"
        else torch.optim.Adam(generator.parameters(), 2e-3),
        generate=generator,
        scaler=make_scaler(device, torch.float32),
        accumulate=accumulate,
    )
    if stage == "adversarial":
        state.discriminator = make_discriminator("compact", 4)
        state.discriminator_optimizer = torch.optim.Adam(state.discriminator.parameters(), 1e-3)
        state.judge = RealAndMade(state.discriminator)
    return state


def make_pair(count: int = 4, side: int = 16, seed: int = 1) -> SRPair:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, side // 4, side // 4, generator=generator)
    hr = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="nearest")
    return SRPair(torch.nn.functional.avg_pool2d(hr, 2), hr)


def weights_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
