"""A folder of videos in, the same tree of enlarged ones out; what fails does not stop the rest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from vidsr.config import UpscaleConfig
from vidsr.errors import (
    BackendUnavailable,
    IncompatibleStreams,
    InputError,
    OutputError,
    UsageError,
    VidsrError,
    WeightsError,
)
from vidsr.pipelines.report import UpscaleReport, check_report_path, write_report
from vidsr.pipelines.upscale import upscale_video
from vidsr.progress import Notice, Progress, silent
from vidsr.video.containers import known_suffixes
from vidsr.video.durable import disk_errors
from vidsr.video.job import JOB_SUFFIX, remove_if_proven
from vidsr.video.source import VIDEO_SUFFIXES

Outcome = Literal["done", "finished before", "failed"]
Upscale = Callable[[UpscaleConfig, Progress], UpscaleReport]

CONCERNS_ALL = (BackendUnavailable, WeightsError)
"""Errors that the next file would meet as well: no file is tried after them."""


@dataclass(frozen=True)
class FileResult:
    """What became of one video."""

    input: str
    output: str
    outcome: Outcome
    error: str = ""  # of a failed one
    report: UpscaleReport | None = None  # of one done in this run

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "report": None if self.report is None else self.report.to_json()}


@dataclass(frozen=True)
class FolderReport:
    """The end of a run over a folder."""

    input: str
    output: str
    files: tuple[FileResult, ...]  # in order of their names
    others: int  # files whose endings are no videos'
    seconds: float  # wall time

    @property
    def failed(self) -> int:
        """How many videos could not be enlarged."""
        return self._count("failed")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **asdict(self),
            "files": [result.to_json() for result in self.files],
            "failed": self.failed,
        }

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """A table for people: file, outcome, frames with their rate, what else is to say."""
        for result in self.files:
            name = str(Path(result.input).relative_to(self.input))
            frames = ""
            said = result.error.removeprefix(f"{result.input}: ")
            if result.report is not None:
                frames = f"{result.report.frames} ({result.report.fps:.1f} fps)"
                said = str(Path(result.output).relative_to(self.output))
            yield name, result.outcome, frames, said

    def summary(self) -> str:
        """One line for a person."""
        parts = [
            f"{count} {word}"
            for word in ("done", "finished before", "failed")
            if (count := self._count(word))
        ]
        if self.others:
            parts.append(f"{self.others} other file{'s' * (self.others != 1)} left alone")
        return f"{self.output}: {', '.join(parts)}, in {self.seconds:.1f} s"

    def _count(self, outcome: str) -> int:
        return sum(result.outcome == outcome for result in self.files)


def upscale_folder(
    config: UpscaleConfig, progress: Progress = silent, *, upscale: Upscale = upscale_video
) -> FolderReport:
    """Enlarge every video below the folder `config.input` into the same tree below `config.output`.

    An output appears only when it is proven, so one that exists is finished and passed over, unless
    `config.overwrite`; a job folder is gone on with. A video that fails is noted, and the next one's
    turn comes. Raises UsageError or InputError for the folders themselves, and what concerns all files
    alike: WeightsError, BackendUnavailable.
    """
    began = time.perf_counter()
    check_folders(config.input, config.output)
    check_report_path(config)
    sources, others = find_videos(config.input, leave_out=config.output)
    if not sources:
        raise InputError(f"{config.input}: holds no video: give a folder that does, or a file")
    results = []
    for number, source in enumerate(sources, start=1):
        relative = source.relative_to(config.input)
        targets = targets_of(config.output / relative)
        found = next((target for target in targets if target.exists()), None)
        if found is not None and not config.overwrite:
            remove_if_proven(found)  # a run killed at the very end
            results.append(FileResult(str(source), str(found), "finished before"))
            continue
        progress(Notice(f"{number} of {len(sources)}: {relative}"))
        result = _upscale_one(config, source, targets, progress, upscale)
        if result.outcome == "failed":
            progress(Notice(result.error, "warning"))
        results.append(result)
    seconds = time.perf_counter() - began
    report = FolderReport(str(config.input), str(config.output), tuple(results), others, seconds)
    if config.report is not None:
        write_report(config.report, report.to_json())
    return report


def check_folders(source: Path, target: Path) -> None:
    """Refuse folders whose files would get into each other's way."""
    if not source.is_dir():
        raise InputError(f"{source}: no such folder")
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target}: is a file; the output of a folder is a folder")
    if not target.exists() and target.suffix.lower() in VIDEO_SUFFIXES:
        raise UsageError(
            f"{target}: looks like a file; {source} is a folder, so give one for the output"
        )
    if source.resolve().is_relative_to(target.resolve()):
        raise UsageError(
            f"{target}: holds the input, whose files could be replaced; choose another output"
        )


def find_videos(folder: Path, *, leave_out: Path) -> tuple[list[Path], int]:
    """All videos of a folder and those below it, by name, and the number of other files.

    Hidden files, job folders and the folder `leave_out` (the output may lie inside of the input) do not
    count at all. Raises InputError where a folder cannot be listed.
    """
    videos: list[Path] = []
    others = 0
    hidden = leave_out.resolve()

    def refuse(error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{error.filename}: cannot be listed: {reason}") from error

    for place, folders, files in os.walk(folder, onerror=refuse):
        here = Path(place)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and not name.endswith(JOB_SUFFIX)
            and (here / name).resolve() != hidden
        ]
        for name in files:
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in VIDEO_SUFFIXES:
                videos.append(here / name)
            else:
                others += 1
    return sorted(videos), others


def targets_of(mirrored: Path) -> tuple[Path, ...]:
    """The names that an output may have, the best first: the source's own, else that with .mkv behind.

    Behind, and not instead of the ending: `tape.mpg` and `tape.mkv` are two videos.
    """
    in_matroska = mirrored.with_name(f"{mirrored.name}.mkv")
    suffix = mirrored.suffix.lower()
    if suffix == ".mkv":
        return (mirrored,)
    return (mirrored, in_matroska) if suffix in known_suffixes() else (in_matroska,)


def _upscale_one(
    config: UpscaleConfig, source: Path, targets: Sequence[Path], progress: Progress, upscale: Upscale
) -> FileResult:
    target = targets[0]
    try:
        with disk_errors(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        for target in targets:
            try:
                alone = replace(config, input=source, output=target, report=None)
                report = upscale(alone, progress)
                return FileResult(str(source), str(target), "done", report=report)
            except IncompatibleStreams as error:
                if target == targets[-1]:
                    raise
                progress(Notice(f"{error}; writing to {targets[-1].name}"))
        raise AssertionError("a video has at least one possible name")
    except CONCERNS_ALL:
        raise
    except VidsrError as error:
        return FileResult(str(source), str(target), "failed", str(error))
    except Exception as error:  # a fault of vidsr's own must not cost the other nine hundred tapes
        said = f"{source}: unexpected {type(error).__name__}: {error} (a fault of vidsr's own)"
        return FileResult(str(source), str(target), "failed", said)
