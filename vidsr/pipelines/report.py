"""What an upscale run did, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vidsr.config import UpscaleConfig
from vidsr.errors import OutputError, UsageError
from vidsr.frames import VideoInfo
from vidsr.inference.tally import Tally
from vidsr.models.weights import Weights
from vidsr.network_name import network_name
from vidsr.pipelines.ability import Ability
from vidsr.pipelines.score_report import ScoreReport
from vidsr.plain import plain
from vidsr.video.durable import write_whole
from vidsr.video.provenance import Provenance


@dataclass(frozen=True)
class UpscaleReport:
    """The end of a run; numbers are of this run where they are times, else of the whole output."""

    input: str
    output: str
    input_size: tuple[int, int]  # width, height, pixels
    output_size: tuple[int, int]
    model: str
    scale: int  # the network's own factor
    backend: str
    precision: str
    frames: int  # of the output
    input_frames: int  # that the input's timeline promises
    resumed_frames: int  # of the output, found finished from an earlier run
    decode_errors: int  # damaged packets and frames of the input
    work: Tally  # of this run: how much of it was left out because nothing had changed
    seconds: float  # wall time
    stage_seconds: Mapping[str, float]  # work of each stage, without its waiting for the others
    notices: tuple[str, ...]  # what the user was told before and after
    checks: tuple[str, ...]  # what the proof found to be right, in words
    proof: Mapping[str, Any]  # the same in numbers
    faithfulness: ScoreReport
    settings: Mapping[str, Any]  # as they were asked for
    weights: Mapping[str, Any]  # name, files, digest, and of a blend its detail
    encoding: Mapping[str, Any]  # encoder, options, format
    versions: Mapping[str, str]  # of all software that decides the frames
    provenance: str  # what the output says of how it was made

    @property
    def fps(self) -> float:
        """Frames per second, from the start of the run to its end."""
        return (self.frames - self.resumed_frames) / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        record = {field.name: plain(getattr(self, field.name)) for field in fields(self)}
        return {**record, "fps": round(self.fps, 3), "faithfulness": self.faithfulness.to_json()}

    def summary(self) -> str:
        """A few lines for a person."""
        width, height = self.output_size
        name = network_name(self.model, self.weights["detail"], self.scale)
        lines = [
            f"{self.output}: {width}x{height}, {self.frames} frame{'s' * (self.frames != 1)} "
            f"in {self.seconds:.1f} s "
            f"({self.fps:.1f} fps), {name} on {self.backend}, {self.precision}",
        ]
        if self.checks:
            lines.append(f"proven: {', '.join(self.checks)}")
        if self.work.network < 0.995 * self.work.frames:
            lines.append(self._skipped())
        if self.work.inexact:
            lines.append(
                f"skipped no parts of frames or batches: on {self.backend} alone they come out otherwise"
            )
        faithful = self.faithfulness.summary()
        if faithful is not None:
            lines.append(faithful)
        if self.decode_errors:
            lines.append(
                f"{self.decode_errors} errors in the input; every frame it gave is in the output"
            )
        return "\n".join(lines)

    def _skipped(self) -> str:
        work = self.work
        parts = [f"{work.repeated} of {work.frames} frames equal the one before"] * (work.repeated > 0)
        parts += [f"{work.partial} of {work.frames} changed in part"] * (work.partial > 0)
        saved = 100 * (1 - work.network / work.frames)
        return f"skipped {saved:.0f} % of the network's work: {', '.join(parts)}"


def provenance(weights: Weights, info: VideoInfo, ability: Ability) -> Provenance:
    """What an output says of how it was made; `info` is the input's."""
    return Provenance(
        version=version("vidsr-cli"),
        model=weights.name,
        sha256=weights.sha256,
        factor=ability.scale,
        size=(info.width, info.height),
        backend=ability.backend,
        precision=ability.precision,
        detail=weights.detail,
    )


def check_report_path(config: UpscaleConfig) -> None:
    """Refuse a report that could not be written, before anything is done for it.

    An earlier report of the same input and output may be replaced: the same command can be given again.
    """
    path = config.report
    if path is None:
        return
    for other, what in ((config.input, "input"), (config.output, "output")):
        if path.absolute() == other.absolute() or (
            path.exists() and other.exists() and path.samefile(other)
        ):
            raise UsageError(f"--report {path}: is the {what} itself; choose another name")
    if path.is_dir():
        raise OutputError(f"{path}: is a directory; give the name of a file in it for the report")
    if path.exists() and not config.overwrite and not _tells_of(path, config):
        raise OutputError(f"{path}: exists already; take another name for the report, or --overwrite")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path.absolute().parent}: no such directory; make it first")


def _tells_of(path: Path, config: UpscaleConfig) -> bool:
    try:
        record = json.loads(path.read_bytes())
        return (record["input"], record["output"]) == (str(config.input), str(config.output))
    except (OSError, ValueError, TypeError, KeyError):
        return False


def write_report(path: Path, record: Mapping[str, Any]) -> None:
    """Write a report's plain values, whole or not at all. Raises OutputError."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, f"{text}\n".encode())
