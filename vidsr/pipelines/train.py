"""A folder of videos becomes a better generator for such videos.

    decode and degrade once -> [patches -> update -> average -> sometimes: score, save] -> weights

The loop is `_run_stage`: read it downwards, that is all there is.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidsr.config import TrainConfig
from vidsr.distributed import World
from vidsr.errors import TrainingError
from vidsr.evaluation.lpips import load_lpips
from vidsr.models.generator import Generator
from vidsr.models.weights import save_weights
from vidsr.pipelines.validation import Validation, hold_validation
from vidsr.progress import Advanced, Finished, Notice, Progress, Started, silent
from vidsr.training.average import update_average
from vidsr.training.balance import Balance
from vidsr.training.board import Board
from vidsr.training.cache import CacheSettings, fill_cache, find_sources, hold_out, load_pictures
from vidsr.training.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from vidsr.training.clips import ClipRules
from vidsr.training.gan_step import StageName, TrainState, gan_step, pixel_step
from vidsr.training.interrupt import stop_requests
from vidsr.training.journal import Journal
from vidsr.training.patches import PatchPlan, Pictures, pairs
from vidsr.training.precision import NAMES, choose_dtype
from vidsr.training.report import render_report
from vidsr.training.stage import begin_stage, choose_device, losses_of, new_generator, schedule_of

BAD_READINGS = 10
"""Readings of the losses in a row that may hold something not finite before the training gives up.
Single bad updates are skipped by the optimiser and harm nothing."""

MAY_CHANGE = frozenset(
    ["videos", "output", "validation", "cache", "restart"]
    + ["updates", "adversarial_updates", "hours", "checkpoint_every_s", "log_every"]
    + ["device", "compile", "workers", "threads", "tensorboard"]
    + ["validate_every", "validation_crops", "lpips_weights"]
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

    def to_json(self) -> str:
        """As one JSON object."""
        plain = dataclasses.asdict(self)
        return json.dumps({**plain, "output": str(self.output), "weights": str(self.weights)}, indent=2)


@dataclass(frozen=True)
class _Data:
    pictures: Pictures
    file: Path | None  # where the pixels did not fit on the device
    validation: Validation | None
    summary: str


def train(config: TrainConfig, progress: Progress = silent) -> TrainReport:
    """Train by the configuration; goes on where an earlier run of the same output folder stopped.

    Raises a VidsrError with what to do; KeyboardInterrupt after Ctrl-C, with everything saved.
    """
    world = World.from_environment()
    progress = progress if world.leads else silent
    device = choose_device(config.device, world)
    if config.threads:
        torch.set_num_threads(config.threads)
    _make_folder(config.output)
    with world.joined(device), stop_requests() as stop:
        kept = _unfinished(config, world)
        data = _prepare(config, world, device, progress, stop)
        journal = Journal() if kept is None else Journal.from_plain(kept.journal)
        if data.validation is not None and not journal.baselines:
            journal.baselines = data.validation.baselines()
        journal.dtype = journal.dtype or _agreed_dtype(config, world, device, progress)
        stages: list[StageName] = ["pixel", "adversarial"] if config.stage == "both" else [config.stage]
        if kept is None:
            generator = new_generator(config)
        else:
            generator = Generator(kept.shape)
            stages = stages[stages.index(kept.stage) :]
        with Board(config.output / "tensorboard", wanted=config.tensorboard and world.leads) as board:
            for stage in stages:
                state = begin_stage(stage, generator, config, NAMES[journal.dtype], device, world)
                if kept is not None:
                    kept.restore(state)
                    progress(Notice(f"goes on in the {stage} stage after {state.step} updates"))
                    kept = None
                _run_stage(state, config, data, journal, board, world, progress, stop)
                generator = state.average.requires_grad_(True).train()  # what the next stage begins from
        report = _finish(state, config, data, journal, world)
        world.wait()
    return report


def _run_stage(
    state: TrainState,
    config: TrainConfig,
    data: _Data,
    journal: Journal,
    board: Board,
    world: World,
    progress: Progress,
    stop: threading.Event,
) -> None:
    """Update until the schedule is through; score, report and save on the way."""
    recipe, stage, device = config.recipe, state.stage, state.device
    adversarial = stage == "adversarial"
    update = gan_step if adversarial else pixel_step
    schedule = schedule_of(stage, config)
    losses = losses_of(stage, config, device)
    plan = PatchPlan(
        patch=recipe.adversarial_patch if adversarial else recipe.patch,
        batch=recipe.adversarial_batch if adversarial else recipe.batch,
        seed=2 * config.seed + adversarial,
        clean_share=config.clean_share if config.degradation == "video" else 1.0,
        flat_share=config.flat_share,
        rank=world.rank,
        ranks=world.size,
    )
    batches = pairs(
        data.pictures, plan, device, first=state.step, file=data.file, workers=config.workers
    )
    earlier = sum(int(over["updates"]) for name, over in journal.finished.items() if name != stage)
    timed = schedule.seconds is not None
    total = int(schedule.seconds) if schedule.seconds is not None else schedule.updates
    progress(
        Started(stage, total, "s" if timed else "updates", int(state.used_s) if timed else state.step)
    )
    balance = Balance()
    window = _Window()
    bad_readings = 0
    used_before, began = state.used_s, time.perf_counter()
    saved = began

    while schedule.progress(state.step, state.used_s) < 1:
        rate = schedule.rate(state.step, state.used_s)
        _set_rate(state, rate)
        with window.waiting():
            pair = next(batches)
        window.add(update(state, pair, losses))
        update_average(state.average, state.generator, state.step, config.average)

        if state.step % config.log_every == 0:
            # The first process's clock is everyone's, so that all stop at the same update.
            state.used_s = world.agree(used_before + time.perf_counter() - began, device)
            values = window.read(plan.batch)
            bad_readings = 0 if all(map(math.isfinite, values.values())) else bad_readings + 1
            if bad_readings == BAD_READINGS:
                raise TrainingError(
                    f"the losses of the {stage} stage are not numbers any more (update {state.step}): "
                    f"give a lower --learning-rate; {config.output / 'checkpoint.pt'} is kept"
                )
            journal.note(earlier + state.step, {f"{stage} {k}": v for k, v in values.items()})
            board.scalars(earlier + state.step, {f"{stage}/{k}": v for k, v in values.items()})
            done = int(state.used_s) if timed else state.step
            progress(Advanced(stage, done, window.bottleneck, {**values, "learning rate": rate}))
            warning = balance.watch(values) if adversarial else None
            if warning is not None:
                progress(Notice(warning, "warning"))

        if state.step % config.validate_every == 0 and world.leads and data.validation is not None:
            scores = data.validation.scores(state.average)
            board.scalars(earlier + state.step, scores)
            board.pictures(earlier + state.step, data.validation.strips(state.average, 4))
            for name in journal.score(earlier + state.step, scores):
                _save(config.output / f"best-{name}.safetensors", state, config, data, journal, scores)
            progress(Notice(f"{stage} update {state.step}: {_in_words(scores, journal.baselines)}"))

        stopping = state.step % config.log_every == 0 or world.size == 1
        stopping = stopping and world.any(stop.is_set(), device)
        if stopping or time.perf_counter() - saved > config.checkpoint_every_s:
            state.used_s = used_before + time.perf_counter() - began
            _checkpoint(state, config, journal, world)
            saved = time.perf_counter()
        if stopping:
            progress(
                Notice(f"stopped after update {state.step} of the {stage} stage; same command goes on")
            )
            raise KeyboardInterrupt

    journal.finished[stage] = {
        "updates": state.step,
        "seconds": state.used_s,
        "patches": state.step * plan.batch,
    }
    _checkpoint(state, config, journal, world)
    if world.leads:
        scores = data.validation.scores(state.average) if data.validation is not None else {}
        _save(config.output / f"{stage}.safetensors", state, config, data, journal, scores)
    progress(Finished(stage))


class _Window:
    """The losses since the last reading, summed on the device, and how long data was waited for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._updates = 0
        self._waited_s = 0.0
        self._since = time.perf_counter()
        self.bottleneck: str | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of the block as waiting for data."""
        began = time.perf_counter()
        yield
        self._waited_s += time.perf_counter() - began

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Take in the terms of one update, without waiting for the device."""
        for name, value in terms.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._updates += 1

    def read(self, batch: int) -> dict[str, float]:
        """Means of the terms, patches a second, share of the time that went into data; begin anew."""
        values = {name: float(total) / self._updates for name, total in self._sums.items()}
        now = time.perf_counter()
        elapsed = max(now - self._since, 1e-9)
        starved = self._waited_s / elapsed
        self.bottleneck = "data" if starved > 0.1 else "network"
        values |= {"patches/s": self._updates * batch / elapsed, "waiting": starved}
        self._sums, self._updates, self._waited_s, self._since = {}, 0, 0.0, now
        return values


