"""The file that is joined: streams laid out by a plan, packets put on its clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Disposition, Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vidsr.video.containers import Container
from vidsr.video.matroska import RESERVE
from vidsr.video.plan import RemuxPlan, StreamPlan, file_tags, quicktime_language, stream_tags
from vidsr.video.route import Route, TickMap
from vidsr.video.standard_streams import Sink
from vidsr.video.subtitles import SubtitleConverter

if TYPE_CHECKING:
    from av.container.core import Chapter  # in the stubs alone

NANOSECOND = Fraction(1, 10**9)
LARGEST_TIMESCALE = 2**31 - 1  # FFmpeg's option is an int

_LIVE = {
    "flush_packets": "1",
    # Packets come in an order that players can use; FFmpeg's interleaving would hold back up to ten
    # seconds of raw frames while a stream of subtitles is silent. Microseconds; 0 would mean for ever.
    "max_interleave_delta": "1",
    # Matroska gathers clusters of a second before it writes. Milliseconds; the next packet ends one.
    "cluster_time_limit": "0",
}
"""Options of the muxers for a pipe; one that does not know an option passes it over."""

_MATROSKA = ("matroska", "webm")


class Target:
    """An output file with the streams of a plan; a context manager that writes the trailer.

    `file` is a path, or anything with `write` for a rehearsal or a pipe; `live` sends each packet on as
    soon as the muxer has it. `template` is the upscaled video's stream in its
    first segment; None, in a rehearsal, puts a stream of another codec in its place. PyAV's exceptions
    come out as they are.
    """

    def __init__(
        self,
        file: Path | Sink,
        plan: RemuxPlan,
        container: Container,
        source: InputContainer,
        template: VideoStream | None,
        *,
        covers: Mapping[int, bytes],
        tags: Mapping[str, str],
        frame_rate: Fraction | None = None,
        movie_timescale: int = 1000,
        live: bool = False,
    ) -> None:
        self.plan = plan
        self._is_stub = template is None
        self._frame_rate = frame_rate  # of the upscaled video, if it is constant
        self.container = container
        options = _muxer_options(plan, container, movie_timescale, whole=not hasattr(file, "write"))
        if live:
            options |= _LIVE
        name = f"file:{file}" if isinstance(file, Path) else file
        self.output: OutputContainer = av.open(
            name, "w", format=plan.container, container_options=options
        )
        self.routes: dict[int, Route] = {}
        for stream in plan.kept:
            original = source.streams[stream.index]
            converter = None
            if stream.action == "upscale":
                added = self._add_video(template, original)
            elif stream.action == "convert":
                assert isinstance(original, SubtitleStream)
                converter = SubtitleConverter(original, stream.target_codec)
                added = self._add_text(converter)
            else:
                added = self._add_copy(original, stream)
            self._describe(added, original, stream)
            self.routes[stream.index] = Route(added, original, stream, converter)
        for stream in plan.streams:
            if stream.action == "attach":
                self._attach(source.streams[stream.index], covers.get(stream.index))
        self.output.metadata.update(file_tags(source.metadata) | dict(tags))
        if plan.chapters:
            self.output.set_chapters(shifted_chapters(source, plan.shift))

    def __enter__(self) -> Target:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.output.close()
        else:  # the first error tells more than the trailer's
            with suppress(av.FFmpegError, OSError):
                self.output.close()

    def start(self) -> None:
        """Write the header; from here on the streams' time bases are final."""
        self.output.start_encoding()
        lenient = self.plan.container in _MATROSKA
        for route in self.routes.values():
            route.settle(self.plan.shift, lenient)

    def copy(self, packet: Packet[Any]) -> None:
        """Write a packet of the source, converted where the plan says so; others are passed over."""
        route = self.routes.get(packet.stream.index)
        if route is None or packet.size == 0:
            return
        ready = route.prepare(packet)
        if ready is not None:
            self._finish(route, ready, last=False)

    def flush(self) -> None:
        """Write what was held back; after the last packet of the source."""
        for route in self.routes.values():
            held = route.release()
            if held is not None:
                self._finish(route, held, last=True)

    def write_video(self, packet: Packet[Any], pts: int, dts: int, duration: int) -> None:
        """Write a packet of the upscaled video, its times in ticks of `video_time_base`."""
        route = self.routes[self.plan.main_stream]
        packet.stream = route.stream
        packet.time_base = route.time_base
        packet.pts, packet.dts, packet.duration = pts, dts, duration
        if self._is_stub:
            packet.is_keyframe = True
        self.output.mux_one(packet)

    @property
    def video_time_base(self) -> Fraction:
        """Seconds per tick of the upscaled stream, after `start`."""
        return self.routes[self.plan.main_stream].time_base

    def _finish(self, route: Route, packet: Packet[Any], *, last: bool) -> None:
        if route.plan.kind == "audio":
            route.keep_end(packet, self.container, last=last)
        route.stamp(packet)
        self.output.mux_one(packet)

    def _add_video(self, template: VideoStream | None, original: Stream) -> Stream:
        plan = self.plan
        if template is None:
            # Only a place in the order; a codec that needs no header and is held everywhere.
            codec = "vp8" if plan.container == "webm" else "mpeg4"
            stub = self.output.add_mux_stream(codec, width=plan.width, height=plan.height, rate=25)
            stub.time_base = original.time_base
            return stub
        stream = self.output.add_stream_from_template(template, opaque=True)
        context = stream.codec_context
        assert isinstance(context, VideoCodecContext)
        context.sample_aspect_ratio = plan.sample_aspect_ratio
        if template.codec_context.codec.canonical_name == "rawvideo":
            context.codec_tag = template.codec_context.codec_tag  # it alone tells the pixel format
        matrix, primaries, transfer, color_range = plan.color
        context.colorspace, context.color_range = matrix, color_range
        context.color_primaries, context.color_trc = primaries, transfer
        context.framerate = self._frame_rate or Fraction(0)
        if self.container.constant_rate and self._frame_rate is not None:
            stream.time_base = 1 / self._frame_rate
        if plan.display_matrix is not None:
            stream.set_display_matrix(plan.display_matrix)
        return stream

    def _add_text(self, converter: SubtitleConverter) -> Stream:
        stream = self.output.add_stream(converter.codec)
        context = stream.codec_context
        assert isinstance(context, SubtitleCodecContext)
        context.subtitle_header = converter.header
        context.time_base = Fraction(1, 1000)
        return stream

    def _add_copy(self, original: Stream, stream: StreamPlan) -> Stream:
        if getattr(original, "codec_context", None) is not None or stream.kind == "data":
            return self.output.add_stream_from_template(original, opaque=True)
        # A codec without a decoder in this build. The "null" filter copies all its parameters.
        added = self.output.add_mux_stream(self.plan.video_codec)
        BitStreamFilterContext("null", original, added)
        added.time_base = original.time_base
        return added

    def _attach(self, original: Stream, cover: bytes | None) -> None:
        if isinstance(original, AttachmentStream):
            self.output.add_stream_from_template(original)
            return
        kind = "png" if original.name == "png" else "jpeg"
        name = original.metadata.get("filename") or f"cover.{'png' if kind == 'png' else 'jpg'}"
        self.output.add_attachment(name, f"image/{kind}", cover or b"")

    def _describe(self, added: Stream, original: Stream, stream: StreamPlan) -> None:
        tags = stream_tags(original.metadata, upscaled=stream.action == "upscale")
        tags["language"] = stream.language
        if self.plan.container == "mov":
            tags["language"] = quicktime_language(stream.language)
        if self.plan.container in _MATROSKA:
            tags["title"] = stream.title + RESERVE
        added.metadata.clear()
        added.metadata.update(tags)
        added.disposition = Disposition(stream.disposition)
        if stream.tag and getattr(added, "codec_context", None) is not None:
            added.codec_context.codec_tag = stream.tag


