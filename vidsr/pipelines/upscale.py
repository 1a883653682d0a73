"""A video in, the same video out, larger: plan segments, upscale each, join, prove."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import torch

from vidsr.config import UpscaleConfig
from vidsr.errors import InputError, OutputError
from vidsr.inference.backend import Backend, open_backend
from vidsr.inference.memory import free_bytes
from vidsr.inference.upscaler import Upscaler, WorkPlan, plan_work
from vidsr.models.weights import Weights
from vidsr.pipelines.segment import Segment, upscale_segments
from vidsr.pipelines.stages import StageClock
from vidsr.pipelines.upscale_plan import UpscalePlan, check_paths, plan_upscale
from vidsr.progress import Advanced, Finished, Notice, Progress, Started, silent
from vidsr.video.durable import put_in_place
from vidsr.video.encoders import codec_versions
from vidsr.video.job import Job, JobIdentity, fingerprint
from vidsr.video.proof import ProofReport, prove
from vidsr.video.reader import VideoReader
from vidsr.video.remux import join
from vidsr.video.writer import SegmentRecord


@dataclass(frozen=True)
class UpscaleReport:
    """What a run did, for people and for machines."""

    input: str
    output: str
    input_size: tuple[int, int]  # width, height, pixels
    output_size: tuple[int, int]
    model: str
    scale: int  # the network's own factor
    backend: str
    precision: str
    frames: int  # of the output
    resumed_frames: int  # of the input, found finished from an earlier run
    decode_errors: int
    seconds: float  # of this run, wall time
    stage_seconds: dict[str, float]  # work of each stage without its waiting
    notices: tuple[str, ...]
    proof: ProofReport

    @property
    def fps(self) -> float:
        """Frames per second of this run, start and end included."""
        return (self.frames - self.resumed_frames) / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "fps": self.fps, "proof": self.proof.to_json()}

    def summary(self) -> str:
        """One or two lines for a person."""
        width, height = self.output_size
        text = (
            f"{self.output}: {width}x{height}, {self.frames} frames in {self.seconds:.1f} s "
            f"({self.fps:.1f} fps), {self.model} x{self.scale} on {self.backend}\n{self.proof.summary()}"
        )
        if self.decode_errors:
            text += f"\n{self.decode_errors} errors in the input; every frame it gave is in the output"
        return text


BackendOpener = Callable[[Weights, UpscaleConfig, Progress], Backend]


def upscale_video(
    config: UpscaleConfig,
    progress: Progress = silent,
    *,
    opener: BackendOpener = open_backend,
) -> UpscaleReport:
    """Enlarge one video as the configuration says; the output appears whole and proven, or not at all.

    A run that is stopped at any moment leaves a job folder beside the output, from which the same call
    goes on. Raises VidsrError with one line for the user.
    """
    began = time.perf_counter()
    check_paths(config)
    with VideoReader(
        config.input, video_stream=config.video_stream, deinterlace=config.deinterlace
    ) as reader:
        plan = plan_upscale(config, reader)
        for text in plan.notices:
            progress(Notice(text))
        if reader.deinterlacing:
            progress(Notice("the input is interlaced: it is deinterlaced (--no-deinterlace leaves it)"))
        with (
            opener(plan.weights, config, progress) as backend,
            _open_job(config, plan, reader, backend) as job,
        ):
            torch.set_num_threads(job.chosen["torch_threads"])
            encoding = replace(plan.encoding, threads=job.chosen["threads"])
            upscaler = Upscaler(
                backend,
                WorkPlan(job.chosen["batch"], job.chosen["tile"]),
                encoding.color,
                (plan.output.height, plan.output.width),
            )
            clocks = StageClock("decode"), StageClock("network"), StageClock("encode")
            found = sum(record.frames for _, record in _finished(job, plan) if record is not None)
            if job.resumed and found:
                progress(Notice(f"going on after {found} finished frames ({job.folder})"))

            done = found
            progress(Started("upscale", reader.timeline.count, done=done))

            def on_frames(count: int) -> None:
                nonlocal done
                done += count
                slowest = max(clocks, key=lambda clock: clock.busy_s)
                progress(Advanced("upscale", done, slowest.name))

            for run in _missing_runs(job, plan):
                upscale_segments(
                    reader,
                    run,
                    upscaler,
                    plan.output,
                    encoding,
                    lambda segment: job.segment_path(segment.index),
                    rate=plan.rate,
                    clocks=clocks,
                    on_frames=on_frames,
                )
            progress(Finished("upscale"))

            records = [record for _, record in _finished(job, plan) if record is not None]
            if not any(record.frames for record in records):
                raise InputError(f"{config.input}: not one frame could be decoded; is the file damaged?")
            joined = job.folder / f"joined{config.output.suffix}"
            try:
                join(
                    plan.remux,
                    [job.segment_path(segment.index) for segment in plan.segments],
                    joined,
                    progress=progress,
                )
                proof = prove(
                    config.input,
                    joined,
                    plan.remux,
                    [pts for record in records for pts in record.pts],
                    plan.output.time_base,
                    source_pts=reader.timeline.pts if plan.rate is None else plan.rate.output_pts,
                    decode_errors=sum(record.decode_errors for record in records),
                )
                if config.output.exists() and not config.overwrite:
                    raise OutputError(
                        f"{config.output}: appeared meanwhile; take another name, or --overwrite"
                    )
                job.mark_proven()
                put_in_place(joined, config.output)
            finally:
                joined.unlink(missing_ok=True)
            job.remove()
    info = reader.info
    return UpscaleReport(
        input=str(config.input),
        output=str(config.output),
        input_size=(info.width, info.height),
        output_size=(plan.output.width, plan.output.height),
        model=plan.weights.name,
        scale=backend.scale,
        backend=backend.name,
        precision=backend.precision,
        frames=sum(record.frames for record in records),
        resumed_frames=found,
        decode_errors=sum(record.decode_errors for record in records),
        seconds=time.perf_counter() - began,
        stage_seconds={clock.name: round(clock.busy_s, 3) for clock in clocks},
        notices=plan.notices,
        proof=proof,
    )


def _open_job(config: UpscaleConfig, plan: UpscalePlan, reader: VideoReader, backend: Backend) -> Job:
    """Begin the job, or take up what an earlier run of the same command left."""
    import vidsr

    encoding = plan.encoding.as_json()
    threads = encoding.pop("threads")
    info = reader.info
    work = plan_work(
        (info.height, info.width), backend, free_bytes(backend.device), config.batch, config.tile
    )
    identity = JobIdentity(
        input=fingerprint(config.input),
        settings={
            "width": plan.output.width,
            "height": plan.output.height,
            "stream": info.stream_index,
            "fps": None if config.fps is None else str(config.fps),
            "deinterlace": config.deinterlace,
            "batch": config.batch,
            "tile": config.tile,
        },
        weights_sha256=plan.weights.sha256,
        backend=f"{backend.name} {backend.precision}",
        versions={
            "vidsr": str(vidsr.__version__),
            "torch": torch.__version__,
            "codecs": codec_versions(),
        },
        encoding=encoding,
        segments=tuple((segment.start_pts, segment.end_pts) for segment in plan.segments),
    )
    chosen = {
        "threads": threads,
        "batch": work.batch,
        "tile": work.tile,
        "torch_threads": torch.get_num_threads(),
    }
    return Job.open(
        config.output,
        identity,
        chosen=chosen,
        restart=config.restart,
        segment_suffix=plan.encoding.segment_suffix,
    )


def _finished(job: Job, plan: UpscalePlan) -> Iterator[tuple[Segment, SegmentRecord | None]]:
    return ((segment, job.finished(segment.index)) for segment in plan.segments)


def _missing_runs(job: Job, plan: UpscalePlan) -> list[list[Segment]]:
    """The segments still to do, as runs without a gap: each run needs one decoder and one start."""
    return [
        [segment for segment, _ in group]
        for finished, group in groupby(_finished(job, plan), key=lambda pair: pair[1] is not None)
        if not finished
    ]
