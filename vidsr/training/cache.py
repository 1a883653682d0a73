"""Decoded pictures on disk, with their low-resolution versions, made once and used by every later run.

One shard a source file, named by the file's content and the settings: renaming or moving a video costs
nothing, changing a setting makes new shards beside the old, and a run that was killed goes on after
the last whole shard. A shard is a `.safetensors` of three tensors: `hr` and `lr`, pixels (P, 3) uint8,
and `frames`, one row a frame: number of the clip, LR height, LR width. Each frame's LR versions follow
each other in `lr`.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vidsr.cores import usable_cores
from vidsr.errors import InputError, TrainingError
from vidsr.progress import Advanced, Finished, Notice, Progress, Started
from vidsr.training.clips import ClipRules, clips_of
from vidsr.training.degradations import bicubic, degrade_still, degrade_video
from vidsr.training.patches import Pictures, PictureTable, map_pixels
from vidsr.video.source import VIDEO_SUFFIXES

FORMAT = 1
"""Part of every key: raised when the same settings come to make other pictures."""

STILLS = "png jpg jpeg webp"
SUFFIXES = VIDEO_SUFFIXES | {f".{ending}" for ending in STILLS.split()}
"""What is looked for in a folder; a file given by name is taken whatever it is called."""

SAMPLE = 1 << 20
"""Bytes read at the beginning, middle and end of a file to know it again; its size counts too."""


@dataclass(frozen=True)
class CacheSettings:
    """Everything that decides what a shard holds."""

    rules: ClipRules
    degradation: str  # "bicubic" or "video"
    versions: int  # LR pictures of each frame; the first is clean
    seed: int

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that differ wherever the settings do."""
        return _digest(json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True).encode())


@dataclass(frozen=True)
class Shard:
    """The pictures of one source file."""

    path: Path
    source: str  # name of the file, for people
    content: str  # digest of the file
    frames: int
    pixels: int  # of all pictures together
    refused: dict[str, int]  # clips passed over, by reason


def find_sources(folder: Path) -> list[Path]:
    """All videos and pictures of a folder and those below it, in order of name; or the one file."""
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder or file")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    sources = [path for path in found if path.is_file() and not path.name.startswith(".")]
    if not sources:
        raise InputError(f"{folder}: holds no video and no picture: give a folder that does")
    return sources