def shifted_chapters(source: InputContainer, shift: Fraction) -> list[Chapter]:
    """The source's chapters, later by `shift` seconds, in nanoseconds."""
    chapters: list[Chapter] = []
    for chapter in source.chapters():
        base = chapter["time_base"] or Fraction(1, 1000)
        to_ns = TickMap(base, NANOSECOND, shift)
        chapters.append(
            {
                "id": chapter["id"],
                "start": to_ns(chapter["start"]),
                "end": to_ns(chapter["end"]),
                "time_base": NANOSECOND,
                "metadata": chapter["metadata"],
            }
        )
    return chapters


def movie_timescale(starts: list[Fraction]) -> int:
    """Ticks a second in which MP4's edit lists say how late each stream starts, exactly if possible.

    FFmpeg's default of 1000 cuts a start of 1/24 s to 41 ms. `starts` are in seconds, the most
    important first.
    """
    scale = 1000
    for start in starts:
        finer = math.lcm(scale, start.denominator)
        if start > 0 and finer <= LARGEST_TIMESCALE:
            scale = finer
    return scale


def _muxer_options(
    plan: RemuxPlan, container: Container, movie_timescale: int, *, whole: bool
) -> dict[str, str]:
    # All times are final when they reach the muxer: it must not move them on its own.
    options = {"avoid_negative_ts": "disabled"}
    if container.negative_times:
        flags = "+write_colr"
        if whole:  # moving the index to the front needs a file that can be read again
            flags += "+faststart"
        if plan.all_tags:
            flags += "+use_metadata_tags"
        options |= {"movflags": flags, "movie_timescale": str(movie_timescale)}
    elif plan.container in _MATROSKA:
        options["default_mode"] = "passthrough"  # else the first of each kind becomes the default
    elif plan.suffix == ".m2ts":
        options["mpegts_m2ts_mode"] = "1"  # FFmpeg goes by the name, and the name is a temporary one
    return options
