"""Everything about an upscale run that is decided before the first frame."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vidsr.config import PIPE, HwAccel, UpscaleConfig
from vidsr.errors import OutputError, UsageError
from vidsr.frames import VideoInfo
from vidsr.inference.backend import choose_device
from vidsr.models.weights import Weights
from vidsr.pipelines.geometry import plan_geometry
from vidsr.pipelines.model_choice import choose_weights, paced
from vidsr.pipelines.segment import Reader, Segment
from vidsr.video.encoder_kinds import NVENC
from vidsr.video.encoders import Encoding, resolve_encoding
from vidsr.video.job import remove_if_proven
from vidsr.video.plan import RemuxPlan
from vidsr.video.planning import plan_remux
from vidsr.video.reader import VideoReader
from vidsr.video.retime import ConstantRate
from vidsr.video.sequences import SequenceReader, is_sequence
from vidsr.video.stills import is_still
from vidsr.video.stream_reader import StreamReader
from vidsr.video.timeline import Timeline

LEAST_FREE_BYTES = 8 * 1024 * 1024
"""Below this a run would hardly keep one segment; better to say so before it begins."""


def open_reader(config: UpscaleConfig) -> Reader:
    """Open the input: a video, or pictures, whose rate `fps` then is (25 a second by default)."""
    if is_still(config.input) or is_sequence(config.input):
        if config.hwaccel == "cuda":
            raise UsageError("--hwaccel cuda is for videos: pictures are decoded in software")
        return SequenceReader(config.input, **({} if config.fps is None else {"rate": config.fps}))
    return VideoReader(
        config.input,
        video_stream=config.video_stream,
        deinterlace=config.deinterlace,
        hwaccel=choose_hwaccel(config),
    )


def writes_pictures(output: Path) -> bool:
    """Whether the name of an output is that of a picture or of numbered pictures."""
    return is_still(output) or is_sequence(output)


def choose_hwaccel(config: UpscaleConfig) -> HwAccel:
    """Whether the card's decoder is tried; `auto` does where the encoder is on the card as well.

    With an encoder in software decoding is next to nothing: `vidsr benchmark` measured 1.1 ms of a
    processor to decode a frame of 480x270, and 113 ms to encode it at 1920x1080. Only where network and
    encoder have left the processor can frames be what they wait for.
    """
    if config.hwaccel != "auto":
        return config.hwaccel
    encodes_there = (config.encode.codec or "").lower() in NVENC
    return "auto" if encodes_there and choose_device(config) == "cuda" else "none"


@dataclass(frozen=True)
class UpscalePlan:
    """The decisions about a video, each made once."""

    source: Path  # the file that the other streams come from
    weights: Weights
    expectation: str | None  # how fast they are, and what else there is; where nobody named a model
    output: VideoInfo  # of the enlarged video
    encoding: Encoding
    remux: RemuxPlan
    segments: tuple[Segment, ...]
    rate: ConstantRate | None  # where a constant rate was asked for
    reading: tuple[str, ...] = ()  # what the reader had to say

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know before it begins."""
        return self.reading + self.encoding.notices + self.remux.notices


def plan_upscale(config: UpscaleConfig, reader: Reader) -> UpscalePlan:
    """Decide model, size, encoder, streams and segments; takes no frame and writes nothing.

    Raises what the parts raise: UsageError, OutputError, IncompatibleStreams, WeightsError.
    """
    info = reader.info
    # One picture of a sequence stands for the file that other streams would come from: it has none.
    source = reader.files[0] if isinstance(reader, SequenceReader) else config.input
    choice = choose_weights(config, info, reader.timeline)
    rate = None
    if config.fps is not None and isinstance(reader, VideoReader):
        timeline = reader.timeline
        rate = ConstantRate(timeline.pts, timeline.last_duration, timeline.time_base, config.fps)
    output, encoding = plan_picture(
        config,
        replace(
            info,
            interlaced=info.interlaced and not is_deinterlaced(reader),
            time_base=info.time_base if rate is None else rate.time_base,
            frame_rate=info.frame_rate if rate is None else rate.fps,
            frame_count=reader.timeline.count if rate is None else len(rate.output_pts),
        ),
        lambda enlarged: resolve_encoding(
            enlarged, config.output, paced(config.encode, choice.weights, config)
        ),
    )
    remux = plan_remux(
        source,
        info.stream_index,
        config.output,
        output,
        encoding.codec,
        drop_incompatible=config.drop_incompatible,
    )
    segments = plan_segments(reader.timeline, config.segment_s, config.segment_frames)
    return UpscalePlan(
        source,
        choice.weights,
        choice.expectation,
        output,
        encoding,
        remux,
        segments,
        rate,
        tuple(reader.notices),
    )


