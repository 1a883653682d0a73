"""Deciding, before the first frame, what the joined file will hold.

Nobody knows better than the muxer what it takes, so it is asked: every stream is rehearsed with its own
header and its first packets, into memory, and the result is read back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from av.container import InputContainer
from av.stream import Discard, Disposition

from vidsr.errors import IncompatibleStreams
from vidsr.frames import VideoInfo
from vidsr.video.color_tags import h273_tags
from vidsr.video.containers import INTRA, PLAIN_TEXT, SELF_TAGGED, Container, codec_of, container_for
from vidsr.video.heads import Head, codec_name, read_heads
from vidsr.video.plan import RemuxPlan, StreamPlan
from vidsr.video.rehearsal import REFUSALS, read_back, rehearse
from vidsr.video.source import open_input
from vidsr.video.timeline import scan_timeline

TS_START = Fraction(7, 5)
"""Where FFmpeg lets a transport stream begin, seconds: decoding times come before the first picture."""

_TECHNICAL = ("handler_name", "vendor_id")  # tags that nobody reads; their loss is not worth a line

_UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)  # the matrix that turns nothing

_AUDIO_SLACK = Fraction(1, 1000)  # what the audio may be off against the video, seconds


def plan_remux(
    source: Path,
    main_stream: int,
    target: Path,
    output: VideoInfo,
    video_codec: str,
    *,
    drop_incompatible: bool = False,
) -> RemuxPlan:
    """Plan where every stream, chapter and tag of `source` goes; takes a moment and decodes nothing.

    `main_stream` counts over all streams of the source; `output` describes the upscaled video (size,
    colour, shape of pixels, display matrix, nominal rate); `video_codec` is its codec or encoder.

    Raises:
        UsageError: the target's ending is no known container.
        IncompatibleStreams: the container cannot hold something, and `drop_incompatible` is not set.
        InputError: the source cannot be opened.
    """
    with open_input(source) as file:
        return plan_opened(
            file,
            read_heads(file),
            source,
            main_stream,
            target,
            output,
            video_codec,
            drop_incompatible=drop_incompatible,
        )


def plan_opened(
    file: InputContainer,
    heads: Sequence[Head],
    source: Path,
    main_stream: int,
    target: Path,
    output: VideoInfo,
    video_codec: str,
    *,
    drop_incompatible: bool = False,
) -> RemuxPlan:
    """The same for a source that is open already: a pipe, of which nothing but its `heads` is known.

    A head may lack packets; what the container says of such a stream in its header must then do.
    """
    container = container_for(target)
    suffix = target.suffix.lower()
    codec = codec_of(video_codec)
    if codec not in container.video:
        raise IncompatibleStreams(
            f"{target}: {suffix} cannot hold {codec} video: use --codec"
            f" {' or '.join(sorted(container.video))}, or write to .mkv"
        )
    _require_grid(target, container, output)
    draft = RemuxPlan(
        source=source,
        container=container.muxer,
        suffix=suffix,
        main_stream=main_stream,
        video_codec=codec,
        streams=(),
        shift=Fraction(0),
        chapters=len(file.chapters()) if container.chapters else 0,
        width=output.width,
        height=output.height,
        color=h273_tags(output.color),
        color_told=container.color_tags or codec in SELF_TAGGED,
        sample_aspect_ratio=output.sample_aspect_ratio,
        display_matrix=output.display_matrix,
        frame_rate=output.frame_rate,
    )
    streams = tuple(_choose(draft, container, file, head) for head in heads)
    shift = _shift(container, heads, streams, reorders=codec not in INTRA)
    if container.constant_rate:
        _require_constant_rate(target, draft, output, heads, shift)
    dropped = [stream.label for stream in streams if stream.action == "drop"]
    if file.chapters() and not container.chapters:
        dropped.append("chapters")
    if not container.rotation and draft.display_matrix not in (None, _UPRIGHT):
        dropped.append("the rotation of the picture")
        draft = replace(draft, display_matrix=None)
    if dropped and not drop_incompatible:
        raise IncompatibleStreams(
            f"{target}: {suffix} cannot hold {', '.join(dropped)}: {_remedy(container, streams)}"
        )
    plan = replace(draft, streams=streams, shift=shift)
    plan = _keep_tags(plan, container, file, heads)
    return replace(plan, notices=_notices(plan, dropped))


def _choose(draft: RemuxPlan, container: Container, file: InputContainer, head: Head) -> StreamPlan:
    """Find the way of one stream into the container."""
    stream = head.stream
    codec = codec_name(stream)
    base = StreamPlan(
        index=stream.index,
        kind=stream.type,
        codec=codec,
        action="copy",
        target_codec=codec,
        language=stream.metadata.get("language") or "und",
        title=stream.metadata.get("title", ""),
        disposition=int(stream.disposition),
        start=head.start,
    )
    if stream.index == draft.main_stream:
        target_codec = draft.video_codec
        # Apple's players know HEVC in MP4 by this tag only; the muxer's own choice is hev1.
        tag = "hvc1" if target_codec == "hevc" and container.negative_times else ""
        return replace(base, action="upscale", target_codec=target_codec, tag=tag)
    if base.kind == "data" and stream.discard == Discard.all:
        return _left_out(base, "rebuild", "carries the chapters, which are written anew")
    if base.kind == "data" and "timecode" in stream.metadata and container.muxer != "mpegts":
        return _left_out(base, "rebuild", "its time code is kept as a tag of the video")
    cover = bool(stream.disposition & Disposition.attached_pic)
    if base.kind == "attachment" or (cover and container.cover_art == "attachment"):
        if container.attachments:
            return replace(base, action="attach")
        return _left_out(base, "drop", "no attached files")
    if cover and container.cover_art is None:
        return _left_out(base, "drop", "no cover art")
    for way in _ways(base, container, file, head):
        if (container.copies is None or way.target_codec in container.copies) and _fits(
            way, draft, container, file, head
        ):
            return way
    return _left_out(base, "drop", "not in this container")


def _ways(
    base: StreamPlan, container: Container, file: InputContainer, head: Head
) -> Iterator[StreamPlan]:
    """What to try with a stream, the best first."""
    from_mp4 = "mp4" in file.format.name
    context = getattr(head.stream, "codec_context", None)
    if container.negative_times and from_mp4 and context is not None:
        with suppress(UnicodeDecodeError):  # PyAV reads and writes tags of ASCII letters alone
            tag = context.codec_tag
            if tag.strip("\0"):
                yield replace(base, tag=tag)  # ProRes and PCM tell their kinds apart by it
    if container.negative_times and base.codec == "hevc":
        yield replace(base, tag="hvc1")
    # MP4 keeps the warm-up of a codec in edit lists, of which another muxer learns nothing; with Opus,
    # and from Matroska, it comes along in the codec's parameters.
    stated = container.codec_delay and from_mp4 and base.codec != "opus"
    yield replace(base, codec_delay=head.warm_up if stated else Fraction(0))
    if container.text is not None and base.codec in PLAIN_TEXT - {container.text}:
        yield replace(base, action="convert", target_codec=container.text)


def _fits(
    stream: StreamPlan, draft: RemuxPlan, container: Container, file: InputContainer, head: Head
) -> bool:
    early = max(Fraction(0), -(head.start or Fraction(0)))
    plan = replace(draft, streams=(stream,), chapters=0, shift=early)
    try:
        return bool(rehearse(plan, container, file, [head]))
    except REFUSALS:
        return False


def _left_out(base: StreamPlan, action: Literal["rebuild", "drop"], reason: str) -> StreamPlan:
    return replace(base, action=action, target_codec="", reason=reason)


def _shift(
    container: Container, heads: Sequence[Head], streams: Sequence[StreamPlan], *, reorders: bool
) -> Fraction:
    """Seconds to add to all times so that the container can hold them; whole milliseconds, mostly 0.

    `reorders` says whether the video's codec may decode frames before others that are shown earlier.
    """
    times = []
    for head, stream in zip(heads, streams, strict=True):
        # What an edit list hides from before zero stays hidden in MP4 alone; a warm-up also in Matroska.
        hidden = container.negative_times or (container.codec_delay and stream.kind == "audio")
        time = head.shown if hidden or stream.action == "upscale" else head.start
        if stream.kept and time is not None:
            times.append(time)
    earliest = min(times, default=Fraction(0))
    if container.stores_dts and reorders and not container.constant_rate and earliest < 1:
        return TS_START - Fraction(math.floor(earliest * 1000), 1000)
    if earliest >= (0 if container.stores_dts else -_AUDIO_SLACK):
        return Fraction(0)  # less is the rounding of a clock, and the muxers can hold it
    return Fraction(math.ceil(-earliest * 1000), 1000)


def _require_grid(target: Path, container: Container, output: VideoInfo) -> None:
    """Refuse more frames a second than the container can tell apart."""
    if container.tick is not None and (output.frame_rate or 0) > 1 / container.tick:
        raise IncompatibleStreams(
            f"{target}: {target.suffix} tells time in steps of {float(container.tick * 1000):g} ms, too"
            f" coarse for {float(output.frame_rate or 0):g} frames a second: write to .mp4 instead"
        )


def _require_constant_rate(
    target: Path,
    plan: RemuxPlan,
    output: VideoInfo,
    heads: Sequence[Head],
    shift: Fraction,
) -> None:
    """Refuse times that a container without times of its own cannot tell."""
    wrong = ""
    rate = output.frame_rate
    if rate is None:
        wrong = "a video without a frame rate"
    elif output.time_base * rate != 1:
        timeline = scan_timeline(plan.source, plan.main_stream)
        base = timeline.time_base
        grid = (abs((pts - timeline.start) * base * rate - i) for i, pts in enumerate(timeline.pts))
        if any(off * (1 / rate) > base for off in grid):
            wrong = "a variable frame rate"
        elif timeline.start * base + shift != 0:
            wrong = "a video that starts late"
    for head in heads:
        if head.stream.type == "audio" and abs(head.start or Fraction(0)) > _AUDIO_SLACK:
            wrong = "audio that does not start with the video, or with a warm-up before it"
    if wrong:
        raise IncompatibleStreams(f"{target}: {plan.suffix} cannot hold {wrong}: write to .mkv instead")


def _keep_tags(
    plan: RemuxPlan, container: Container, file: InputContainer, heads: Sequence[Head]
) -> RemuxPlan:
    """Find which tags and marks would be lost, and let the muxer keep more if it can."""
    echo = read_back(plan, file, rehearse(plan, container, file, heads))
    if echo.lost and container.negative_times:
        fuller = replace(plan, all_tags=True)
        second = read_back(fuller, file, rehearse(fuller, container, file, heads))
        # Cover art has a place among the standard tags only.
        if len(second.lost) < len(echo.lost) and len(second.dispositions) == len(echo.dispositions):
            plan, echo = fuller, second
    streams = tuple(
        replace(stream, shown_disposition=echo.dispositions.get(stream.index, 0))
        for stream in plan.streams
    )
    return replace(plan, streams=streams, lost=echo.lost)


def _remedy(container: Container, streams: Sequence[StreamPlan]) -> str:
    only_mov = any(stream.action == "drop" and stream.kind == "data" for stream in streams)
    ways = []
    if container.muxer != "mov" and only_mov:
        ways.append("write to .mov")
    elif container.muxer != "matroska" and not only_mov:
        ways.append("write to .mkv")
    return " or ".join([*ways, "leave out what does not fit with --drop-incompatible"])


def _notices(plan: RemuxPlan, dropped: Sequence[str]) -> tuple[str, ...]:
    notices = [f"left out, since {plan.suffix} cannot hold it: {name}" for name in dropped]
    for stream in plan.streams:
        if stream.action == "convert":
            notices.append(
                f"{stream.label} becomes {stream.target_codec}: text, line breaks, bold, italic and"
                " underline stay"
            )
    if plan.shift:
        notices.append(
            f"all times are {float(plan.shift):g} s later than in the source, since {plan.suffix} holds"
            " no times, of decoding or showing, before zero; nothing moves against anything else"
        )
    missing = [tag for tag in plan.lost if not tag.endswith(_TECHNICAL)]
    for stream in plan.kept:
        alone = sum(other.kind == stream.kind for other in plan.kept) == 1
        for mark in Disposition(stream.disposition & ~stream.shown_disposition):
            if not (alone and mark == Disposition.default):
                missing.append(f"stream {stream.index}: {mark.name}")
    if not plan.color_told:
        notices.append(f"{plan.suffix} has no place for colour tags: players will guess them")
    if missing:
        notices.append(f"{plan.suffix} has no place for these tags: {', '.join(missing)}")
    return tuple(notices)
