"""Copying decoded frames into arrays, plane by plane, and arrays into frames."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
from av.video.frame import VideoFrame

from vidsr.arrays import Array, to_host
from vidsr.video.planar_formats import parse_pixel_format

SWSCALE_THREADS = 1
"""Threads of FFmpeg's conversions. With more, swscale 9.5 gives other samples now and then (seen with
p010, p210 and y210 in one of ten frames); with one, the same frame always gives the same."""


def planar_frame(frame: VideoFrame) -> VideoFrame:
    """The same samples as planes (see PlanarFormat); the frame itself where it has planes already.

    Raises:
        InputError: its pixel format has no planar form without loss.
    """
    planar = parse_pixel_format(frame.format.name)
    if planar.via:
        frame = frame.reformat(format=planar.via, threads=SWSCALE_THREADS)
    if frame.format.name == planar.name:
        return frame
    return frame.reformat(format=planar.name, threads=SWSCALE_THREADS)


class FrameStack:
    """Room for frames of one format and size; each is copied once, straight from the decoder's memory.

    `pixel_format` is the name of a PlanarFormat. Planes come out in the order of a FrameBatch: Y, U, V
    or R, G, B or gray, then alpha; uint8 for 8 bits, uint16 for more, (N, H, W) each.
    """

    def __init__(self, pixel_format: str, height: int, width: int, capacity: int) -> None:
        self._format = av.VideoFormat(pixel_format, width, height)
        # FFmpeg lists components as R, G, B even where the planes lie as G, B, R.
        self._sources = [part.plane for part in self._format.components]
        deep = self._format.components[0].bits > 8
        self._planes = [
            np.empty((capacity, part.height, part.width), np.uint16 if deep else np.uint8)
            for part in self._format.components
        ]
        self.count = 0

    def add(self, frame: VideoFrame) -> None:
        """Copy the next frame, which must have this stack's format and size."""
        if (frame.format.name, frame.width, frame.height) != (
            self._format.name,
            self._format.width,
            self._format.height,
        ):
            raise ValueError(f"a frame of {frame.format.name} {frame.width}x{frame.height} does not fit")
        for index, rows in zip(self._sources, self._planes, strict=True):
            plane = frame.planes[index]
            _, height, width = rows.shape
            if plane.line_size < width * rows.itemsize:
                # Bottom-up pictures (line_size below zero) are turned over by the decoders PyAV has.
                raise ValueError(f"plane {index} has rows of {plane.line_size} bytes")
            stored = np.frombuffer(memoryview(plane), rows.dtype).reshape(
                -1, plane.line_size // rows.itemsize
            )
            np.copyto(rows[self.count], stored[:height, :width])
        self.count += 1

    def take(self) -> tuple[Array, ...]:
        """The planes of the frames added so far; they share the stack's memory."""
        return tuple(plane[: self.count] for plane in self._planes)


def fill_frame(frame: VideoFrame, planes: Sequence[Array]) -> VideoFrame:
    """Copy planes (H, W), in the order of a FrameBatch, into a planar frame of their size and depth."""
    for part, plane in zip(frame.format.components, planes, strict=True):
        samples = to_host(plane)
        target = frame.planes[part.plane]
        rows = np.frombuffer(memoryview(target), samples.dtype)
        rows = rows.reshape(-1, target.line_size // samples.itemsize)
        np.copyto(rows[: samples.shape[0], : samples.shape[1]], samples)
    return frame
