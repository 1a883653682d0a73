"""A video out of a pipe into a file: enlarged as it comes, joined and proven at its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict

from vidsr.config import UpscaleConfig
from vidsr.errors import IncompatibleStreams, InputError, OutputError, UsageError
from vidsr.inference.backend import Backend
from vidsr.inference.upscaler import Upscaler
from vidsr.models.weights import Weights
from vidsr.pipelines.pipe import (
    announce,
    enlarge_pieces,
    enlarged_by,
    open_source,
    open_upscaler,
    pipe_facts,
    told_of,
)
from vidsr.pipelines.pipe_plan import PipePlan, plan_pipe
from vidsr.pipelines.report import UpscaleReport
from vidsr.pipelines.score_report import ScoreReport
from vidsr.pipelines.segment import FramePair
from vidsr.pipelines.stages import StageClock, slowest, until_stopped
from vidsr.pipelines.upscale_plan import writes_pictures
from vidsr.progress import Advanced, Finished, Notice, Progress, Started
from vidsr.video.containers import container_for
from vidsr.video.durable import put_in_place
from vidsr.video.job import Job, JobIdentity
from vidsr.video.pieces import Copied
from vidsr.video.proof import ProofReport, prove
from vidsr.video.provenance import provenance_tags
from vidsr.video.remux import RemuxPlan, join, plan_remux
from vidsr.video.sidecar import Sidecar
from vidsr.video.source import open_input
from vidsr.video.standard_streams import STDIN
from vidsr.video.stream_reader import StreamReader
from vidsr.video.writer import SegmentRecord, VideoWriter


def upscale_from_pipe(
    config: UpscaleConfig,
    progress: Progress,
    opener: Callable[[Weights, UpscaleConfig, Progress], Backend],
) -> UpscaleReport:
    """Enlarge a video out of standard input into a file, which appears whole and proven, or not at all.

    A live stream has no other end than that somebody stops it: on KeyboardInterrupt the file is
    finished with all frames up to there, and then the interrupt goes on. Nothing can be resumed.
    Raises VidsrError with one line for the user.
    """
    began = time.perf_counter()
    _refuse_what_needs_the_whole(config)
    clocks = StageClock("decode"), StageClock("network"), StageClock("encode")
    with open_source(config) as reader:
        assert isinstance(reader, StreamReader)
        plan = plan_pipe(config, reader)
        announce(plan, reader, progress)
        with opener(plan.weights, config, progress) as backend, _open_job(config, plan) as job:
            try:
                told = told_of(config, reader, plan, backend)
                upscaler = open_upscaler(config, reader, plan, backend)
                sidecar = Sidecar(job.folder, reader)
                for text in sidecar.notices:
                    progress(Notice(text))
                interrupted = _record(
                    reader, plan, upscaler, job, sidecar, clocks, progress, score=config.score
                )
                record = job.finished(0)
                if record is None or not record.frames:
                    raise interrupted or InputError(f"{STDIN}: not one frame could be decoded")
                remux, proof = _finish(config, plan, job, sidecar, record, told, progress)
            finally:
                job.remove()  # a pipe cannot be read again: there is nothing to go on from
    report = UpscaleReport(
        **pipe_facts(config, reader, plan, backend, upscaler.tally, clocks),
        provenance=told,
        output=str(config.output),
        frames=record.frames,
        input_frames=upscaler.tally.frames,
        seconds=time.perf_counter() - began,
        checks=proof.checks,
        proof=asdict(proof),
        faithfulness=ScoreReport.of_segments([record], remux.shift, enlarged_by(reader, plan)),
    )
    if interrupted is not None:
        progress(Notice(report.summary()))
        raise interrupted
    return report


def _record(
    reader: StreamReader,
    plan: PipePlan,
    upscaler: Upscaler,
    job: Job,
    sidecar: Sidecar,
    clocks: tuple[StageClock, StageClock, StageClock],
    progress: Progress,
    *,
    score: bool,
) -> KeyboardInterrupt | None:
    """Write the whole pipe as one segment and its sidecar; returns the interrupt that ended it."""
    done = 0
    closed = threading.Event()
    closed.set()  # until it is opened
    progress(Started("upscale", None))

    def write(pieces: Iterable[FramePair | Copied]) -> None:
        nonlocal done
        closed.clear()
        try:
            with sidecar, VideoWriter(job.segment_path(0), plan.output, plan.encoding) as writer:
                for piece in until_stopped(pieces):
                    if isinstance(piece, Copied):
                        sidecar.keep(piece.packet)
                        continue
                    for shown in (piece,) if plan.rate is None else piece.repeated(plan.rate):
                        writer.write(shown.enlarged, shown.source if score else None)
                    done += len(piece.source)
                    progress(Advanced("upscale", done, slowest(clocks)))
                writer.decode_errors = reader.errors
        finally:
            closed.set()

    try:
        enlarge_pieces(reader, plan, upscaler, reader.pieces, write, clocks)
    except KeyboardInterrupt as interrupt:
        closed.wait()  # for the encoder's last frames; a second interrupt ends this too
        return interrupt
    finally:
        progress(Finished("upscale"))
    return None


def _finish(
    config: UpscaleConfig,
    plan: PipePlan,
    job: Job,
    sidecar: Sidecar,
    record: SegmentRecord,
    told: str,
    progress: Progress,
) -> tuple[RemuxPlan, ProofReport]:
    """Join what was recorded, prove it, and give it its name; `told` is how it was made."""
    remux = plan_remux(
        sidecar.path,
        sidecar.main_stream,
        config.output,
        plan.output,
        plan.encoding.codec,
        drop_incompatible=config.drop_incompatible,
    )
    joined = job.folder / f"joined{config.output.suffix}"
    with open_input(sidecar.path) as file:
        tags = provenance_tags(remux, told, file.metadata)
    join(remux, [job.segment_path(0)], joined, metadata=tags, progress=progress)
    proof = prove(
        sidecar.path,
        joined,
        remux,
        record.pts,
        plan.output.time_base,
        decode_errors=record.decode_errors,
        provenance=told if tags else "",
        progress=progress,
    )
    if config.output.exists() and not config.overwrite:
        raise OutputError(f"{config.output}: appeared meanwhile; take another name, or --overwrite")
    put_in_place(joined, config.output)
    return remux, proof


def _open_job(config: UpscaleConfig, plan: PipePlan) -> Job:
    """A folder of its own for every run: no later one may take it for its own."""
    identity = JobIdentity(
        input={"pipe": time.time_ns()},
        settings={},
        weights_sha256=plan.weights.sha256,
        backend="",
        versions={},
        encoding={},
        segments=(),
    )
    return Job.open(
        config.output,
        identity,
        restart=config.restart,
        segment_suffix=plan.encoding.segment_suffix,
    )


def _refuse_what_needs_the_whole(config: UpscaleConfig) -> None:
    """Refuse outputs that cannot be begun before the end of the input is known."""
    if writes_pictures(config.output):
        raise UsageError(
            f"{config.output}: pictures are made of files; of a pipe make them with "
            f"vidsr upscale - - | ffmpeg -i - {config.output}"
        )
    if container_for(config.output).constant_rate:
        raise IncompatibleStreams(
            f"{config.output}: {config.output.suffix} needs times that are known beforehand,"
            " and those of a pipe are not: write to .mkv instead"
        )
