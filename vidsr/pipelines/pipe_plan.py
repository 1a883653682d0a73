"""What is decided about a pipe before its first frame is enlarged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from vidsr.config import PIPE, PipeFormat, UpscaleConfig
from vidsr.errors import UsageError
from vidsr.frames import VideoInfo
from vidsr.models.weights import Weights
from vidsr.pipelines.model_choice import choose_weights, paced
from vidsr.pipelines.segment import Reader
from vidsr.pipelines.upscale_plan import is_deinterlaced, plan_picture
from vidsr.video import y4m
from vidsr.video.containers import SELF_TAGGED, container_for
from vidsr.video.encoders import Encoding, resolve_encoding
from vidsr.video.plan import RemuxPlan
from vidsr.video.planar_formats import pixel_format_name
from vidsr.video.planning import plan_opened, plan_remux
from vidsr.video.retime import RunningRate
from vidsr.video.sequences import SequenceReader
from vidsr.video.standard_streams import STDIN
from vidsr.video.stream_reader import StreamReader
from vidsr.video.untagged import guessable

Source = Reader | StreamReader
"""Whatever gives frames: a file, numbered pictures, or a pipe."""

_TARGETS = {"nut": PIPE.with_suffix(".nut"), "matroska": PIPE.with_suffix(".mkv")}
"""Stand for the pipe where an ending chooses the container, and name it in messages."""


@dataclass(frozen=True)
class PipePlan:
    """The decisions about a video on its way through a pipe, each made once."""

    weights: Weights
    output: VideoInfo  # of the enlarged video
    encoding: Encoding
    remux: RemuxPlan | None  # None: y4m, which holds nothing but the video
    rate: RunningRate | None  # where a constant rate was asked for
    notices: tuple[str, ...]  # what the user should know before it begins


def plan_pipe(config: UpscaleConfig, source: Source) -> PipePlan:
    """Decide model, size, format and streams for standard output, or for a file out of a pipe.

    Takes no frame and writes nothing. Raises what the parts raise: UsageError, OutputError,
    IncompatibleStreams, WeightsError.
    """
    info = source.info
    choice = choose_weights(config, info, None if isinstance(source, StreamReader) else source.timeline)
    rate = None
    if config.fps is not None and not isinstance(source, SequenceReader):
        rate = RunningRate(_start(source), info.time_base, config.fps)
    form = choose_format(config, source) if config.output == PIPE else None
    output, encoding = plan_picture(
        config,
        replace(
            info,
            interlaced=info.interlaced and not is_deinterlaced(source),
            time_base=info.time_base if rate is None else rate.time_base,
            frame_rate=info.frame_rate if rate is None else rate.fps,
            frame_count=None,
        ),
        lambda enlarged: _encoding(
            replace(config, encode=paced(config.encode, choice.weights, config)), form, enlarged
        ),
    )
    notices = _assumed(source) + encoding.notices
    if choice.expectation is not None:
        notices += (f"{choice.weights.label}: {choice.expectation}",)
    if form == "y4m":
        notices += _lost(source, output)
        return PipePlan(choice.weights, output, encoding, None, rate, notices)
    target = config.output if form is None else _TARGETS[form]
    if isinstance(source, StreamReader):
        remux = plan_opened(
            source.container,
            source.heads,
            STDIN,
            info.stream_index,
            target,
            output,
            encoding.codec,
            drop_incompatible=config.drop_incompatible,
        )
    else:
        remux = plan_remux(
            file_of(config, source),
            info.stream_index,
            target,
            output,
            encoding.codec,
            drop_incompatible=config.drop_incompatible,
        )
    if form == "nut" and output.sample_aspect_ratio != 1 and encoding.codec not in SELF_TAGGED:
        notices += (f"NUT cannot say that pixels are {output.sample_aspect_ratio} as wide as high",)
    # Colours are told of above, where they are put right.
    notices += tuple(text for text in remux.notices if form is None or "colour tags" not in text)
    return PipePlan(choice.weights, output, encoding, remux, rate, notices)


def choose_format(config: UpscaleConfig, source: Source) -> PipeFormat:
    """The format of standard output: as asked for, else the input pipe's own, else Matroska.

    Matroska tells colours, and holds every kind of stream; NUT times exactly; y4m is one video alone.
    """
    if config.format is not None:
        return config.format
    incoming = source.format if isinstance(source, StreamReader) else ""
    return "y4m" if incoming == "y4m" else "nut" if incoming == "nut" else "matroska"


def file_of(config: UpscaleConfig, source: Reader) -> Path:
    """The file that the other streams come from; of a sequence a picture stands for it, without any."""
    return source.files[0] if isinstance(source, SequenceReader) else config.input


def _start(source: Source) -> int:
    return source.start_pts if isinstance(source, StreamReader) else source.timeline.start


def _encoding(config: UpscaleConfig, form: PipeFormat | None, enlarged: VideoInfo) -> Encoding:
    """The encoding for a pipe of some form; None: for the output file."""
    if form is None:
        return resolve_encoding(enlarged, config.output, config.encode)
    codec = config.encode.codec or _lossless_codec(config, form, enlarged)
    if form == "y4m" and codec != "rawvideo":
        raise UsageError(f"--codec {codec}: y4m is raw video: take --format nut or matroska")
    encoding = resolve_encoding(
        enlarged,
        _TARGETS.get(form, _TARGETS["nut"]),
        replace(config.encode, codec=codec),
        y4m.PIXEL_FORMATS if form == "y4m" else None,
    )
    if form == "matroska" or encoding.codec in SELF_TAGGED:
        return encoding
    color, notices = guessable(
        enlarged,
        encoding.color,
        encoding.pixel_format,
        range_is_told=form == "y4m",
        sitings_told=y4m.sitings_told(encoding.pixel_format) if form == "y4m" else (),
    )
    told = tuple(f"{form} has no colour tags: {notice}" for notice in notices)
    return replace(encoding, color=color, notices=encoding.notices + told)


def _lossless_codec(config: UpscaleConfig, form: PipeFormat, enlarged: VideoInfo) -> str:
    """Raw frames, or FFV1 where Matroska has none of their format: whoever reads the pipe encodes."""
    wanted = config.encode.pixel_format or pixel_format_name(enlarged.color)
    fitting = container_for(_TARGETS["matroska"]).raw_formats
    return "ffv1" if form == "matroska" and fitting is not None and wanted not in fitting else "rawvideo"


def _assumed(source: Source) -> tuple[str, ...]:
    """What had to be taken for granted of a pipe that does not say it."""
    if not isinstance(source, StreamReader) or source.color_is_stated:
        return ()
    matrix = source.info.color.matrix.upper().replace("BT", "BT.")
    return (
        f"{STDIN} does not tell its colours: taken for {matrix}, {source.info.color.range} range,"
        f" as players do at {source.info.width}x{source.info.height} (Matroska would tell them)",
    )


def _lost(source: Source, output: VideoInfo) -> tuple[str, ...]:
    """What y4m has no place for."""
    notices = []
    if isinstance(source, StreamReader) and len(source.container.streams) > 1:
        others = len(source.container.streams) - 1
        notices.append(f"y4m is one video alone: {others} other stream{'s' * (others > 1)} left out")
    if output.frame_rate is None:
        notices.append(f"y4m needs a rate and the video has none: {y4m.FALLBACK_RATE} is written")
    if output.rotation:
        notices.append(f"y4m cannot say that the picture is turned by {output.rotation} degrees")
    return tuple(notices)
