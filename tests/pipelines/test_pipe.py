"""Pipes: real ones of the operating system over standard input and output, PyAV on their other ends."""

from __future__ import annotations

import io
import os
import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.inference.nearest import NearestBackend
from tests.synthetic import frame_number, picture, to_frame
from vidsr.config import PIPE, UpscaleConfig
from vidsr.pipelines.report import UpscaleReport
from vidsr.pipelines.upscale import upscale_video
from vidsr.progress import Event, Notice

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors are swapped as POSIX has them")


@dataclass
class Passed:
    """What came out of a run between two pipes."""

    data: bytes
    report: UpscaleReport
    notices: list[str]


def through(
    data: bytes | Path, output: Path = PIPE, *, scale: float = 2, chunk: int = 7777, **options: Any
) -> Passed:
    """Run `upscale - OUTPUT` (or `upscale FILE OUTPUT`) in this process with pipes as 0 and 1."""
    notices: list[str] = []

    def progress(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)

    config = UpscaleConfig(
        PIPE if isinstance(data, bytes) else data, output, scale=scale, model="srgan-lite", **options
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
        with os.fdopen(feed, "wb", buffering=0) as pipe:
            try:
                for start in range(0, len(data) if isinstance(data, bytes) else 0, chunk):
                    pipe.write(data[start : start + chunk])  # type: ignore[index]
            except BrokenPipeError:
                pass

    def receive() -> None:
        with os.fdopen(drain, "rb", buffering=0) as pipe:
            while more := pipe.read(1 << 16):
                received.extend(more)

    threads = [threading.Thread(target=send), threading.Thread(target=receive)]
    for thread in threads:
        thread.start()
    try:
        report = upscale_video(
            config, progress, opener=lambda weights, config, progress: NearestBackend(weights.scale)
        )
    finally:
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for thread in threads:
            thread.join()
    return Passed(bytes(received), report, notices)


def y4m_of(form: str, frames: int = 3, size: tuple[int, int] = (48, 64), more: str = "") -> bytes:
    """A y4m stream of numbered frames; `form` is FFmpeg's pixel format, and the name of its form."""
    name, _, tag = form.partition(":")
    height, width = size
    data = f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C{tag or name}{more}\n".encode()
    for number in range(frames):
        frame = to_frame(picture(number, height, width), name)
        data += b"FRAME\n" + frame.to_ndarray().tobytes()
    return data


def shown(data: bytes) -> tuple[list[int], list[Fraction]]:
    """The numbers of all frames of a stream, by FFmpeg's conversion, and when they are shown."""
    numbers, times = [], []
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(video=0):
            numbers.append(frame_number(frame.to_ndarray(format="rgb24")))
            assert frame.pts is not None
            times.append(frame.pts * frame.time_base)
    return numbers, times


def test_y4m_in_is_y4m_out() -> None:
    passed = through(y4m_of("yuv420p:420mpeg2"))
    assert passed.data.startswith(
        b"YUV4MPEG2 W128 H96 F25:1 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED\nFRAME\n"
    )
    assert shown(passed.data) == ([0, 1, 2], [Fraction(i, 25) for i in range(3)])
    assert passed.report.frames == 3
    assert "taken for BT.601" in passed.notices[0]
