"""How fast training is here: real updates of the pixel stage, and where their time goes.

Everything an update consists of is what `vidsr train` runs, in the same order; only the pictures are
made up. The adversarial stage is not measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from vidsr.cores import threads, use_threads
from vidsr.distributed import World
from vidsr.models.generator import Generator
from vidsr.models.operations import operations_a_pixel
from vidsr.pipelines.machine import look_at_machine, product_gflops
from vidsr.pipelines.training_benchmark_report import PARTS, TrainingBenchmarkReport
from vidsr.progress import Advanced, Finished, Notice, Progress, Started, silent
from vidsr.train_config import TrainConfig, TrainingBenchmarkConfig
from vidsr.training.average import update_average
from vidsr.training.degradations import bicubic, degrade_video
from vidsr.training.gan_step import TrainState, pixel_step
from vidsr.training.losses import Losses
from vidsr.training.patches import Pictures, PictureTable, pairs, plan_of
from vidsr.training.precision import NAMES, choose_dtype
from vidsr.training.stage import begin_stage, choose_device, losses_of, new_generator, schedule_of
from vidsr.training.window import LossWindow

CLIPS, CLIP_FRAMES = 2, 4
"""Generated, and degraded through real codecs."""

COPIES = 8
"""Of each frame at places of its own: the bank must not fit into a processor's cache, as none does."""

Moment = float | torch.cuda.Event
"""Seconds of the processor's clock, or an event on the GPU's stream."""


def benchmark_training(
    config: TrainingBenchmarkConfig, progress: Progress = silent
) -> TrainingBenchmarkReport:
    """Measure updates of the pixel stage on generated pictures, in this process alone.

    Raises UsageError or TrainingError as training does.
    """
    train = config.training
    world = World()
    device = choose_device(train.device, world)
    with _threads(train.threads), torch.random.fork_rng([device] if device.type == "cuda" else []):
        machine = look_at_machine()
        name, reason = choose_dtype(train.precision, device)
        progress(Notice(f"computes in {name} on {device.type}: {reason}"))
        dtype = NAMES[name]
        before = product_gflops(device, dtype)
        pictures = _pictures(train, device)
        state = begin_stage("pixel", new_generator(train), train, dtype, device, world)
        shape = state.generator.config
        updates_s = _run_updates(state, train, config.warm_up, pictures, progress)
        # The better of two looks, before and after the updates: others may have disturbed one.
        peak = max(before, product_gflops(device, dtype))
        return TrainingBenchmarkReport(
            preset=train.preset,
            stage=state.stage,
            scale=train.scale,
            blocks=shape.blocks,
            channels=shape.channels,
            patch=train.recipe.patch,
            batch=train.recipe.batch,
            device=device.type,
            precision=name,
            compiled=train.compile,
            operations_a_patch=operations_a_patch(state.generator, train.recipe.patch),
            updates_s=tuple(updates_s),
            peak_gflops=peak,
            machine=machine,
        )


def operations_a_patch(generator: Generator, patch: int) -> int:
    """Operations of an update for each patch of that side in LR pixels; multiply and add are two.

    Three times those of the convolutions forward (J. Kaplan et al., arXiv:2001.08361, section 2.1): each
    product is met again in the gradient of the weights and in that of the input. The first convolution's
    input needs none and is counted all the same (0.2 % of the paper's network); activations, loss,
    optimiser and average are not counted. 13.3 MFLOP an LR pixel for 16 blocks of 64 channels, x4.
    """
    return round(3 * operations_a_pixel(generator.config) * patch**2)


def _run_updates(
    state: TrainState, config: TrainConfig, warm_up: int, pictures: Pictures, progress: Progress
) -> list[dict[str, float]]:
    """The training loop without what happens seldom; the seconds of each part, update by update."""
    device = state.device
    clock = _Clock(device)
    plan = plan_of("pixel", config, World())
    schedule = schedule_of("pixel", config)
    losses = _marked(state, losses_of("pixel", config, device), clock)
    batches = pairs(pictures, plan, device, first=state.step)
    window = LossWindow()
    progress(Started("benchmark", *schedule.extent))
    while schedule.progress(state.step, state.used_s) < 1:
        if state.step == warm_up:
            clock.begin()
        state.set_learning_rate(schedule.rate(state.step, state.used_s))
        clock.mark("other")
        pair = next(batches)
        clock.mark("data")
        window.add(pixel_step(state, pair, losses))  # "forward" and "backward" are marked in it
        update_average(state.average, state.generator, state.step, config.average)
        clock.mark("optimiser")
        if state.step % config.log_every == 0:
            values = window.read(plan.batch)
            progress(Advanced("benchmark", state.step, window.bottleneck, values))
    progress(Finished("benchmark"))
    return clock.updates_s()


