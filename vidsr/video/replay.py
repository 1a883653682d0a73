"""What an encoder has written, decoded again at once and compared with the frames it was made from.

Only so do the encoder's own losses count, and is every frame known to decode. Doing it while the encoder
works needs no second reading of the segment, and no more frames in memory than the encoder holds back.
"""

from __future__ import annotations

import math
from dataclasses import replace

import av
from av.codec.context import ThreadType
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidsr.frames import ColorSpec, FrameBatch
from vidsr.video.frame_score import FrameScore
from vidsr.video.planar_formats import parse_pixel_format
from vidsr.video.planes import FrameStack, planar_frame

HELD_BYTES = 64 * 1024 * 1024
"""Of input frames that wait for their enlarged ones to come out of the encoder."""

HELD_FRAMES = 64
"""How many wait at once, about: x264 looks 40 frames ahead, x265 and SVT-AV1 somewhat more or less."""

THREADS = 2
"""Of the decoder: one decodes while the other's frame is measured. More would only take memory."""

DECODERS = {"av1": "libdav1d"}
"""Whose name is not the codec's: FFmpeg's own "av1" only drives hardware."""


class Replay:
    """Decodes the packets of one segment and scores its frames; packets come in decoding order.

    FFmpegError comes out of `feed` and `finish` where the packets do not decode.
    """

    def __init__(self, codec: str, encoder: VideoCodecContext, color: ColorSpec) -> None:
        """`encoder` is open and makes `codec` (FFmpeg's name); `color` is that of what it is given."""
        context = av.CodecContext.create(DECODERS.get(codec, codec), "r")
        assert isinstance(context, VideoCodecContext)
        context.extradata = encoder.extradata
        context.width, context.height = encoder.width, encoder.height
        if codec == "rawvideo":
            context.pix_fmt = encoder.pix_fmt  # its packets do not say
        context.thread_count, context.thread_type = THREADS, ThreadType.AUTO
        self._context, self._color = context, color
        self._sources: dict[int, FrameBatch] = {}
        self._scores: dict[int, FrameScore] = {}
        self.frames = 0
        """Decoded so far."""

    def expect(self, number: int, source: FrameBatch) -> None:
        """Frame `number`, counted from 0 in the order of presentation, was made from `source`.

        Not every frame is kept: of an input whose frames are large one in several is measured, by its
        size alone, so that every run measures the same ones.
        """
        if number % stride(source.nbytes) == 0:
            self._sources[number] = source

    def feed(self, packet: Packet[VideoStream]) -> None:
        """Decode a packet whose pts is the number of its frame."""
        for frame in self._context.decode(packet):
            self._measure(frame)

    def finish(self) -> dict[int, FrameScore]:
        """Decode what is left; the scores of the measured frames by their numbers."""
        for frame in self._context.decode(None):
            self._measure(frame)
        return self._scores

    def _measure(self, frame: VideoFrame) -> None:
        from vidsr.video.faithfulness import comparable, score

        self.frames += 1
        source = None if frame.pts is None else self._sources.pop(frame.pts, None)
        if source is None:
            return
        frame = planar_frame(frame)
        stack = FrameStack(frame.format.name, frame.height, frame.width, 1)
        stack.add(frame)
        planar = parse_pixel_format(frame.format.name)
        # Decoders have depths of their own: ProRes 4444 comes out with ten bits or with twelve.
        color = replace(self._color, depth=planar.depth, alpha=planar.alpha)
        enlarged = replace(source, planes=stack.take(), color=color)
        self._scores[frame.pts or 0] = score(comparable(source, color), enlarged)


def stride(frame_bytes: int) -> int:
    """One in how many frames of this size is measured: below 1 MiB all of them, of 1080p every third."""
    return max(1, math.ceil(frame_bytes * HELD_FRAMES / HELD_BYTES))
