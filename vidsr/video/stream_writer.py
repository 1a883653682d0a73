"""Writing a video into a pipe: encoded, and muxed with the packets of everything else, as it comes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidsr.errors import OutputError
from vidsr.frames import FrameBatch, VideoInfo
from vidsr.video.containers import container_for
from vidsr.video.encoder_frames import FrameMaker
from vidsr.video.encoders import Encoding, encoder_reason, nominal_rate
from vidsr.video.matroska import corrected, display_header
from vidsr.video.plan import RemuxPlan
from vidsr.video.route import TickMap
from vidsr.video.standard_streams import STDOUT, Sink
from vidsr.video.target import Target


class StreamWriter:
    """Encodes frames into a pipe, beside packets that are copied; a context manager.

    Each packet is on its way as soon as encoder and muxer give it. On leaving, whatever the reason, the
    stream is brought to its proper end, unless nobody reads it any more.
    """

    def __init__(
        self,
        sink: Sink,
        plan: RemuxPlan,
        source: InputContainer,
        info: VideoInfo,
        encoding: Encoding,
        *,
        covers: Mapping[int, bytes],
        tags: Mapping[str, str],
    ) -> None:
        """Open the encoder and send the header.

        `plan` is of `source`, whose streams, tags and chapters the header takes over; `info` is the
        video to write: size, time base, shape of pixels, average rate. `covers` are the pictures of
        attached cover art by the index of their stream, `tags` are added to those of the source.

        Raises:
            OutputError: the encoder or the muxer refuses.
            BrokenPipeError: nobody reads.
        """
        self._frames = FrameMaker(STDOUT, info, encoding)
        self._encoding = encoding
        self._rate = nominal_rate(info)
        self._count = 0  # frames given to the encoder
        self._times: dict[int, _Time] = {}  # of frames whose packets may still come, by their number
        self._last_tick: int | None = None
        self._head = _Head(sink)
        with _Refusals(encoding):
            self._carrier, self._stream = _open_encoder(info, encoding)
            self._target = Target(
                self._head,
                plan,
                container_for(Path("x" + plan.suffix)),
                source,
                self._stream,
                covers=covers,
                tags=tags,
                frame_rate=info.frame_rate,
                live=True,
            )
            self._target.start()
            self._head.send(plan)
        self._to_ticks = TickMap(info.time_base, self._target.video_time_base, plan.shift)
        self._step = max(1, round(1 / self._rate / self._target.video_time_base))  # ticks

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            with _Refusals(self._encoding):
                self._finish()
        elif not issubclass(kind, BrokenPipeError):
            with suppress(av.FFmpegError, OSError, ValueError):  # the first error is the one to tell
                self._finish()

    def write(self, batch: FrameBatch) -> None:
        """Encode the next frames, in order; the planes must lie in main memory.

        Raises:
            ValueError: frames of another size, colour layout or time base.
            OutputError: the encoder refuses.
            BrokenPipeError: nobody reads any more.
        """
        with _Refusals(self._encoding):
            for index, frame in enumerate(self._frames.make(batch)):
                tick = self._to_ticks(batch.pts[index])
                if self._last_tick is not None:
                    tick = max(tick, self._last_tick + 1)  # a coarse clock must still tell them apart
                self._last_tick = tick
                length = batch.durations[index] if batch.durations else 0
                end = self._to_ticks(batch.pts[index] + length)
                self._times[self._count] = _Time(tick, max(1, end - tick) if length else self._step)
                frame.pts, frame.time_base = self._count, 1 / self._rate
                self._count += 1
                self._encode(frame)

    def copy(self, packet: Packet[Any]) -> None:
        """Send a packet of the source's other streams. Raises as `write` does."""
        with _Refusals(self._encoding):
            self._target.copy(packet)

    def _encode(self, frame: VideoFrame | None) -> None:
        for packet in self._stream.codec_context.encode(frame):
            if packet.pts not in self._times:
                raise OutputError(f"{STDOUT}: {self._encoding.encoder} gave a packet of no frame")
            time = self._times[packet.pts]
            # The encoder counts frames: its decoding time is the number of a frame shown earlier, or
            # lies as many frames before the first.
            decoded = packet.pts if packet.dts is None else packet.dts
            self._times = {number: t for number, t in self._times.items() if number >= decoded}
            first = self._times[min(self._times)]
            dts = self._times[decoded].tick if decoded >= 0 else first.tick + decoded * self._step
            self._target.write_video(packet, time.tick, min(dts, time.tick), time.duration)

    def _finish(self) -> None:
        self._encode(None)
        self._target.flush()
        self._target.output.close()


@dataclass(frozen=True)
class _Time:
    """When a frame is shown, in ticks of the result."""

    tick: int
    duration: int


class _Head:
    """Holds the header back until what FFmpeg cannot say in it is corrected; then passes bytes on."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held: bytearray | None = bytearray()

    def write(self, data: bytes | memoryview, /) -> int:
        if self._held is None:
            return self._sink.write(data)
        self._held += data
        return len(data)

    def send(self, plan: RemuxPlan) -> None:
        assert self._held is not None
        head, self._held = bytes(self._held), None
        if plan.container in ("matroska", "webm"):
            main = plan.kept.index(plan.main)
            shown = display_header(plan.width, plan.height, plan.sample_aspect_ratio)
            head = corrected(head, {main: shown})
        self._sink.write(head)


class _Refusals:
    """Says in the user's words what FFmpeg refused; a closed pipe stays what it is."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, BrokenPipeError):
            return
        if isinstance(error, av.FFmpegError):
            raise OutputError(
                f"{STDOUT}: {self._encoding.encoder} failed: {encoder_reason(error)}"
            ) from error
        if isinstance(error, OSError):
            raise OutputError(f"{STDOUT}: cannot be written: {error.strerror}") from error


def _open_encoder(info: VideoInfo, encoding: Encoding) -> tuple[OutputContainer, VideoStream]:
    """An encoder and its stream, for a muxer to copy, in a container of its own that nobody sees."""
    carrier = av.open(io.BytesIO(), "w", format=encoding.segment_format)
    stream = carrier.add_stream(encoding.encoder, rate=nominal_rate(info))
    assert isinstance(stream, VideoStream)
    encoding.open(stream.codec_context, info)
    stream.time_base = info.time_base  # the copy begins with it, and NUT keeps it or a multiple
    carrier.start_encoding()
    return carrier, stream
