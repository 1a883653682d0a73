"""What a training learns from and is scored on: the cache filled, split by file, on its device."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import torch

from vidsr.distributed import World
from vidsr.errors import TrainingError
from vidsr.evaluation.lpips import load_lpips
from vidsr.pipelines.validation import Validation, hold_validation
from vidsr.progress import Notice, Progress
from vidsr.train_config import TrainConfig
from vidsr.training.cache import (
    CacheSettings,
    Shard,
    fill_cache,
    find_sources,
    hold_out,
    load_pictures,
)
from vidsr.training.clips import ClipRules
from vidsr.training.patches import Pictures


@dataclass(frozen=True)
class TrainingData:
    """Pictures to learn from, and what to score on; None where nothing is held out."""

    pictures: Pictures
    file: Path | None  # where the pixels lie if they did not fit on the device
    validation: Validation | None
    summary: str  # for people


def prepare_data(
    config: TrainConfig, world: World, device: torch.device, progress: Progress, stop: threading.Event
) -> TrainingData:
    """Fill the cache (the first process does, the others wait), hold files out, load the pictures."""
    cache = config.cache or config.output / "cache"
    settings = CacheSettings(
        rules=ClipRules(
            scale=config.scale,
            clips=config.clips_per_file,
            frames=config.clip_frames,
            crop=config.crop,
            shrink=config.shrink,
        ),
        degradation=config.degradation,
        versions=config.versions if config.degradation == "video" else 1,
        seed=config.seed,
    )

    def shards_of(folder: Path) -> list[Shard]:
        sources = find_sources(folder)
        if not world.leads:
            world.wait()  # from here on every shard is there, and is only read
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
            text = "one file alone: nothing is held out, give --validation to see scores"
            progress(Notice(text, "warning"))
    if not shards:
        raise TrainingError(
            f"{config.videos}: every file of it is in {config.validation} too: none is left to learn"
        )
    spill = cache / f".pixels-{world.rank}.partial"
    pictures, file = load_pictures(shards, config.scale, device, spill)
    frames = sum(shard.frames for shard in shards)
    summary = f"{frames} frames of {len(shards)} files, {len(held)} held out"
    progress(Notice(f"learns from {summary}"))
    return TrainingData(pictures, file, _validation(config, held, device, cache), summary)


def _validation(
    config: TrainConfig, held: list[Shard], device: torch.device, cache: Path
) -> Validation | None:
    if not held:
        return None
    lpips = load_lpips(*config.lpips_weights).to(device) if config.lpips_weights else None
    spill = cache / ".held.partial"
    pictures, file = load_pictures(held, config.scale, torch.device("cpu"), spill)
    validation = hold_validation(pictures, config.validation_crops, device, lpips)
    if file is not None:
        file.unlink()
    return validation
