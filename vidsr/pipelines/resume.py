"""What a run must share with the one it continues."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch

from vidsr.config import UpscaleConfig
from vidsr.frames import ColorSpec
from vidsr.inference.backend import Backend, Tunable
from vidsr.inference.memory import free_bytes
from vidsr.inference.upscaler import WorkPlan, plan_work
from vidsr.models.weights import Weights
from vidsr.pipelines.segment import Reader
from vidsr.video.encoders import codec_versions
from vidsr.video.job import Job, JobIdentity, fingerprint
from vidsr.video.sequences import SequenceReader


def open_job(
    config: UpscaleConfig,
    reader: Reader,
    backend: Backend,
    weights: Weights,
    *,
    size: tuple[int, int],
    target: ColorSpec,
    encoding: Mapping[str, Any],
    segments: Sequence[tuple[int | None, int | None]] = (),
    chosen: Mapping[str, Any],
    segment_suffix: str = ".nut",
) -> Job:
    """Begin the job of this output, or take up what an earlier run of the same command left.

    `size` is the output's (height, width), `target` its colour. How much goes through the network at
    once, with how many threads and in which way it is computed is chosen by the first run and kept by
    the others: it can change the last bit of a sum.
    Raises JobError where the folder belongs to other settings, another input or other software.
    """
    info = reader.info
    work = plan_work(
        (info.height, info.width), backend, free_bytes(backend.device), config.batch, config.tile
    )
    call = work.usual_call((info.height, info.width), info.color, target)
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
        },
        weights_sha256=weights.sha256,
        backend=f"{backend.name} {backend.precision}",
        versions=software(backend.runtime),
        encoding=encoding,
        segments=tuple(segments),
    )
    job = Job.open(
        config.output,
        identity,
        chosen={
            **chosen,
            "batch": work.batch,
            "tile": work.tile,
            "torch_threads": torch.get_num_threads(),
            "way": backend.tune(call) if isinstance(backend, Tunable) else None,
        },
        restart=config.restart,
        segment_suffix=segment_suffix,
    )
    compute_as_chosen(job.chosen, backend, (info.height, info.width), info.color, target)
    return job


def compute_as_chosen(
    chosen: Mapping[str, Any],
    backend: Backend,
    size: tuple[int, int],
    source: ColorSpec,
    target: ColorSpec,
) -> None:
    """Make this process compute as a job's first run did; `size` is the source's (height, width).

    Raises BackendUnavailable where it cannot.
    """
    torch.set_num_threads(chosen["torch_threads"])
    if isinstance(backend, Tunable):
        work = WorkPlan(chosen["batch"], chosen["tile"])
        backend.use(chosen["way"], work.usual_call(size, source, target))


def software(runtime: str) -> dict[str, str]:
    """Versions of all that decides the frames; `runtime` is the backend's."""
    return {
        "vidsr": version("vidsr-cli"),
        "torch": torch.__version__,
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