def plan_anyhow(config: UpscaleConfig, reader: Reader) -> tuple[UpscalePlan, str | None]:
    """The plan, to look at: where the container cannot hold all streams, without those, and why."""
    try:
        return plan_upscale(config, reader), None
    except OutputError as error:
        return plan_upscale(replace(config, drop_incompatible=True), reader), str(error)


def plan_picture(
    config: UpscaleConfig, info: VideoInfo, resolve: Callable[[VideoInfo], Encoding]
) -> tuple[VideoInfo, Encoding]:
    """The enlarged video and its encoding, from a source's `info` with the times of the output.

    `resolve` chooses the encoding for a video of about that size, which then decides which sides there
    can be. Raises UsageError and OutputError.
    """
    wanted = plan_geometry(config, info, (1, 1))
    height, width = wanted.height, wanted.width
    # Even for now: encoders are opened to see whether they work, and most refuse odd sides.
    encoding = resolve(replace(info, height=height + height % 2, width=width + width % 2))
    geometry = plan_geometry(config, info, encoding.size_multiple)
    output = replace(
        info,
        height=geometry.height,
        width=geometry.width,
        sample_aspect_ratio=geometry.sample_aspect_ratio,
        color=encoding.color,
        pixel_format=encoding.pixel_format,
    )
    return output, encoding


def is_deinterlaced(reader: Reader | StreamReader) -> bool:
    """Whether what the reader gives was made progressive by it."""
    return not isinstance(reader, SequenceReader) and reader.deinterlacing


def plan_segments(timeline: Timeline, seconds: float, most_frames: int) -> tuple[Segment, ...]:
    """Cut a stream's time so that no segment is longer than `seconds` or has more than `most_frames`.

    Each begins at a frame; the first takes in whatever a decoder gives before the timeline's first
    frame, and the last whatever comes after its last.
    """
    span = seconds / timeline.time_base
    starts: list[int | None] = [None]
    begun, count = timeline.start, 0
    for pts in timeline.pts:
        if count and (pts - begun >= span or count >= most_frames):
            starts.append(pts)
            begun, count = pts, 0
        count += 1
    ends = [*starts[1:], None]
    return tuple(Segment(i, start, end) for i, (start, end) in enumerate(zip(starts, ends, strict=True)))


def check_paths(config: UpscaleConfig) -> None:
    """Refuse what can be seen from the two paths alone, so that nobody waits for it."""
    source, target = config.input, config.output
    if target == PIPE:
        return
    folder = target.absolute().parent
    if source != PIPE and source.exists() and target.exists() and source.samefile(target):
        raise UsageError(f"{target}: is the input itself; choose another output")
    if target.is_dir():
        raise OutputError(f"{target}: is a directory; give the name of a file in it")
    if target.exists() and not config.overwrite:
        remove_if_proven(target)
        raise OutputError(f"{target}: exists already; take another name, or --overwrite")
    if not folder.is_dir():
        raise OutputError(f"{folder}: no such directory; make it first")
    disk = shutil.disk_usage(folder)
    if disk.total and disk.free < LEAST_FREE_BYTES:  # /proc and its like have no size at all
        raise OutputError(f"{folder}: the disk is full; free some space first")
