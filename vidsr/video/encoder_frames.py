"""Frames for an encoder, made of planes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from vidsr.errors import OutputError
from vidsr.frames import FrameBatch, VideoInfo
from vidsr.video.color_tags import h273_tags
from vidsr.video.encoder_formats import Component, PixelFormat, pixel_format
from vidsr.video.encoders import Encoding


class FrameMaker:
    """Makes the frames that an encoder is given; each is copied once and carries its colour tags."""

    def __init__(self, path: Path, info: VideoInfo, encoding: Encoding) -> None:
        """For frames of the size and time base of `info`; `path` is named in errors.

        Raises:
            OutputError: frames of this pixel format, or of this size in it, cannot be made.
        """
        self._info, self._encoding = info, encoding
        found = pixel_format(encoding.pixel_format)
        if found is None:
            raise OutputError(f"{path}: frames of {encoding.pixel_format} cannot be made")
        self._format: PixelFormat = found
        down, across = encoding.size_multiple
        if info.height % down or info.width % across:
            raise OutputError(
                f"{path}: {encoding.encoder} takes {encoding.pixel_format} only in multiples of "
                f"{across}x{down} pixels, not {info.width}x{info.height}; choose another size"
            )

    def make(self, batch: FrameBatch) -> Iterator[VideoFrame]:
        """The frames of a batch, in order, without times; the planes must lie in main memory.

        Raises:
            ValueError: frames of another size, colour layout or time base.
        """
        self._check(batch)
        planes = batch.arrays().planes
        sample = np.dtype(np.uint8 if batch.color.depth == 8 else np.uint16)
        if any(plane.dtype != sample for plane in planes):
            raise ValueError(f"planes of {planes[0].dtype}, expected {sample}")
        for index in range(len(batch)):
            yield self._frame([plane[index] for plane in planes])

    def _frame(self, planes: list[np.ndarray[Any, Any]]) -> VideoFrame:
        """One frame from planes (H, W), copied once, with tags."""
        frame = VideoFrame(self._info.width, self._info.height, self._encoding.pixel_format)
        for plane, component in zip(planes, self._format.components, strict=True):
            _fill(frame.planes[component.plane], component, plane)
        tags = h273_tags(self._encoding.color)
        frame.color_primaries, frame.color_trc = tags.primaries, tags.transfer
        frame.colorspace, frame.color_range = tags.matrix, tags.range
        return frame

    def _check(self, batch: FrameBatch) -> None:
        color = self._encoding.color
        if batch.size != (self._info.height, self._info.width):
            raise ValueError(f"frames of {batch.size}, expected {(self._info.height, self._info.width)}")
        if batch.time_base != self._info.time_base:
            raise ValueError(f"ticks of {batch.time_base} s, expected {self._info.time_base} s")
        if (batch.color.depth, batch.color.subsampling, batch.color.matrix, batch.color.alpha) != (
            color.depth,
            color.subsampling,
            color.matrix,
            color.alpha,
        ):
            raise ValueError(f"frames of {batch.color}, expected {color}")


def _fill(target: VideoPlane, component: Component, samples: np.ndarray[Any, Any]) -> None:
    """Copy samples (H, W) into a plane of FFmpeg's, whose rows may be longer than they say."""
    rows = np.frombuffer(memoryview(target), samples.dtype).reshape(target.height, -1)
    height, width = samples.shape
    if height > rows.shape[0] or component.offset + (width - 1) * component.step >= rows.shape[1]:
        raise ValueError(f"a plane of {samples.shape} does not fit {target.width}x{target.height}")
    view = rows[:height, component.offset :: component.step][:, :width]
    if component.shift:
        np.left_shift(samples, component.shift, out=view)
    else:
        np.copyto(view, samples)