def fill_cache(
    folder: Path,
    sources: Sequence[Path],
    settings: CacheSettings,
    progress: Progress,
    *,
    stop: threading.Event | None = None,
) -> list[Shard]:
    """Make the shards that are missing, several at once; all shards of the sources, in their order.

    Files that cannot be read are named and passed over. `stop` ends the work after the shards in hand.
    Raises TrainingError where none of the files gives a picture, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be made ({error.strerror or error})") from error
    progress(Started("cache", len(sources), "files"))
    shards: dict[Path, Shard] = {}
    unreadable = 0
    done = 0
    waiting = iter(sources)
    workers = usable_cores()
    running: dict[Future[Shard], Path] = {}
    with _one_thread_each(), ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                for path in waiting:
                    if stop is not None and stop.is_set():
                        raise KeyboardInterrupt
                    running[pool.submit(_shard_of, folder, path, settings)] = path
                    if len(running) > workers:
                        break
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    path = running.pop(future)
                    try:
                        shards[path] = future.result()
                    except InputError as error:
                        unreadable += 1
                        progress(Notice(f"passed over: {error}", "warning"))
                    done += 1
                    progress(Advanced("cache", done))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    progress(Finished("cache"))
    found = [shards[path] for path in sources if path in shards]
    _report(found, unreadable, progress)
    usable = {shard.content: shard for shard in found if shard.frames}  # copies of a file count once
    if not usable:
        raise TrainingError(
            f"none of the {len(sources)} files gave a picture to train on: see the reasons above"
        )
    return list(usable.values())


def hold_out(shards: Sequence[Shard], share: float, seed: int) -> tuple[list[Shard], list[Shard]]:
    """Split into training and validation by file: the same files whatever their order or names.

    At least one file is held out where there are two or more and the share is above 0.
    """
    order = sorted(shards, key=lambda shard: _digest(f"{seed} {shard.content}".encode()))
    count = min(len(order) - 1, max(1, round(share * len(order)))) if share > 0 else 0
    held = {shard.content for shard in order[:count]}
    return (
        [shard for shard in shards if shard.content not in held],
        [shard for shard in shards if shard.content in held],
    )


def load_pictures(
    shards: Sequence[Shard], scale: int, device: torch.device, spill: Path
) -> tuple[Pictures, Path | None]:
    """All shards as one flat tensor: on the device where it fits, else mapped from a file.

    The file `spill` is made only in the second case, and then is the second result.
    """
    pixels = sum(shard.pixels for shard in shards)
    file: Path | None = None
    if 3 * pixels <= _room(device):
        flat = torch.empty(pixels, 3, dtype=torch.uint8, device=device)
    else:
        file = spill
        try:
            with file.open("wb") as new:
                new.truncate(3 * pixels)
        except OSError as error:
            raise TrainingError(f"{file}: cannot be written ({error.strerror or error})") from error
        flat = map_pixels(file, 3 * pixels)
    rows: list[Tensor] = []
    clips = 0
    at = 0
    for shard in shards:
        with _opened(shard.path) as tensors:
            frames = tensors.get_tensor("frames")
            hr, lr = tensors.get_tensor("hr"), tensors.get_tensor("lr")
        flat[at : at + len(hr)] = hr
        flat[at + len(hr) : at + len(hr) + len(lr)] = lr
        rows.append(_table_rows(frames, at, at + len(hr), len(lr), scale, clips))
        clips += int(frames[-1, 0]) + 1
        at += len(hr) + len(lr)
    table = torch.cat(rows)
    return (
        Pictures(
            flat,
            PictureTable(
                clip=table[:, 0],
                height=table[:, 1],
                width=table[:, 2],
                hr=table[:, 3],
                lr=table[:, 4:],
            ),
            scale,
        ),
        file,
    )


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Many files are worked on at once: within each, more threads would only stand in the way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _table_rows(
    frames: Tensor, first_hr: int, first_lr: int, lr_pixels: int, scale: int, clips: int
) -> Tensor:
    """(F, 4 + versions): clip, LR height, LR width, first HR pixel, first pixel of each LR version."""
    areas = frames[:, 1] * frames[:, 2]
    versions = lr_pixels // int(areas.sum())
    before = areas.cumsum(0) - areas
    hr = first_hr + before * scale**2
    lr = first_lr + (before * versions)[:, None] + areas[:, None] * torch.arange(versions)
    return torch.cat([frames[:, :1] + clips, frames[:, 1:], hr[:, None], lr], dim=1)


def _shard_of(folder: Path, source: Path, settings: CacheSettings) -> Shard:
    """The shard of a file, made if it is not there."""
    content = _content(source)
    path = folder / f"{content}-{settings.key}.safetensors"
    if not path.exists():
        _make_shard(path, source, content, settings)
    with _opened(path) as tensors:
        header = tensors.metadata()
        frames = tensors.get_slice("frames").get_shape()[0]
        pixels = sum(tensors.get_slice(name).get_shape()[0] for name in ("hr", "lr"))
    return Shard(path, source.name, content, frames, pixels, json.loads(header["refused"]))


def _make_shard(path: Path, source: Path, content: str, settings: CacheSettings) -> None:
    refused: Counter[str] = Counter()
    frames: list[list[int]] = []
    hr: list[Tensor] = [torch.empty(0, 3, dtype=torch.uint8)]
    lr: list[Tensor] = [torch.empty(0, 3, dtype=torch.uint8)]
    for number, clip in enumerate(clips_of(source, settings.rules, refused)):
        versions = _versions(clip, settings, f"{settings.seed} {content} {number}")
        for index, frame in enumerate(clip):
            height, width = int(versions[0].shape[1]), int(versions[0].shape[2])
            frames.append([number, height, width])
            hr.append(frame.reshape(-1, 3))
            lr += [version[index].reshape(-1, 3) for version in versions]
    tensors = {
        "frames": torch.tensor(frames, dtype=torch.int64).view(-1, 3),
        "hr": torch.cat(hr),
        "lr": torch.cat(lr),
    }
    header = {
        "source": source.name,
        "settings": json.dumps(asdict(settings), sort_keys=True),
        "refused": json.dumps(refused),
    }
    # The thread's number keeps two copies of one film, met at once, from writing into one file.
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        save_file(tensors, partial, metadata=header)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise TrainingError(
            f"{path.parent}: the cache cannot be written ({error}); make room or give another --cache, "
            "what is already in it is kept"
        ) from error


def _versions(clip: Tensor, settings: CacheSettings, name: str) -> list[Tensor]:
    """LR versions of a clip, each (T, h, w, 3): the clean one, then random degraded ones."""
    scale = settings.rules.scale
    versions = [bicubic(clip, scale)]
    if settings.degradation == "video":
        for number in range(1, settings.versions):
            seed = int(_digest(f"{name} {number}".encode()), 16) >> 2
            if len(clip) > 1:
                versions.append(degrade_video(clip, scale, seed))
            else:
                frames = max(3, settings.rules.frames)
                versions.append(degrade_still(clip[0], scale, seed, frames)[None])
    return versions


def _opened(path: Path) -> safe_open:
    try:
        return safe_open(path, "pt")
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{path}: damaged ({error}); delete it and start again, it will be made anew"
        ) from error


def _content(path: Path) -> str:
    """Digest of a file's size, beginning, middle and end."""
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            for at in (0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE)):
                file.seek(at)
                digest.update(file.read(SAMPLE))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()[:16]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _room(device: torch.device) -> int:
    """Bytes that pictures may take: 60 % of a GPU's free memory, 40 % of the machine's."""
    if device.type == "cuda":
        return int(0.6 * torch.cuda.mem_get_info(device)[0])
    try:
        # Not the free pages: most of those that are not free hold files and would be given up.
        return int(0.4 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows and macOS do not say
        return 4 << 30


def _report(shards: Iterable[Shard], unreadable: int, progress: Progress) -> None:
    """Say in one line what was taken and what was not."""
    refused: Counter[str] = Counter()
    frames = 0
    for shard in shards:
        refused.update(shard.refused)
        frames += shard.frames
    text = f"{frames} frames to learn from"
    if refused:
        text += "; clips passed over: " + ", ".join(f"{n} {why}" for why, n in refused.most_common())
    if unreadable:
        text += f"; {unreadable} files could not be read"
    progress(Notice(text, "warning" if unreadable else "info"))
