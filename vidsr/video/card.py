"""Decoding on an NVIDIA card (NVDEC), for streams of which the card is seen to give the same bits.

FFmpeg decodes on the card in a CUDA context of its own, and frames come down into main memory: FFmpeg
does not share PyTorch's context once that is active (`cuda_context_init` in libavutil/hwcontext_cuda.c
wants it with other flags), and deinterlacing and what judges the result look at frames there anyway.
A frame of 1280x720 is 1.4 MB, a twentieth of a millisecond of PCIe each way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidsr.arrays import Array
from vidsr.errors import BackendUnavailable, InputError
from vidsr.frames import VideoInfo
from vidsr.video.decoding import Decoding
from vidsr.video.planar_formats import parse_pixel_format
from vidsr.video.planes import SWSCALE_THREADS, FrameStack, planar_frame
from vidsr.video.source import open_input

EXACT_CODECS = frozenset(["h264", "hevc", "vp8", "vp9", "av1"])
"""Codecs whose standards say every bit of a decoded frame, so that all sound decoders agree. MPEG-2 and
MPEG-4 leave the rounding of the inverse DCT open (ISO/IEC 13818-2, annex A)."""

FROM_CARD = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}
"""What the card gives in place of a software decoder's format: the same samples, chroma interleaved, ten
bits at the top of sixteen (libavcodec/nvdec.c)."""


class CardFailed(Exception):
    """Not an error yet: a card cannot decode this stream, or this piece of it, and software does."""


class CardDecoding(Decoding):
    """A pass of the card's decoder: its frames come out in the very form that software gives them.

    It gives up where a software decoder would go on: at the first damaged packet or frame, for how a
    decoder mends damage is its own affair, and whatever else fails on a card.
    """

    def __init__(self, path: Path, stream_index: int, pixel_format: str, *, reorder: int = 0) -> None:
        """Open `path`; `pixel_format` is what the software decoder gives. Raises CardFailed."""
        self._pixel_format = pixel_format
        try:
            # One thread: the card has its own, and FFmpeg advises against several of ours over them.
            super().__init__(path, stream_index, reorder=reorder, threads=1)
        except (av.FFmpegError, InputError) as error:
            raise CardFailed(f"the card fails: {_reason(error)}") from error

    def _open(self, path: Path) -> InputContainer:
        return open_input(path, HWAccel("cuda"))

    def frames(self, packets: Iterable[Packet[VideoStream]] | None = None) -> Iterator[VideoFrame]:
        """All frames, in the order of presentation. Raises CardFailed."""
        sound = self._while_sound(self.packets() if packets is None else packets)
        try:
            for frame in self._from_card(sound):
                self._must_be_sound()
                if frame.format.name == self._pixel_format:
                    raise CardFailed(f"FFmpeg decodes {self.codec} like this in software alone")
                if frame.format.name != FROM_CARD[self._pixel_format]:
                    raise CardFailed(f"the card gives {frame.format.name} for {self._pixel_format}")
                yield frame.reformat(format=self._pixel_format, threads=SWSCALE_THREADS)
        except (av.FFmpegError, InputError) as error:
            raise CardFailed(f"the card fails: {_reason(error)}") from error
        self._must_be_sound()

    def _from_card(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        return super().frames(packets)

    def _while_sound(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        for packet in packets:
            self._must_be_sound()
            yield packet

    def _must_be_sound(self) -> None:
        if self.damage:
            raise CardFailed("a packet or frame is damaged")


class CardOpener(Protocol):
    """What opens a pass on a card: CardDecoding, or what stands for it in a test."""

    def __call__(
        self, path: Path, stream_index: int, pixel_format: str, *, reorder: int
    ) -> CardDecoding: ...


def check_card(
    info: VideoInfo, open_card: Callable[[], CardDecoding], expected: Sequence[VideoFrame]
) -> None:
    """See that a card decodes a stream as software does: really, and to the bit.

    `expected` are the first frames of the software decoder. Raises CardFailed with the reason, and
    BackendUnavailable where there is no card for any stream.
    """
    codec = av.Codec(info.codec, "r").canonical_name
    if codec not in EXACT_CODECS:
        raise CardFailed(f"decoders of {codec} need not agree to the bit")
    if info.pixel_format not in FROM_CARD:
        raise CardFailed(f"cards are asked for 4:2:0 of 8 or 10 bits, not {info.pixel_format}")
    find_card()
    with open_card() as decoding:
        given = decoding.frames()
        for number, frame in enumerate(expected):
            found = next(given, None)
            if found is None or not _same(found, frame):
                raise CardFailed(f"the card does not give frame {number} as software does")


def find_card() -> None:
    """Raise BackendUnavailable where FFmpeg finds no card; whether it decodes is another question."""
    if "cuda" not in hwdevices_available():
        raise BackendUnavailable("this FFmpeg was built without CUDA")
    try:
        av.CodecContext.create("h264", "r", hwaccel=HWAccel("cuda"))
    except av.FFmpegError as error:
        raise BackendUnavailable("FFmpeg finds no NVIDIA GPU or driver") from error


def _same(one: VideoFrame, other: VideoFrame) -> bool:
    if (one.pts, one.width, one.height) != (other.pts, other.width, other.height):
        return False
    return all(np.array_equal(a, b) for a, b in zip(_samples(one), _samples(other), strict=True))


def _samples(frame: VideoFrame) -> tuple[Array, ...]:
    stack = FrameStack(parse_pixel_format(frame.format.name).name, frame.height, frame.width, 1)
    stack.add(planar_frame(frame))
    return stack.take()


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split()).lower()
