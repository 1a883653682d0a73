"""A video in, the same video out, larger: plan segments, upscale each, join, prove."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import groupby

from vidsr.config import PIPE, UpscaleConfig
from vidsr.errors import InputError, OutputError, UsageError
from vidsr.inference.backend import open_backend
from vidsr.pipelines.crew import Crew, call_crew, check_crew
from vidsr.pipelines.ledger import Ledger
from vidsr.pipelines.manner import Manner, Material
from vidsr.pipelines.model_choice import learn_from
from vidsr.pipelines.orders import BackendOpener, Orders
from vidsr.pipelines.report import UpscaleReport, check_report_path, provenance, write_report
from vidsr.pipelines.resume import open_job, software
from vidsr.pipelines.score_report import ScoreReport
from vidsr.pipelines.segment import Reader, Segment
from vidsr.pipelines.upscale_plan import (
    UpscalePlan,
    check_paths,
    is_deinterlaced,
    open_reader,
    plan_upscale,
    writes_pictures,
)
from vidsr.plain import plain
from vidsr.progress import Finished, Notes, Notice, Progress, Started, silent
from vidsr.video.durable import put_in_place
from vidsr.video.job import PREVIEW_NAME, Job
from vidsr.video.proof import prove
from vidsr.video.provenance import history, made_by, provenance_tags
from vidsr.video.remux import join
from vidsr.video.scratch import sweep_scratch
from vidsr.video.source import open_input
from vidsr.video.writer import SegmentRecord


def upscale_video(
    config: UpscaleConfig, progress: Progress = silent, *, opener: BackendOpener = open_backend
) -> UpscaleReport:
    """Enlarge one video as the configuration says; the output appears whole and proven, or not at all.

    A run that is stopped at any moment leaves a job folder beside the output, from which the same call
    goes on. Raises VidsrError with one line for the user.
    """
    check_crew(config)
    check_paths(config)
    check_report_path(config)
    sweep_scratch()
    notes = Notes(progress)
    report = replace(_enlarge(config, notes, opener), notices=tuple(notes.texts))
    if config.report is not None:
        write_report(config.report, report.to_json())
    return report


def _enlarge(config: UpscaleConfig, progress: Progress, opener: BackendOpener) -> UpscaleReport:
    if config.preview and (PIPE in (config.input, config.output) or writes_pictures(config.output)):
        raise UsageError("--preview is for videos in files; pipes and pictures show all there is to see")
    if config.output == PIPE:
        from vidsr.pipelines.pipe import upscale_to_pipe

        return upscale_to_pipe(config, progress, opener)
    if config.input == PIPE:
        from vidsr.pipelines.capture import upscale_from_pipe

        return upscale_from_pipe(config, progress, opener)
    began = time.perf_counter()
    with open_reader(config) as reader:
        if writes_pictures(config.output):
            from vidsr.pipelines.pictures import upscale_to_pictures

            return upscale_to_pictures(config, reader, progress, opener)
        plan = plan_upscale(config, reader)
        for text in plan.notices:
            progress(Notice(text))
        if plan.expectation is not None:
            progress(Notice(f"{plan.weights.label}: {plan.expectation}"))
        if is_deinterlaced(reader):
            progress(Notice("the input is interlaced: it is deinterlaced (--no-deinterlace leaves it)"))
        with (
            call_crew(plan.weights, config, progress, opener, _material(plan, reader)) as crew,
            _open_job(config, plan, reader, crew) as job,
        ):
            found = sum(record.frames for record in _records(job, plan))
            ledger = _upscale_missing(config, plan, reader, crew, job, progress)
            for text in reader.notices[len(plan.reading) :]:
                progress(Notice(text, "warning"))
            if crew.count == 1 and opener is open_backend:
                network = ledger.clocks[1]
                learn_from(config, plan.weights, reader.info, ledger.work.network, network.busy_s)
            records = list(_records(job, plan))
            if not any(record.frames for record in records):
                raise InputError(f"{config.input}: not one frame could be decoded; is the file damaged?")
            errors = sum(record.decode_errors for record in records)

            joined = job.folder / f"joined{config.output.suffix}"
            making = provenance(plan.weights, reader.info, crew.ability)
            told = made_by(making, history(plan.source))
            with open_input(plan.source) as file:
                tags = provenance_tags(plan.remux, told, file.metadata)
            try:
                paths = [job.segment_path(segment.index) for segment in plan.segments]
                join(plan.remux, paths, joined, metadata=tags, progress=progress)
                proof = prove(
                    plan.source,
                    joined,
                    plan.remux,
                    [pts for record in records for pts in record.pts],
                    plan.output.time_base,
                    source_pts=reader.timeline.pts if plan.rate is None else plan.rate.output_pts,
                    decode_errors=errors,
                    provenance=told if tags else "",
                    progress=progress,
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
    return UpscaleReport(
        input=str(config.input),
        output=str(config.output),
        input_size=(reader.info.width, reader.info.height),
        output_size=(plan.output.width, plan.output.height),
        model=plan.weights.name,
        scale=crew.ability.scale,
        backend=crew.ability.backend,
        precision=crew.ability.precision,
        frames=sum(record.frames for record in records),
        input_frames=reader.timeline.count,
        resumed_frames=found,
        decode_errors=errors,
        work=ledger.work,
        seconds=time.perf_counter() - began,
        stage_seconds={clock.name: round(clock.busy_s, 3) for clock in ledger.clocks},
        notices=plan.notices,
        checks=proof.checks,
        proof=asdict(proof),
        faithfulness=ScoreReport.of_segments(
            records,
            plan.remux.shift,
            (plan.output.height / reader.info.height, plan.output.width / reader.info.width),
        ),
        settings=plain(config),
        weights=plan.weights.to_json(),
        encoding={**plan.encoding.as_json(), "threads": job.chosen["threads"]},
        versions=software(crew.ability.runtime),
        provenance=told,
    )


def _upscale_missing(
    config: UpscaleConfig,
    plan: UpscalePlan,
    reader: Reader,
    crew: Crew,
    job: Job,
    progress: Progress,
) -> Ledger:
    """Let the crew do every segment that is not finished; gives back what it took."""
    orders = Orders(
        plan.output,
        replace(plan.encoding, threads=job.chosen["threads"]),
        plan.rate,
        _material(plan, reader),
        Manner.kept(job.chosen),
        config.skip,
        config.score,
        job.folder / PREVIEW_NAME if config.preview else None,
    )
    pending = _missing_runs(job, plan)
    left = sum(_frames_between(reader, run[0], run[-1]) for run in pending)
    ledger = Ledger(
        progress,
        frames=reader.timeline.count - left,
        segments=len(plan.segments) - sum(map(len, pending)),
        workers=crew.count,
    )
    if ledger.frames:
        progress(Notice(f"going on after {ledger.frames} finished frames ({job.folder})"))
    if orders.preview is not None:
        parts = job.folder / f"*{plan.encoding.segment_suffix}"
        progress(Notice(f"preview: {orders.preview}; finished parts can be played: {parts}"))
    progress(Started("upscale", reader.timeline.count, done=ledger.frames))
    crew.upscale(reader, pending, orders, job, ledger)
    progress(Finished("upscale"))
    return ledger


def _open_job(config: UpscaleConfig, plan: UpscalePlan, reader: Reader, crew: Crew) -> Job:
    encoding = plan.encoding.as_json()
    threads = encoding.pop("threads")
    return open_job(
        config,
        reader,
        crew.ability,
        crew.choose(config, _material(plan, reader)),
        plan.weights,
        size=(plan.output.height, plan.output.width),
        encoding=encoding,
        segments=[(segment.start_pts, segment.end_pts) for segment in plan.segments],
        chosen={"threads": threads},
        segment_suffix=plan.encoding.segment_suffix,
    )


def _material(plan: UpscalePlan, reader: Reader) -> Material:
    return Material((reader.info.height, reader.info.width), reader.info.color, plan.encoding.color)


def _records(job: Job, plan: UpscalePlan) -> Iterator[SegmentRecord]:
    """The records of all finished segments, in order."""
    for segment in plan.segments:
        record = job.finished(segment.index)
        if record is not None:
            yield record


def _missing_runs(job: Job, plan: UpscalePlan) -> list[list[Segment]]:
    """The segments still to do, as runs without a gap: each run needs one decoder and one start."""
    runs = groupby(plan.segments, key=lambda segment: job.finished(segment.index) is None)
    return [list(run) for missing, run in runs if missing]


def _frames_between(reader: Reader, first: Segment, last: Segment) -> int:
    """How many frames of the timeline lie in a run of segments."""
    return sum(
        (first.start_pts is None or pts >= first.start_pts)
        and (last.end_pts is None or pts < last.end_pts)
        for pts in reader.timeline.pts
    )
