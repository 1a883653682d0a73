"""Frames to encode and segments to read back, for the tests of writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame

from vidsr.config import EncodeConfig
from vidsr.frames import ColorSpec, FrameBatch, HdrMetadata, VideoInfo
from vidsr.video.encoders import Encoding, resolve_encoding

TICKS = Fraction(1, 90000)
SIZE = (48, 64)
"""(height, width): x265 and SVT-AV1 take nothing much smaller."""


def info_of(color: ColorSpec, *, size: tuple[int, int] = SIZE, **changes: Any) -> VideoInfo:
    """A video of 30 frames a second in MPEG's ticks."""
    info = VideoInfo(size[1], size[0], TICKS, Fraction(30), None, color)
    return replace(info, **changes)


def plane_sizes(color: ColorSpec, size: tuple[int, int]) -> list[tuple[int, int]]:
    """(height, width) of each plane."""
    down, across = (1, 1) if color.matrix in ("rgb", "gray") else color.subsampling
    chroma = (-(-size[0] // down), -(-size[1] // across))
    return [
        chroma if color.matrix != "gray" and index in (1, 2) else size for index in range(color.channels)
    ]


def noise(
    color: ColorSpec, pts: Sequence[int], *, size: tuple[int, int] = SIZE, seed: int = 0, **changes: Any
) -> FrameBatch:
    """Frames of noise over the whole range of the depth: any bit that goes wrong shows."""
    random = np.random.default_rng(seed)
    sample = np.uint8 if color.depth == 8 else np.uint16
    planes = tuple(
        random.integers(0, 1 << color.depth, (len(pts), *plane), sample)
        for plane in plane_sizes(color, size)
    )
    return replace(FrameBatch(planes, color, tuple(pts), TICKS), **changes)


def flat(color: ColorSpec, pts: Sequence[int], *, size: tuple[int, int] = SIZE) -> FrameBatch:
    """Frames of one gray each, brighter from frame to frame, so that lossy codecs keep them apart."""
    unit = 1 << (color.depth - 8)
    sample = np.uint8 if color.depth == 8 else np.uint16
    luma = np.array([(40 + 7 * index) * unit for index in range(len(pts))])
    planes = []
    for index, plane in enumerate(plane_sizes(color, size)):
        value = luma if index == 0 or color.matrix == "rgb" else np.full_like(luma, 128 * unit)
        planes.append(np.tile(value.astype(sample)[:, None, None], (1, *plane)))
    return FrameBatch(tuple(planes), color, tuple(pts), TICKS)


def encoding_for(info: VideoInfo, target: str, **config: Any) -> Encoding:
    """An encoding on two threads, quick where that makes a difference."""
    config.setdefault("threads", 2)
    return resolve_encoding(info, Path(target), EncodeConfig(**config))


def read_back(path: Path, decoder: str | None = None) -> list[VideoFrame]:
    """Decode a segment, by a decoder of that name if one is given."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        if decoder is None:
            return list(container.decode(stream))
        context = av.CodecContext.create(decoder, "r")
        context.extradata = stream.codec_context.extradata
        frames: list[VideoFrame] = []
        for packet in container.demux(stream):
            frames += context.decode(packet if packet.size else None)  # type: ignore[attr-defined]
        return frames


def samples(
    frame: VideoFrame, plane: int, shape: tuple[int, int], step: int = 1, offset: int = 0
) -> Any:
    """One channel of a decoded frame as an array (H, W)."""
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    rows = np.frombuffer(memoryview(frame.planes[plane]), kind).reshape(shape[0], -1)
    return rows[:, offset::step][:, : shape[1]]


DISPLAY_P3 = HdrMetadata(
    red=(Fraction(34000, 50000), Fraction(16000, 50000)),
    green=(Fraction(13250, 50000), Fraction(34500, 50000)),
    blue=(Fraction(7500, 50000), Fraction(3000, 50000)),
    white=(Fraction(15635, 50000), Fraction(16450, 50000)),
    luminance=(Fraction(1, 10000), Fraction(1000)),
    max_cll=1000,
    max_fall=400,
)
HDR10 = ColorSpec("bt2020", 9, 16, "limited", 10, (2, 2), "topleft")