def _prepare(
    config: TrainConfig, world: World, device: torch.device, progress: Progress, stop: threading.Event
) -> _Data:
    """Fill the cache (the first process does), split by file, bring the pictures to the device."""
    rules = ClipRules(
        config.scale, config.clips_per_file, config.clip_frames, config.crop, config.shrink
    )
    versions = config.versions if config.degradation == "video" else 1
    settings = CacheSettings(rules, config.degradation, versions, config.seed)
    cache = config.cache or config.output / "cache"

    def shards_of(folder: Path) -> list[Any]:
        sources = find_sources(folder)
        if not world.leads:
            world.wait()  # by then every shard is there and only read
        found = fill_cache(cache, sources, settings, progress, stop=stop)
        if world.leads:
            world.wait()
        return found

    shards = shards_of(config.videos)
    if config.validation is not None:
        held = shards_of(config.validation)
        known = {shard.content for shard in held}
        shards = [shard for shard in shards if shard.content not in known]
    else:
        shards, held = hold_out(shards, config.validation_share, config.seed)
        if not held and config.validation_share > 0:
            progress(
                Notice("one file alone: nothing is held out, give --validation to see scores", "warning")
            )
    if not shards:
        raise TrainingError(f"{config.videos}: every file of it is also held out for validation")
    pictures, file = load_pictures(shards, config.scale, device, cache / f".pixels-{world.rank}.partial")
    validation = None
    if held:
        lpips = load_lpips(*config.lpips_weights).to(device) if config.lpips_weights else None
        seen, _ = load_pictures(held, config.scale, torch.device("cpu"), cache / ".held.partial")
        validation = hold_validation(seen, config.validation_crops, device, lpips)
    frames = sum(shard.frames for shard in shards)
    summary = f"{frames} frames of {len(shards)} files, {len(held)} files held out"
    progress(Notice(f"trains on {summary}; {device.type}"))
    return _Data(pictures, file, validation, summary)


