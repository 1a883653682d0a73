"""YUV4MPEG2 (y4m), the pipe that every video program speaks: a line of text, then raw pictures.

The line is described in yuv4mpeg(5) of the MJPEG tools; more than 8 bits, gray and the colour range
(XCOLORRANGE) are FFmpeg's additions (libavformat/yuv4mpegenc.c), which x264, mpv, aomenc and SVT-AV1
read too. It knows a rate but no times, chroma's place but no matrix, and nothing but one video.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction
from types import TracebackType
from typing import Self

import numpy as np

from vidsr.errors import InputError
from vidsr.frames import FrameBatch, Siting, VideoInfo
from vidsr.video.standard_streams import Sink

MAGIC = b"YUV4MPEG2 "

FALLBACK_RATE = Fraction(25)
"""Frames a second of a video that states none: the line has to name one."""

UNEVEN = Fraction(1, 2)
"""Frames that a time may be off; clocks of milliseconds are off by a twentieth, and do not drift."""

_SITED: Mapping[Siting, str] = {"center": "420jpeg", "left": "420mpeg2", "topleft": "420paldv"}
"""The three names of 4:2:0 with 8 bits say where its chroma lies; no other name does."""

_FORMS: Mapping[str, str] = {
    **{f"yuv{digits}p": f"{digits}" for digits in (422, 444, 411)},
    **{f"yuv{d}p{depth}le": f"{d}p{depth}" for d in (420, 422, 444) for depth in (9, 10, 12, 14, 16)},
    "gray": "mono",
    **{f"gray{depth}le": f"mono{depth}" for depth in (9, 10, 12, 16)},
}
"""The other forms, by FFmpeg's name of the pixel format."""

PIXEL_FORMATS = frozenset({"yuv420p", *_FORMS})
"""What is written. Alpha (C444alpha) is read, but not written: hardly any other program knows it."""


def sitings_told(pixel_format: str) -> Collection[Siting]:
    """The places of chroma that the line can name for frames of a format."""
    return _SITED if pixel_format == "yuv420p" else ()


class Y4mWriter:
    """Writes frames as y4m; a context manager. Nothing is kept back: a frame written is a frame sent."""

    def __init__(self, sink: Sink, info: VideoInfo) -> None:
        """Frames of the size, shape, rate, colour and pixel format (of PIXEL_FORMATS) of `info`."""
        self._sink = sink
        self._info = info
        self._head = header(info)
        self._count = 0
        self._first_s = Fraction(0)
        self.uneven = False  # whether a frame so far is not due when the rate will show it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """There is no end to write: the last frame is the end."""

    def copy(self, packet: object) -> None:
        """Pass over a packet of another stream: there is no place for it."""

    def write(self, batch: FrameBatch) -> None:
        """Send the frames of a batch; planes in main memory, uint8 or uint16 by depth."""
        color = self._info.color
        if (batch.size, batch.color.depth, batch.color.subsampling) != (
            (self._info.height, self._info.width),
            color.depth,
            color.subsampling,
        ):
            raise ValueError(f"frames of {batch.size}, {batch.color}, expected {self._info}")
        planes = [np.ascontiguousarray(plane) for plane in batch.arrays().planes]
        for index, pts in enumerate(batch.pts):
            self._watch(pts * batch.time_base)
            self._sink.write(self._head + b"FRAME\n")
            self._head = b""
            for plane in planes:
                samples = plane[index]
                # Deep samples are little-endian, whatever the machine.
                self._sink.write(samples.astype(samples.dtype.newbyteorder("<"), copy=False).data)

    def _watch(self, time_s: Fraction) -> None:
        """Compare a frame's time with the one that its number and the rate give it."""
        if not self._count:
            self._first_s = time_s
        late = (time_s - self._first_s) * (self._info.frame_rate or FALLBACK_RATE) - self._count
        self.uneven |= abs(late) > UNEVEN
        self._count += 1


def header(info: VideoInfo) -> bytes:
    """The first line of a stream of progressive frames."""
    rate = info.frame_rate or FALLBACK_RATE
    shape = info.sample_aspect_ratio
    form = _FORMS.get(info.pixel_format) or _SITED[info.color.siting]
    return (
        MAGIC
        + (
            f"W{info.width} H{info.height} F{rate.numerator}:{rate.denominator} Ip"
            f" A{shape.numerator}:{shape.denominator} C{form}"
            f" XCOLORRANGE={info.color.range.upper()}\n"
        ).encode()
    )


def stated_siting(head: bytes) -> Siting | None:
    """Where the first line of a stream says that chroma lies; None where it does not say."""
    name = _word(head, "C")
    return next((siting for siting, sited in _SITED.items() if sited == name), None)


def refuse_unreadable(head: bytes, name: object) -> None:
    """Say what of a y4m stream FFmpeg would refuse without a word.

    Raises:
        InputError: frames that are partly interlaced, or a chroma form that nobody knows.
    """
    form = _word(head, "C")
    if _word(head, "I") == "m":
        raise InputError(
            f"{name}: y4m with some frames interlaced and some not (Im) cannot be read:"
            " send it as NUT or Matroska"
        )
    if form is not None and form not in {"420", "444alpha", *_SITED.values(), *_FORMS.values()}:
        raise InputError(f"{name}: y4m of the form C{form} is not known: send it as NUT or Matroska")


def _word(head: bytes, letter: str) -> str | None:
    words = head.partition(b"\n")[0].decode("ascii", "replace").split(" ")[1:]
    return next((word[1:] for word in words if word.startswith(letter)), None)
