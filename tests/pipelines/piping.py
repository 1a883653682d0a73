"""Runs between real pipes in this process, and what goes through them."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.inference.nearest import NearestBackend
from tests.synthetic import frame_number, picture, to_frame
from tests.waiting import PATIENCE_S
from vidsr.config import PIPE, UpscaleConfig
from vidsr.pipelines.report import UpscaleReport
from vidsr.pipelines.upscale import upscale_video
from vidsr.progress import Event, Notice

CHUNK = 7777
"""Bytes sent at once: neither a frame nor a page."""


@dataclass
class Passed:
    """What came out of a run between two pipes."""

    data: bytes
    report: UpscaleReport
    notices: list[str]


def through(
    data: bytes | Path | Iterator[bytes],
    output: Path = PIPE,
    *,
    read_most: int = 1 << 30,
    on_bytes: Callable[[bytes], None] = lambda received: None,
    backend: Callable[[int], NearestBackend] = NearestBackend,
    **options: Any,
) -> Passed:
    """Run `upscale - OUTPUT` (or `upscale FILE OUTPUT`) in this process with pipes as 0 and 1.

    Bytes are sent in pieces of an odd size, or as they are given out one by one; `on_bytes` hears what
    has come back, and whoever reads goes away after `read_most` bytes.
    """
    notices: list[str] = []

    def progress(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)

    config = UpscaleConfig(
        data if isinstance(data, Path) else PIPE,
        output,
        **{"scale": 2, "model": "srgan-lite", **options},
    )
    incoming, feed = os.pipe()
    drain, outgoing = os.pipe()
    kept = os.dup(0), os.dup(1)
    os.dup2(incoming, 0)
    os.dup2(outgoing, 1)
    os.close(incoming)
    os.close(outgoing)
    received = bytearray()

    def send() -> None:
        parts = [] if isinstance(data, Path) else data
        if isinstance(data, bytes):
            parts = (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))
        with os.fdopen(feed, "wb", buffering=0) as pipe, suppress(BrokenPipeError):
            for part in parts:
                pipe.write(part)

    def receive() -> None:
        with os.fdopen(drain, "rb", buffering=0) as pipe:
            while len(received) < read_most and (more := pipe.read(1 << 16)):
                received.extend(more)
                on_bytes(received)

    threads = [threading.Thread(target=work, daemon=True) for work in (send, receive)]
    for thread in threads:
        thread.start()
    try:
        report = upscale_video(
            config, progress, opener=lambda weights, config, progress: backend(weights.scale)
        )
    finally:
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "an end of a pipe is still open elsewhere"
    return Passed(bytes(received), report, notices)


def y4m_of(
    form: str, frames: int = 3, size: tuple[int, int] = (48, 64), words: str = "F25:1 Ip A1:1"
) -> bytes:
    """A y4m stream of numbered frames; `form` is FFmpeg's pixel format, ":" and the name in y4m."""
    pixel_format, _, name = form.partition(":")
    height, width = size
    data = f"YUV4MPEG2 W{width} H{height} {words} C{name}\n".encode()
    for number in range(frames):
        frame = to_frame(picture(number, height, width), pixel_format)
        data += b"FRAME\n" + b"".join(plane.tobytes() for plane in planes_of(frame))
    return data


def planes_of(frame: av.VideoFrame) -> list[NDArray[Any]]:
    """The samples of a planar frame, without the padding of its rows."""
    planes = []
    for component in frame.format.components:
        plane = frame.planes[component.plane]
        sample = np.dtype("<u2" if component.bits > 8 else "u1")
        rows = np.frombuffer(plane, sample).reshape(-1, plane.line_size // sample.itemsize)
        planes.append(rows[: component.height, : component.width])
    return planes


def streamed(path: Path, format: str) -> bytes:
    """A file's streams as another container would carry them through a pipe, packets as they are."""
    memory = io.BytesIO()
    with av.open(str(path)) as source, av.open(memory, "w", format=format) as target:
        target.metadata.update(source.metadata)
        target.set_chapters(source.chapters())
        routes = {}
        for stream in source.streams:
            routes[stream.index] = target.add_stream_from_template(stream, opaque=True)
            routes[stream.index].metadata.update(stream.metadata)
        for packet in source.demux():
            if packet.size:
                packet.stream = routes[packet.stream.index]
                target.mux(packet)
        data = memory
        target.close()
        return data.getvalue()


def frames_of(data: bytes | Path) -> list[av.VideoFrame]:
    """All frames of a stream's first video."""
    with av.open(io.BytesIO(data) if isinstance(data, bytes) else str(data)) as container:
        return list(container.decode(video=0))


def numbers_of(data: bytes | Path, **conversion: Any) -> list[int]:
    """The numbers of all frames, by FFmpeg's conversion."""
    return [frame_number(frame.to_ndarray(format="rgb24", **conversion)) for frame in frames_of(data)]


def times_of(data: bytes | Path) -> list[Fraction]:
    """When all frames are shown, seconds."""
    return [(frame.pts or 0) * (frame.time_base or Fraction(1)) for frame in frames_of(data)]


def sound_of(data: bytes | Path) -> list[tuple[Fraction, bytes]]:
    """The packets of the first audio stream with their times."""
    with av.open(io.BytesIO(data) if isinstance(data, bytes) else str(data)) as container:
        return [
            ((packet.pts or 0) * (packet.time_base or Fraction(1)), bytes(packet))
            for packet in container.demux(audio=0)
            if packet.size
        ]
