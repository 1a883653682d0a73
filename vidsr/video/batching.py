"""Gathering decoded frames into a batch."""

from __future__ import annotations

from av.video.frame import VideoFrame

from vidsr.frames import FrameBatch, VideoInfo
from vidsr.video.planar_formats import parse_pixel_format
from vidsr.video.planes import FrameStack


class BatchBuilder:
    """Room for the frames of one batch, each copied once, with its time and duration."""

    def __init__(self, info: VideoInfo, size: int) -> None:
        """Room for `size` frames as `info` describes them."""
        self.size = size
        self.times: list[int] = []  # ticks
        self._info = info
        self._durations: list[int] = []
        planar = parse_pixel_format(info.pixel_format).name
        self._stack = FrameStack(planar, info.height, info.width, size)

    @property
    def full(self) -> bool:
        """Whether there is no more room."""
        return len(self.times) == self.size

    def add(self, frame: VideoFrame, time: int) -> None:
        """Copy the next frame, planar and of the stream's format, shown at `time`."""
        self._stack.add(frame)
        self.times.append(time)
        self._durations.append(max(0, frame.duration))

    def take(self) -> FrameBatch:
        """The frames added so far, at least one; they share this one's memory."""
        info = self._info
        return FrameBatch(
            self._stack.take(), info.color, tuple(self.times), info.time_base, tuple(self._durations)
        )
