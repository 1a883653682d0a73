"""What a run must share with the one it continues."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from vidsr.config import UpscaleConfig
from vidsr.models.weights import Weights
from vidsr.pipelines.ability import Ability
from vidsr.pipelines.manner import Manner
from vidsr.pipelines.segment import Reader
from vidsr.versions import installed
from vidsr.video.encoders import codec_versions
from vidsr.video.job import Job, JobIdentity, fingerprint
from vidsr.video.sequences import SequenceReader


def open_job(
    config: UpscaleConfig,
    reader: Reader,
    ability: Ability,
    manner: Manner,
    weights: Weights,
    *,
    size: tuple[int, int],
    encoding: Mapping[str, Any],
    segments: Sequence[tuple[int | None, int | None]] = (),
    chosen: Mapping[str, Any],
    segment_suffix: str = ".nut",
) -> Job:
    """Begin the job of this output, or take up what an earlier run of the same command left.

    `size` is the output's (height, width). `manner` and `chosen` are kept if the job is new; else those
    of its first run count (`Job.chosen`).
    Raises JobError where the folder belongs to other settings, another input or other software.
    """
    info = reader.info
    identity = JobIdentity(
        input=_fingerprint(config, reader),
        settings={
            "height": size[0],
            "width": size[1],
            "stream": info.stream_index,
            "fps": None if config.fps is None else str(config.fps),
            "deinterlace": config.deinterlace,
            "batch": config.batch,
            "tile": config.tile,
            # The digest of the weights differs too; this is what the user knows it by.
            "detail": weights.detail,
        },
        weights_sha256=weights.sha256,
        backend=f"{ability.backend} {ability.precision}",
        versions=software(ability.runtime),
        encoding=encoding,
        segments=tuple(segments),
    )
    return Job.open(
        config.output,
        identity,
        chosen={**chosen, **manner.to_json()},
        restart=config.restart,
        segment_suffix=segment_suffix,
    )


def software(runtime: str) -> dict[str, str]:
    """Versions of all that decides the frames; `runtime` is the backend's."""
    return {
        "vidsr": version("vidsr-cli"),
        "torch": installed("torch") or "",
        "numpy": np.__version__,
        "backend": runtime,
        "codecs": codec_versions(),
    }


def _fingerprint(config: UpscaleConfig, reader: Reader) -> dict[str, Any]:
    if not isinstance(reader, SequenceReader):
        return fingerprint(config.input)
    digest = hashlib.sha256()
    for path in reader.files:
        status = path.stat()
        digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return {"name": config.input.name, "files": len(reader.files), "sha256": digest.hexdigest()}