def _unfinished(config: TrainConfig, world: World) -> Checkpoint | None:
    """The checkpoint of an earlier run in the output folder, if it is one of the same settings."""
    path = config.output / "checkpoint.pt"
    if config.restart and world.leads:
        path.unlink(missing_ok=True)
    world.wait()
    if not path.exists():
        return None
    kept = read_checkpoint(path)
    ours = _settings(config)
    changed = [name for name in ours if ours[name] != kept.settings.get(name)]
    if changed:
        details = ", ".join(f"{name}: {kept.settings.get(name)}, now {ours[name]}" for name in changed)
        raise TrainingError(
            f"{path}: belongs to a run with other settings ({details}); repeat those to go on, "
            "or give --restart to begin anew"
        )
    return kept


def _settings(config: TrainConfig) -> dict[str, Any]:
    """What must stay the same over a run, as plain values."""
    plain = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in MAY_CHANGE:
            plain[field.name] = value if isinstance(value, (bool, int, float, str)) else str(value)
    return plain


def _agreed_dtype(config: TrainConfig, world: World, device: torch.device, progress: Progress) -> str:
    """The name of the type to compute in, as the first process measures it."""
    dtype, reason = choose_dtype(config.precision, device)
    names = list(NAMES)
    name = names[int(world.agree(list(NAMES.values()).index(dtype), device))]
    progress(Notice(f"computes in {name}: {reason}"))
    return name


def _set_rate(state: TrainState, rate: float) -> None:
    for optimizer in (state.generator_optimizer, state.discriminator_optimizer):
        if optimizer is not None:
            for group in optimizer.param_groups:
                group["lr"] = rate


def _checkpoint(state: TrainState, config: TrainConfig, journal: Journal, world: World) -> None:
    if world.leads:
        settings = _settings(config)
        save_checkpoint(config.output / "checkpoint.pt", state, settings, journal.to_plain())


def _save(
    path: Path,
    state: TrainState,
    config: TrainConfig,
    data: _Data,
    journal: Journal,
    scores: Mapping[str, float],
) -> None:
    """Write the averaged weights with what made them."""
    trained_for = "compressed video" if config.degradation == "video" else "clean bicubic input"
    stages = {**journal.finished, state.stage: {"updates": state.step, "seconds": round(state.used_s)}}
    save_weights(
        path,
        state.average,
        metadata={
            "trained_for": trained_for,
            "objective": state.stage,
            "degradation": config.degradation,
            "data": data.summary,
            "stages": json.dumps(stages),
            "scores": json.dumps(dict(scores)),
            "baselines": json.dumps(journal.baselines),
            "settings": json.dumps(_settings(config)),
            "hardware": _hardware(state.device),
        },
    )


def _finish(
    state: TrainState, config: TrainConfig, data: _Data, journal: Journal, world: World
) -> TrainReport:
    """Write weights and report; what came of it all."""
    weights = config.output / "weights.safetensors"
    scores: dict[str, float] = {}
    if world.leads:
        strips: list[Tensor] = []
        if data.validation is not None:
            scores = data.validation.scores(state.average)
            strips = data.validation.strips(state.average, 8)
        _save(weights, state, config, data, journal, scores)
        title = f"Training on {config.videos.name}, x{config.scale}"
        settings = {"data": data.summary, "hardware": _hardware(state.device), **_settings(config)}
        page = render_report(title, journal, settings, scores, strips)
        partial = config.output / ".report.html.partial"
        try:
            partial.write_text(page, encoding="utf-8")
            partial.replace(config.output / "report.html")
        except OSError as error:
            raise TrainingError(
                f"{config.output}: the report cannot be written ({error.strerror or error}); "
                f"the weights are in {weights.name}"
            ) from error
    return TrainReport(
        output=config.output,
        weights=weights,
        stages=dict(journal.finished),
        scores=scores,
        baselines=dict(journal.baselines),
        best=dict(journal.best),
    )


def _in_words(scores: Mapping[str, float], baselines: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name.upper()} {value:.4g} (Lanczos {baselines[f'lanczos {name}']:.4g})"
        for name, value in scores.items()
    )


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be made ({error.strerror or error})") from error
