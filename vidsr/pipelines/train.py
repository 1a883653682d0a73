"""A folder of videos becomes a better generator for such videos.

    decode and degrade once -> [patches -> update -> average -> sometimes: score, save] -> weights

The loop is `_run_stage`: read it downwards, that is all there is.
"""

from __future__ import annotations

import math
import threading
import time

from vidsr.cores import use_threads
from vidsr.distributed import World
from vidsr.errors import TrainingError
from vidsr.models.generator import Generator
from vidsr.pipelines.run_folder import RunFolder, TrainReport
from vidsr.pipelines.training_data import TrainingData, prepare_data
from vidsr.progress import Advanced, Finished, Notice, Progress, Started, silent
from vidsr.train_config import TrainConfig
from vidsr.training.average import update_average
from vidsr.training.balance import Balance
from vidsr.training.board import Board
from vidsr.training.gan_step import StageName, TrainState, gan_step, pixel_step
from vidsr.training.interrupt import stop_requests
from vidsr.training.journal import Journal
from vidsr.training.patches import pairs, plan_of
from vidsr.training.precision import NAMES, choose_dtype
from vidsr.training.stage import (
    begin_stage,
    choose_device,
    init_digest,
    losses_of,
    new_generator,
    schedule_of,
)
from vidsr.training.window import LossWindow

__all__ = ["TrainReport", "train"]

BAD_READINGS = 10
"""Readings of the losses in a row that may hold something not finite before the training gives up.
Single bad updates are skipped by the optimiser and harm nothing."""
STRIPS = 4
"""Pictures shown while training; twice as many in the report."""


def train(config: TrainConfig, progress: Progress = silent) -> TrainReport:
    """Train by the configuration; goes on where an earlier run of the same output folder stopped.

    Raises a VidsrError with what to do; KeyboardInterrupt after Ctrl-C, with everything saved.
    """
    world = World.from_environment()
    progress = progress if world.leads else silent
    device = choose_device(config.device, world)
    if config.threads:
        use_threads(config.threads)
    folder = RunFolder(config, world)
    folder.make()
    with world.joined(device), stop_requests() as stop:
        kept = folder.unfinished()
        data = prepare_data(config, world, device, progress, stop)
        journal = Journal() if kept is None else Journal.from_plain(kept.journal)
        if data.validation is not None and not journal.baselines:
            journal.baselines = data.validation.baselines()
        if not journal.dtype:
            journal.dtype, reason = choose_dtype(config.precision, device)
            journal.dtype = list(NAMES)[round(world.agree(list(NAMES).index(journal.dtype), device))]
            progress(Notice(f"computes in {journal.dtype} on {device.type}: {reason}"))

        stages: list[StageName] = ["pixel", "adversarial"] if config.stage == "both" else [config.stage]
        if kept is None:
            generator = new_generator(config)
            journal.init_sha256 = init_digest(config)
        else:
            generator = Generator(kept.shape)
            begun, now = journal.init_sha256, init_digest(config)
            if begun and now and begun != now:
                text = (
                    f"{config.init}: other weights than this run began from; it goes on with its own, "
                    "and begins from these with --restart"
                )
                progress(Notice(text, "warning"))
            stages = stages[stages.index(kept.stage) :]
        with Board(config.output / "tensorboard", wanted=config.tensorboard and world.leads) as board:
            for stage in stages:
                state = begin_stage(stage, generator, config, NAMES[journal.dtype], device, world)
                if kept is not None:
                    kept.restore(state)
                    progress(Notice(f"goes on in the {stage} stage, after update {state.step}"))
                    kept = None
                _run_stage(state, config, data, journal, folder, board, progress, stop)
                generator = state.average.requires_grad_(True).train()  # the next stage begins from it

        scores = data.validation.scores(state.average.eval()) if data.validation is not None else {}
        strips = data.validation.strips(state.average, 2 * STRIPS) if data.validation is not None else []
        report = folder.finish(state, journal, scores, strips, data.summary)
        world.wait()
    return report


def _run_stage(
    state: TrainState,
    config: TrainConfig,
    data: TrainingData,
    journal: Journal,
    folder: RunFolder,
    board: Board,
    progress: Progress,
    stop: threading.Event,
) -> None:
    """Update until the schedule is through; report, score and save on the way."""
    stage, device, world = state.stage, state.device, folder.world
    update = gan_step if stage == "adversarial" else pixel_step
    schedule = schedule_of(stage, config)
    losses = losses_of(stage, config, device)
    plan = plan_of(stage, config, world)
    batches = pairs(
        data.pictures, plan, device, first=state.step, file=data.file, workers=config.workers
    )
    before = journal.updates_before(stage)  # curves go on over all stages
    used_before, began = state.used_s, time.perf_counter()
    saved_at = began
    window, balance, bad_readings = LossWindow(), Balance(), 0
    progress(Started(stage, *schedule.extent, done=schedule.done(state.step, state.used_s)))

    while schedule.progress(state.step, state.used_s) < 1:
        rate = schedule.rate(state.step, state.used_s)
        state.set_learning_rate(rate)
        with window.waiting():
            pair = next(batches)
        window.add(update(state, pair, losses))
        update_average(state.average, state.generator, state.step, config.average)

        if state.step % config.log_every == 0:
            # The first process's clock is everyone's, so that all stop at the same update.
            state.used_s = world.agree(used_before + time.perf_counter() - began, device)
            values = window.read(plan.batch)
            finite = all(math.isfinite(value) for value in values.values())
            bad_readings = 0 if finite else bad_readings + 1
            if bad_readings == BAD_READINGS:
                raise TrainingError(
                    f"the losses of the {stage} stage are not numbers any more (update {state.step}): "
                    f"give a lower --learning-rate; the last sound state is in {folder.checkpoint}"
                )
            journal.note(before + state.step, {f"{stage} {k}": v for k, v in values.items()})
            board.scalars(before + state.step, {f"{stage}/{k}": v for k, v in values.items()})
            done = schedule.done(state.step, state.used_s)
            progress(Advanced(stage, done, window.bottleneck, {**values, "learning rate": rate}))
            warning = balance.watch(values) if stage == "adversarial" else None
            if warning is not None:
                progress(Notice(warning, "warning"))

        if state.step % config.validate_every == 0 and data.validation is not None and world.leads:
            scores = data.validation.scores(state.average)
            for name in journal.score(before + state.step, scores):
                folder.save_average(f"best-{name}", state, journal, scores, data.summary)
            board.scalars(before + state.step, scores)
            board.pictures(before + state.step, data.validation.strips(state.average, STRIPS))
            progress(Notice(f"{stage} update {state.step}: {journal.in_words(scores)}"))

        may_stop = world.size == 1 or state.step % config.log_every == 0  # where all processes ask
        stopping = may_stop and world.any(stop.is_set(), device)
        if stopping or time.perf_counter() - saved_at > config.checkpoint_every_s:
            folder.save(state, journal)
            saved_at = time.perf_counter()
        if stopping:
            text = f"stopped after update {state.step} of the {stage} stage; the same command goes on"
            progress(Notice(text))
            raise KeyboardInterrupt

    state.used_s = world.agree(used_before + time.perf_counter() - began, device)
    journal.finish(stage, state.step, state.used_s, state.step * plan.batch)
    folder.save(state, journal)
    if world.leads:
        scores = data.validation.scores(state.average) if data.validation is not None else {}
        folder.save_average(stage, state, journal, scores, data.summary)
    progress(Finished(stage))