def _marked(state: TrainState, losses: Losses, clock: _Clock) -> Losses:
    """Losses that mark the end of "forward"; the gradient that comes last marks that of "backward"."""

    def pixel(sr: Tensor, hr: Tensor) -> Tensor:
        loss = losses.pixel(sr, hr)
        clock.mark("forward")
        return loss

    for parameter in state.generator.head.parameters():  # the first layer: backward ends there
        hook: Callable[..., object] = parameter.register_post_accumulate_grad_hook
        hook(lambda _: clock.mark("backward"))
    return replace(losses, pixel=pixel)


class _Clock:
    """Marks on the device's own timeline; the time since the mark before belongs to the mark's part."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.begin()

    def begin(self) -> None:
        """Forget all marks; time counts from now."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._marks = [("", self._now())]

    def mark(self, part: str) -> None:
        """The device has come to the end of something, or will have when it comes here."""
        self._marks.append((part, self._now()))

    def updates_s(self) -> list[dict[str, float]]:
        """Seconds by part; each update begins with "other"."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        updates: list[dict[str, float]] = []
        for (_, since), (part, until) in zip(self._marks, self._marks[1:], strict=False):
            if part == "other":
                updates.append(dict.fromkeys(PARTS, 0.0))
            updates[-1][part] += _seconds(since, until)
        return updates

    def _now(self) -> Moment:
        if self._device.type != "cuda":
            return time.perf_counter()
        make: Callable[..., torch.cuda.Event] = torch.cuda.Event
        event = make(enable_timing=True)
        event.record()
        return event


def _seconds(since: Moment, until: Moment) -> float:
    if isinstance(since, float):
        assert isinstance(until, float)
        return until - since
    assert not isinstance(until, float)
    milliseconds: float = since.elapsed_time(until)
    return milliseconds / 1000


def _pictures(config: TrainConfig, device: torch.device) -> Pictures:
    """A bank as the cache gives it, on the device: texture, in clean and degraded versions."""
    scale = config.scale
    side = max(config.crop // scale, 2 * config.recipe.patch)
    generator = torch.Generator().manual_seed(config.seed)
    parts: list[Tensor] = []
    for number in range(CLIPS):
        clip = _clip(side * scale, generator)
        versions = [bicubic(clip, scale)]
        versions += [degrade_video(clip, scale, number + seed) for seed in range(1, config.versions)]
        for index, frame in enumerate(clip):
            pixels = [frame, *(version[index] for version in versions)]
            parts += [picture.reshape(-1, 3) for picture in pixels]
    flat = torch.cat(parts).repeat(COPIES, 1)
    frames = CLIPS * CLIP_FRAMES * COPIES
    area = side**2
    first = torch.arange(frames) * area * (scale**2 + config.versions)
    table = PictureTable(
        hr=first,
        lr=first[:, None] + area * (scale**2 + torch.arange(config.versions)),
        height=torch.full((frames,), side),
        width=torch.full((frames,), side),
        clip=torch.arange(frames) // CLIP_FRAMES,
    )
    return Pictures(flat.to(device), table, scale)


def _clip(side: int, generator: torch.Generator) -> Tensor:
    """(CLIP_FRAMES, side, side, 3) uint8: noise of several coarsenesses, moving sideways."""
    picture = torch.full((1, 3, side, side), 0.5)
    for coarse in (2, 4, 8, 16, 32):
        noise = torch.rand(1, 3, -(-side // coarse), -(-side // coarse), generator=generator) - 0.5
        grown = functional.interpolate(noise, size=(side, side), mode="bilinear", align_corners=False)
        picture += 0.4 * grown
    still = (picture[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return torch.stack([still.roll(2 * index, dims=1) for index in range(CLIP_FRAMES)])


@contextmanager
def _threads(asked: int) -> Iterator[None]:
    """Threads of this process for the length of a block; 0 leaves them as they are."""
    before = threads()
    use_threads(asked or before)
    try:
        yield
    finally:
        use_threads(before)
