"""A video into a pipe: enlarged as it comes, from a pipe or a file, and sent on at once.

There is no looking ahead, no going back and no resuming. What comes besides the video goes through the
same queues, so that order is kept and memory is bounded, however long the stream is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from vidsr.config import PIPE, UpscaleConfig
from vidsr.errors import UsageError
from vidsr.frames import VideoInfo
from vidsr.inference.backend import Backend
from vidsr.inference.tally import Tally
from vidsr.inference.upscaler import Upscaler
from vidsr.models.weights import Weights
from vidsr.pipelines.ability import ability_of
from vidsr.pipelines.manner import Material, choose, compute_as_chosen
from vidsr.pipelines.pipe_plan import PipePlan, Source, file_of, plan_pipe
from vidsr.pipelines.report import UpscaleReport, provenance
from vidsr.pipelines.resume import software
from vidsr.pipelines.score_report import ScoreReport
from vidsr.pipelines.segment import QUEUE_BYTES, FramePair
from vidsr.pipelines.stages import StageClock, run_stages, slowest
from vidsr.pipelines.upscale_plan import is_deinterlaced, open_reader
from vidsr.plain import plain
from vidsr.progress import Advanced, Finished, Notice, Progress, Started
from vidsr.video.heads import first_packets
from vidsr.video.others import OtherPackets
from vidsr.video.pieces import Copied, Piece, interleaved
from vidsr.video.provenance import history, history_in, made_by, provenance_tags
from vidsr.video.source import open_input
from vidsr.video.standard_streams import STDIN, STDOUT, StandardInput, StandardOutput
from vidsr.video.stream_reader import StreamReader
from vidsr.video.stream_writer import StreamWriter
from vidsr.video.y4m import Y4mWriter

QUEUED_FRAMES = 2
"""Enlarged frames that may wait between two stages: enough to overlap them. What waits is delay to a
live stream, and is lost when it is stopped."""


def upscale_to_pipe(
    config: UpscaleConfig,
    progress: Progress,
    opener: Callable[[Weights, UpscaleConfig, Progress], Backend],
) -> UpscaleReport:
    """Enlarge a video onto standard output, frame by frame; what was sent is whole whenever it ends.

    Raises VidsrError with one line for the user; BrokenPipeError when nobody reads any more;
    KeyboardInterrupt as soon as the stream has its end.
    """
    began = time.perf_counter()
    with StandardOutput() as stdout, open_source(config) as source, ExitStack() as opened:
        plan = plan_pipe(config, source)
        announce(plan, source, progress)
        with opener(plan.weights, config, progress) as backend:
            told = told_of(config, source, plan, backend)
            writer: StreamWriter | Y4mWriter
            if plan.remux is None:
                writer = Y4mWriter(stdout, plan.output)
                pieces = pieces_of(source)
            elif isinstance(source, StreamReader):
                covers = {h.stream.index: bytes(h.packets[0]) for h in source.heads if h.packets}
                writer = StreamWriter(
                    stdout,
                    plan.remux,
                    source.container,
                    plan.output,
                    plan.encoding,
                    covers=covers,
                    tags=provenance_tags(plan.remux, told, source.container.metadata),
                )
                pieces = pieces_of(source)
            else:
                path = file_of(config, source)
                file = opened.enter_context(open_input(path))
                covers = first_packets(
                    path, {s.index for s in plan.remux.streams if s.action == "attach"}
                )
                writer = StreamWriter(
                    stdout,
                    plan.remux,
                    file,
                    plan.output,
                    plan.encoding,
                    covers=covers,
                    tags=provenance_tags(plan.remux, told, file.metadata),
                )
                pieces = pieces_of(source, OtherPackets(file, plan.remux))

            clocks = StageClock("decode"), StageClock("network"), StageClock("encode")
            done = frames = 0
            progress(Started("upscale", _count(source)))

            def write(enlarged: Iterable[FramePair | Copied]) -> None:
                nonlocal done, frames
                is_told = False
                with writer:
                    for piece in enlarged:
                        if isinstance(piece, Copied):
                            writer.copy(piece.packet)
                            continue
                        for shown in (piece,) if plan.rate is None else piece.repeated(plan.rate):
                            writer.write(shown.enlarged)
                            frames += len(shown.enlarged)
                        done += len(piece.source)
                        progress(Advanced("upscale", done, slowest(clocks)))
                        if isinstance(writer, Y4mWriter) and writer.uneven and not is_told:
                            progress(Notice(_uneven(plan.output), "warning"))
                            is_told = True

            upscaler = open_upscaler(config, source, plan, backend)
            enlarge_pieces(source, plan, upscaler, pieces, write, clocks)
            progress(Finished("upscale"))
        return UpscaleReport(
            **pipe_facts(config, source, plan, backend, upscaler.tally, clocks),
            provenance=told,
            output=str(STDOUT),
            frames=frames,
            input_frames=done,
            seconds=time.perf_counter() - began,
            checks=(),  # what went into the pipe cannot be read again
            proof={},
            faithfulness=ScoreReport(frames, (), enlarged_by(source, plan)),
        )


def open_source(config: UpscaleConfig) -> Source:
    """Open the input, whatever it is; a pipe waits for its first frames.

    Raises UsageError where several devices or the card's decoder are asked for.
    """
    if config.crew.several:
        raise UsageError("--devices share out the parts of a file, and a pipe has none: leave it out")
    if config.input != PIPE:
        return open_reader(config)
    if config.hwaccel == "cuda":
        raise UsageError("--hwaccel cuda is for files: a pipe is decoded in software")
    return StreamReader(
        StandardInput(), video_stream=config.video_stream, deinterlace=config.deinterlace
    )


def announce(plan: PipePlan, source: Source, progress: Progress) -> None:
    """Say what the user should know before it begins."""
    for text in plan.notices:
        progress(Notice(text))
    if is_deinterlaced(source):
        progress(Notice("the input is interlaced: it is deinterlaced (--no-deinterlace leaves it)"))


def pieces_of(source: Source, others: OtherPackets | None = None) -> Callable[[int], Iterator[Piece]]:
    """What a source gives, for a number of frames in a batch; a file with its other packets."""
    if isinstance(source, StreamReader):
        return source.pieces
    if others is None:
        return source.batches
    return lambda size: interleaved(source.batches(size), others)


def open_upscaler(config: UpscaleConfig, source: Source, plan: PipePlan, backend: Backend) -> Upscaler:
    """What enlarges the frames, with as much at once as fits; of a pipe one at a time, unless asked."""
    info, output, color = source.info, plan.output, plan.encoding.color
    if isinstance(source, StreamReader):
        # The frames of a batch wait for its last one: for a pipe that is delay.
        config = replace(config, batch=config.batch or 1)
    material = Material((info.height, info.width), info.color, color)
    manner = choose(backend, config, material)
    compute_as_chosen(manner, backend, material)
    return Upscaler(backend, manner.work, color, (output.height, output.width), skip=config.skip)


def enlarge_pieces(
    source: Source,
    plan: PipePlan,
    upscaler: Upscaler,
    pieces: Callable[[int], Iterator[Piece]],
    write: Callable[[Iterable[FramePair | Copied]], None],
    clocks: tuple[StageClock, StageClock, StageClock],
) -> None:
    """Pass all pieces to `write`, frames enlarged and everything else as it is, in order."""

    def read() -> Iterable[Piece]:
        found = pieces(upscaler.plan.batch)
        return found if plan.rate is None else plan.rate.select(found)

    def enlarge(pieces: Iterable[Piece]) -> Iterator[FramePair | Copied]:
        # One by one, not `upscaler.stream`: a frame shall not wait for those behind it.
        for piece in pieces:
            if isinstance(piece, Copied):
                yield piece
            else:
                upscaler.begin_segment()  # nothing is ever begun again, so any frame will do
                yield FramePair(piece, upscaler(piece))

    run_stages(
        read,
        enlarge,
        write,
        limit=min(QUEUE_BYTES, QUEUED_FRAMES * _frame_bytes(plan.output)),
        clocks=clocks,
        stop=source.stop if isinstance(source, StreamReader) else None,
    )


def pipe_facts(
    config: UpscaleConfig,
    source: Source,
    plan: PipePlan,
    backend: Backend,
    tally: Tally,
    clocks: tuple[StageClock, StageClock, StageClock],
) -> dict[str, Any]:
    """Those fields of an UpscaleReport that are the same for all pipes."""
    info, output = source.info, plan.output
    return {
        "input": str(STDIN if config.input == PIPE else config.input),
        "input_size": (info.width, info.height),
        "output_size": (output.width, output.height),
        "model": plan.weights.name,
        "scale": backend.scale,
        "backend": backend.name,
        "precision": backend.precision,
        "resumed_frames": 0,
        "decode_errors": source.errors,
        "work": tally,
        "stage_seconds": {clock.name: round(clock.busy_s, 3) for clock in clocks},
        "notices": plan.notices,
        "settings": plain(config),
        "weights": plan.weights.to_json(),
        "encoding": plan.encoding.as_json(),
        "versions": software(backend.runtime),
    }


def told_of(config: UpscaleConfig, source: Source, plan: PipePlan, backend: Backend) -> str:
    """What the output says of how it was made."""
    if isinstance(source, StreamReader):
        before = history_in(source.container.metadata)
    else:
        before = history(file_of(config, source))
    return made_by(provenance(plan.weights, source.info, ability_of(backend)), before)


def enlarged_by(source: Source, plan: PipePlan) -> tuple[float, float]:
    """Output pixels for one of the input's, (down, across)."""
    return plan.output.height / source.info.height, plan.output.width / source.info.width


def _count(source: Source) -> int | None:
    return None if isinstance(source, StreamReader) else source.timeline.count


def _frame_bytes(info: VideoInfo) -> int:
    """Bytes of one frame's planes."""
    color = info.color
    chroma = 0.0 if color.matrix == "gray" else 2 / (color.subsampling[0] * color.subsampling[1])
    return int(info.width * info.height * (1 + chroma + color.alpha)) * (2 if color.depth > 8 else 1)


def _uneven(output: VideoInfo) -> str:
    rate = float(output.frame_rate or 0)
    return (
        f"y4m has no times: frames go out as they come, and will be shown at {rate:g} a second, which is"
        f" not when they are due; --fps {rate:.4g} makes the rate constant, --format nut keeps the times"
    )
