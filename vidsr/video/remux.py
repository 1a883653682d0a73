"""Joining finished segments with everything else of the source, without encoding anything again."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vidsr.errors import OutputError
from vidsr.progress import Advanced, Finished, Notice, Progress, Started, silent
from vidsr.video.containers import Container, container_for
from vidsr.video.durable import disk_errors
from vidsr.video.heads import first_packets
from vidsr.video.matroska import TrackHeader, correct_tracks, display_header
from vidsr.video.others import OtherPackets
from vidsr.video.plan import RemuxPlan, StreamPlan
from vidsr.video.planning import plan_remux
from vidsr.video.route import TickMap
from vidsr.video.source import open_input
from vidsr.video.target import Target, movie_timescale
from vidsr.video.writer import SegmentRecord, record_path

__all__ = ["RemuxPlan", "StreamPlan", "join", "plan_remux"]

REPORT_EVERY = 64
"""Frames between two reports of progress."""


def join(
    plan: RemuxPlan,
    segments: Sequence[Path],
    target: Path,
    *,
    metadata: Mapping[str, str] = MappingProxyType({}),
    progress: Progress = silent,
) -> None:
    """Write segments and the source's other streams into `target`, which is whole and synced afterwards.

    `target` is a temporary file of the caller's, who proves it and gives it its name; its own ending
    does not matter. `segments` are in order, each with its record beside it. `metadata` is added to the
    tags of the file. Memory does not grow with the length, but for one number a frame.

    Raises:
        OutputError: a segment does not fit to the others, or the disk refuses.
        InputError: the source cannot be opened any more.
    """
    container = container_for(Path("x" + plan.suffix))
    video = _Video.load(segments)
    with disk_errors(target):
        try:
            _write(plan, container, video, target, metadata, progress)
            if container.codec_delay:
                correct_tracks(target, _track_headers(plan))
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # the disk's fault, told by disk_errors
            raise OutputError(f"{target}: the segments cannot be joined: {error}") from error
        with target.open("r+b") as file:
            os.fsync(file.fileno())


@dataclass(frozen=True)
class _Video:
    """The upscaled video: its segments, and when each of its frames is shown."""

    segments: tuple[Path, ...]
    records: tuple[SegmentRecord, ...]

    @classmethod
    def load(cls, segments: Sequence[Path]) -> _Video:
        held: list[Path] = []
        records: list[SegmentRecord] = []
        for path in segments:
            record = SegmentRecord.load(record_path(path))
            if record is None or not path.is_file():
                raise OutputError(f"{path}: is not a finished segment: run the same command again")
            if record.frames:  # a stretch of time without a frame makes an empty segment
                held.append(path)
                records.append(record)
        if not records:
            raise OutputError("there is not one frame to join")
        if len({record.time_base for record in records}) > 1:
            raise OutputError(f"{segments[0].parent}: the segments tell time differently: use --restart")
        for (_, before), (path, after) in pairwise(zip(held, records, strict=True)):
            if after.pts[0] <= before.pts[-1]:
                raise OutputError(f"{path}: begins before the segment before it ends: use --restart")
        return cls(tuple(held), tuple(records))

    @property
    def time_base(self) -> Fraction:
        return self.records[0].time_base

    @property
    def pts(self) -> list[int]:
        return [pts for record in self.records for pts in record.pts]

    @property
    def reorder_depth(self) -> int:
        return max(record.reorder_depth for record in self.records)

    def constant_rate(self, nominal: Fraction | None) -> Fraction | None:
        """The nominal rate, if every frame is where it says, to a tick."""
        if nominal is None:
            return None
        step = 1 / (nominal * self.time_base)
        pts = self.pts
        exact = all(abs(time - pts[0] - i * step) <= 1 for i, time in enumerate(pts))
        return nominal if exact else None


def _write(
    plan: RemuxPlan,
    container: Container,
    video: _Video,
    path: Path,
    metadata: Mapping[str, str],
    progress: Progress,
) -> None:
    starts = [video.pts[0] * video.time_base + plan.shift]
    starts += [s.start + plan.shift for s in plan.kept if s.action != "upscale" and s.start is not None]
    rate = plan.frame_rate if container.negative_times else video.constant_rate(plan.frame_rate)
    covers = first_packets(plan.source, _pictures_to_attach(plan))
    with open_input(plan.source) as file, _first_stream(video.segments[0]) as template:
        with Target(
            path,
            plan,
            container,
            file,
            template,
            covers=covers,
            tags=metadata,
            frame_rate=rate,
            movie_timescale=movie_timescale(starts),
        ) as target:
            target.start()
            total = len(video.pts)
            progress(Started("join", total))
            others = OtherPackets(file, plan)
            for count, (packet, pts, dts, duration) in enumerate(_video_packets(video, target), 1):
                for other in others.before(dts * target.video_time_base - plan.shift):
                    target.copy(other)
                target.write_video(packet, pts, dts, duration)
                if count % REPORT_EVERY == 0:
                    progress(Advanced("join", count))
            for other in others.rest():
                target.copy(other)
            target.flush()
            progress(Advanced("join", total))
        progress(Finished("join"))
        if others.error:
            progress(Notice(f"{plan.source}: the end of its other streams cannot be read", "warning"))
        for route in target.routes.values():
            if route.converter is not None and route.converter.altered:
                progress(
                    Notice(
                        f"{route.plan.label}: {route.converter.altered} texts lose colour, font or place"
                        f" as {route.plan.target_codec}",
                        "warning",
                    )
                )


def _video_packets(video: _Video, target: Target) -> Iterator[tuple[Packet[Any], int, int, int]]:
    """All packets of all segments, with (pts, dts, duration) in the result's ticks.

    The segments' own times only tell in which order the frames are shown; when, stands in the records.
    A decoding time is the presentation time of the frame `reorder_depth` places earlier, so it rises
    strictly, never lies behind its frame's presentation, and runs on over the joints.
    """
    to_ticks = TickMap(video.time_base, target.video_time_base, target.plan.shift)
    ticks = _distinct([to_ticks(pts) for pts in video.pts])
    depth = video.reorder_depth
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1
    first, place = 0, 0
    extradata: bytes | None = None
    for path, record in zip(video.segments, video.records, strict=True):
        order = _presentation_order(path, record)
        with _first_stream(path) as stream:
            if place and stream.codec_context.extradata != extradata:
                raise OutputError(
                    f"{path}: its codec headers differ from the first segment's: use --restart"
                )
            extradata = stream.codec_context.extradata
            for rank, packet in zip(order, _packets(stream), strict=True):
                pts = ticks[first + rank]
                dts = ticks[place - depth] if place >= depth else ticks[0] - (depth - place) * step
                known = record.durations[rank]
                if known:
                    duration = to_ticks(record.pts[rank] + known) - to_ticks(record.pts[rank])
                else:
                    duration = _gap(ticks, first + rank)
                yield packet, pts, dts, max(1, duration)
                place += 1
        first += record.frames


def _presentation_order(path: Path, record: SegmentRecord) -> list[int]:
    """For each packet of a segment, in decoding order, the place of its frame in presentation order."""
    with _first_stream(path) as stream:
        stated = [packet.pts for packet in _packets(stream)]
    times = [time for time in stated if time is not None]
    ranked = sorted(times)
    if len(times) != record.frames or len(stated) != record.frames or _repeats(ranked):
        raise OutputError(
            f"{path}: holds {len(stated)} frames, not the {record.frames} written: use --restart"
        )
    return [bisect_left(ranked, time) for time in times]


def _repeats(ranked: Sequence[int]) -> bool:
    return any(a == b for a, b in pairwise(ranked))


def _distinct(ticks: Sequence[int]) -> list[int]:
    """Times that rise strictly: where two frames fall on one tick of a coarse clock, one moves on."""
    result: list[int] = []
    for tick in ticks:
        result.append(max(tick, result[-1] + 1) if result else tick)
    return result


def _gap(ticks: Sequence[int], index: int) -> int:
    """How long a frame is shown whose duration nobody knows: to the next one, or as the one before."""
    if index + 1 < len(ticks):
        return ticks[index + 1] - ticks[index]
    return ticks[index] - ticks[index - 1] if index else 1


def _packets(stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    container = stream.container
    assert isinstance(container, InputContainer)
    return (packet for packet in container.demux(stream) if packet.size)


@contextmanager
def _first_stream(segment: Path) -> Iterator[VideoStream]:
    with open_input(segment) as container:
        yield container.streams.video[0]


def _pictures_to_attach(plan: RemuxPlan) -> set[int]:
    return {s.index for s in plan.streams if s.action == "attach" and s.kind == "video"}


def _track_headers(plan: RemuxPlan) -> dict[int, TrackHeader]:
    headers: dict[int, TrackHeader] = {}
    with open_input(plan.source) as file:
        for position, stream in enumerate(plan.kept):
            original = file.streams[stream.index]
            if stream.action == "upscale":
                headers[position] = display_header(plan.width, plan.height, plan.sample_aspect_ratio)
            elif isinstance(original, VideoStream) and original.codec_context is not None:
                ratio = original.sample_aspect_ratio or Fraction(1)
                context = original.codec_context
                headers[position] = display_header(context.width, context.height, ratio)
            elif stream.codec_delay:
                headers[position] = TrackHeader(codec_delay_ns=round(stream.codec_delay * 10**9))
    return headers
