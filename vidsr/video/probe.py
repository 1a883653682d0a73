"""What a video stream says of itself before its first frame is used: VideoInfo, resolved once."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import cast

import av
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidsr.errors import InputError
from vidsr.frames import ColorSpec, HdrMetadata, Siting, VideoInfo
from vidsr.video import matroska
from vidsr.video.color_tags import ColorTags, resolve_color
from vidsr.video.decoding import Decoding
from vidsr.video.source import MAX_SIDE_PX
from vidsr.video.timeline import Timeline

_UNSPECIFIED = 2  # H.273, of matrix, primaries and transfer alike
_UNSPECIFIED_RANGE = 0  # FFmpeg's AVCOL_RANGE_UNSPECIFIED

_FIELD_ORDERS_INTERLACED = range(2, 6)  # FFmpeg's AV_FIELD_TT, BB, TB, BT; 1 is progressive

# RFC 9559, 5.1.4.1.28.21 and .22, ChromaSitingHorz and ChromaSitingVert: 1 co-sited, 2 halfway.
_SITING: dict[tuple[int, int], Siting] = {
    (1, 1): "topleft",
    (1, 2): "left",
    (2, 1): "top",
    (2, 2): "center",
}


def probe(
    decoding: Decoding,
    frames: Sequence[VideoFrame],
    siting: Siting | None,
    timeline: Timeline | None,
) -> VideoInfo:
    """Describe a stream by its header and its first decoded frames (at least one).

    `timeline` is None for a pipe, whose length nobody knows.

    Raises:
        InputError: the size is none, or beyond MAX_SIDE_PX.
    """
    path, stream = decoding.path, decoding.stream
    first = frames[0]
    width, height = first.width, first.height
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise InputError(f"{path}: frames of {width}x{height} pixels; at most {MAX_SIDE_PX} a side")
    try:
        color = frame_color(first, decoding.tags, decoding.codec, siting)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    assert stream.time_base is not None
    duration_s = None
    if timeline is not None:
        duration_s = float((timeline.end - timeline.start) * stream.time_base)
    return VideoInfo(
        width=width,
        height=height,
        time_base=stream.time_base,
        frame_rate=stream.average_rate or stream.guessed_rate or None,
        frame_count=None if timeline is None else timeline.count,
        color=color,
        pixel_format=first.format.name,
        codec=stream.codec_context.name,
        stream_index=stream.index,
        duration_s=duration_s,
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        rotation=first.rotation,
        display_matrix=display_matrix(first),
        interlaced=is_interlaced(stream, frames),
        hdr=hdr_metadata(first),
    )


def frame_color(frame: VideoFrame, container: ColorTags, codec: str, siting: Siting | None) -> ColorSpec:
    """The colour of a frame: its own tags, else the container's, else what players take for granted."""
    return resolve_color(
        pixel_format=frame.format.name,
        width=frame.width,
        height=frame.height,
        matrix=_stated(frame.colorspace, container.matrix, _UNSPECIFIED),
        primaries=_stated(frame.color_primaries, container.primaries, _UNSPECIFIED),
        transfer=_stated(frame.color_trc, container.transfer, _UNSPECIFIED),
        color_range=_stated(frame.color_range, container.range, _UNSPECIFIED_RANGE),
        siting=siting,
        codec=codec,
    )


def is_interlaced(stream: VideoStream, frames: Iterable[VideoFrame]) -> bool:
    """Whether the container, the codec's header or any of some decoded frames says interlaced."""
    if stream.codec_context.field_order in _FIELD_ORDERS_INTERLACED:
        return True
    return any(frame.interlaced_frame for frame in frames)


def hdr_metadata(frame: VideoFrame) -> HdrMetadata | None:
    """Mastering display and content light level of a frame, or None where it has neither.

    The layouts are those of AVMasteringDisplayMetadata (six rationals x, y of red, green, blue; two of
    white; least and greatest luminance; two flags) and AVContentLightMetadata (two unsigned integers) in
    libavutil/mastering_display_metadata.h.
    """
    found = HdrMetadata()
    mastering = _side_data(frame, SideDataType.MASTERING_DISPLAY_METADATA)
    if mastering is not None and len(mastering) >= 88:
        numbers = struct.unpack_from("=22i", mastering)
        ratios = [
            Fraction(numbers[i], numbers[i + 1]) if numbers[i + 1] else Fraction(0)
            for i in range(0, 20, 2)
        ]
        if numbers[20]:
            red, green, blue, white = ((ratios[i], ratios[i + 1]) for i in (0, 2, 4, 6))
            found = HdrMetadata(red=red, green=green, blue=blue, white=white)
        if numbers[21]:
            found = HdrMetadata(found.red, found.green, found.blue, found.white, (ratios[8], ratios[9]))
    light = _side_data(frame, SideDataType.CONTENT_LIGHT_LEVEL)
    if light is not None and len(light) >= 8:
        max_cll, max_fall = struct.unpack_from("=2I", light)
        found = HdrMetadata(
            found.red, found.green, found.blue, found.white, found.luminance, max_cll, max_fall
        )
    return None if found == HdrMetadata() else found


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """The nine numbers that turn the picture (libavutil/display.h), where there are any."""
    matrix = _side_data(frame, SideDataType.DISPLAYMATRIX)
    if matrix is not None:
        return struct.unpack_from("=9i", matrix)
    if not frame.rotation:
        return None
    # There is one, among side data that PyAV cannot list; the angle it does tell.
    cosine, sine = math.cos(math.radians(frame.rotation)), math.sin(math.radians(frame.rotation))
    a, b = round(cosine * (1 << 16)), round(sine * (1 << 16))
    return (a, -b, 0, b, a, 0, 0, 0, 1 << 30)


def chroma_siting(stream: VideoStream) -> Siting | None:
    """Where the stream says that its chroma samples lie, or None where neither it nor its codec does.

    PyAV does not hand on FFmpeg's chroma_location, but FFmpeg's Matroska muxer writes it down: so the
    header of such a file is made in memory and read.
    """
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format="matroska") as container:
            container.add_stream_from_template(stream, opaque=True)
            container.start_encoding()
            return _SITING.get(matroska.chroma_siting(memory.getvalue()))
    except (av.FFmpegError, ValueError):
        return None  # a codec that Matroska does not hold, or a size that is none


def _stated(of_frame: int, of_stream: int, unspecified: int) -> int:
    return int(of_frame) if int(of_frame) != unspecified else int(of_stream)


def _side_data(frame: VideoFrame, kind: SideDataType) -> bytes | None:
    try:
        # PyAV's stubs call it a mapping of names; it iterates over the entries themselves.
        entries = list(cast("Iterable[SideData]", frame.side_data))
    except ValueError:
        return None  # PyAV 18 refuses to list any where it does not know one: EXIF in a JPEG
    return next((bytes(each) for each in entries if each.type is kind), None)
