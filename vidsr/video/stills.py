"""Single pictures: PNG, JPEG and WebP as batches of one frame, and back."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.codec.context import CodecContext, Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from vidsr.arrays import Array
from vidsr.errors import InputError, OutputError, UsageError
from vidsr.frames import ColorSpec, FrameBatch, Matrix, Siting
from vidsr.video.color import to_planes, to_rgb
from vidsr.video.color_tags import h273_tags, resolve_color
from vidsr.video.durable import write_whole
from vidsr.video.image_tags import ImageFormat, ImageTags, add_tags, image_format, read_tags
from vidsr.video.planar_formats import pixel_format_name
from vidsr.video.planes import SWSCALE_THREADS, FrameStack, fill_frame, planar_frame
from vidsr.video.source import MAX_SIDE_PX, require_file

STILL_SUFFIXES: dict[str, ImageFormat] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
}

JPEG_QUANTISER = 2
"""Quantiser of FFmpeg's mjpeg, 1 to 31: 2 is visually transparent, 1 doubles the size."""

WEBP_QUALITY = 95
"""Quality of libwebp, 0 to 100."""

MAX_WEBP_PX = 16383
"""Sides of a WebP picture have 14 bits (RFC 9649, 2.5)."""

_DECODERS: dict[ImageFormat, str] = {"png": "png", "jpeg": "mjpeg", "webp": "webp"}
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"  # markers; neither occurs within a scan
_SIDEWAYS: dict[Siting, Siting] = {
    "left": "top",
    "top": "left",
    "center": "center",
    "topleft": "topleft",
}


def is_still(path: Path) -> bool:
    """Whether a file name is that of a single picture."""
    return path.suffix.lower() in STILL_SUFFIXES and "%" not in path.name


def read_still(path: Path) -> FrameBatch:
    """Read a picture as a batch of one frame, upright, at time 0.

    Planes are those of the file: R, G, B (and alpha) or gray of a PNG, at 8 or 16 bits; Y, U, V of a
    JPEG or a lossy WebP. EXIF's orientation is carried out, since not every format can say it.

    Raises:
        InputError: no such file, not one of these formats, an animation, or damaged.
    """
    data = _read(path)
    frame = _decode(path, data)
    kind = image_format(data)
    assert kind is not None  # or it would not have been decoded
    try:
        if frame.format.has_palette and _is_opaque(frame):
            frame = frame.reformat(format="gbrp", threads=SWSCALE_THREADS)
        elif kind == "jpeg" and frame.format.name == "gbrap":
            # CMYK: FFmpeg has multiplied by black, and leaves it in the place of alpha.
            frame = frame.reformat(format="gbrp", threads=SWSCALE_THREADS)
        frame = planar_frame(frame)
        color = resolve_color(
            pixel_format=frame.format.name,
            width=frame.width,
            height=frame.height,
            matrix=int(frame.colorspace),
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
            color_range=int(frame.color_range),
            codec=_DECODERS[kind],
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    stack = FrameStack(frame.format.name, frame.height, frame.width, 1)
    stack.add(frame)
    return _turn(FrameBatch(stack.take(), color, (0,), Fraction(1)), read_tags(data).orientation)


def write_still(
    path: Path,
    batch: FrameBatch,
    *,
    tags_from: Path | None = None,
    software: str = "",
    quickly: bool = False,
) -> tuple[str, ...]:
    """Write a batch of one frame as the format that the name of `path` says; return what was lost.

    The file appears whole or not at all. ICC profile and EXIF are taken over from the image file
    `tags_from`, which may also be a video (that has none); `software`, in ASCII, says what made the
    picture. `quickly` spends an eighth of the time on a PNG, which is a tenth larger then. Colours are
    converted where the format stores others (see stored_color).

    Raises:
        UsageError: not the name of a picture.
        OutputError: it cannot be encoded or written.
    """
    if len(batch) != 1:
        raise ValueError(f"a picture is one frame, not {len(batch)}")
    color = stored_color(path, batch.color)
    kind = STILL_SUFFIXES[path.suffix.lower()]
    height, width = batch.size
    if kind == "webp" and max(height, width) > MAX_WEBP_PX:
        raise OutputError(f"{path}: WebP holds at most {MAX_WEBP_PX} pixels a side; write .png instead")
    notices: tuple[str, ...] = ()
    if batch.color.alpha and not color.alpha:
        notices = (f"{path.name}: JPEG has no transparency: what was transparent is white",)
    planes = [plane[0] for plane in _convert(batch.arrays(), color)]
    frame = fill_frame(VideoFrame(width, height, pixel_format_name(color)), planes)
    encoded = _encode(path, kind, frame, color, quickly=quickly)
    tags = ImageTags()
    if tags_from is not None and is_still(tags_from):
        tags = read_tags(_read(tags_from)).upright()
    write_whole(path, add_tags(encoded, replace(tags, software=software)))
    return notices


def stored_color(path: Path, color: ColorSpec) -> ColorSpec:
    """The colour in which a picture of this name keeps frames of `color`.

    PNG: RGB or gray, of 8 or 16 bits. JPEG: YUV of BT.601 in full range (JFIF), with the chroma of the
    source, 4:4:4 for RGB. WebP: YUV of BT.601 in limited range, 4:2:0, alpha kept.

    Raises:
        UsageError: not the name of a picture.
    """
    kind = STILL_SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: pictures are written as {', '.join(STILL_SUFFIXES)}")
    if kind == "png":
        matrix: Matrix = "gray" if color.matrix == "gray" and not color.alpha else "rgb"
        return replace(
            color,
            matrix=matrix,
            range="full",
            depth=8 if color.depth == 8 else 16,
            subsampling=(1, 1),
            siting="left",
        )
    subsampling = (2, 2)
    if kind == "jpeg":
        fits = color.matrix not in ("rgb", "gray") and color.subsampling in ((1, 1), (1, 2), (2, 2))
        subsampling = color.subsampling if fits else (1, 1)
    return ColorSpec(
        matrix="bt601",
        primaries=color.primaries,
        transfer=color.transfer,
        range="full" if kind == "jpeg" else "limited",
        subsampling=subsampling,
        siting="left" if subsampling == (1, 1) else "center",
        alpha=color.alpha and kind == "webp",
    )


def _read(path: Path) -> bytes:
    require_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _decode(path: Path, data: bytes) -> VideoFrame:
    kind = image_format(data)
    if kind is None:
        raise InputError(f"{path}: not a PNG, JPEG or WebP picture")
    if (kind == "png" and b"acTL" in data[:256]) or (kind == "webp" and data[30:34] == b"ANIM"):
        raise InputError(f"{path}: an animation, not a picture; convert it to a video first")
    context = cast(VideoCodecContext, CodecContext.create(_DECODERS[kind], "r"))
    context.thread_count = 1
    try:
        frames = [*context.decode(Packet(data)), *context.decode(None)]
    except av.FFmpegError as error:
        raise InputError(f"{path}: the picture is damaged and cannot be decoded") from error
    if not frames:
        raise InputError(f"{path}: the picture is damaged and cannot be decoded")
    frame = frames[0]
    if kind == "jpeg" and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        raise InputError(f"{path}: the picture is cut off")  # FFmpeg would leave the rest gray
    if max(frame.width, frame.height) > MAX_SIDE_PX:
        raise InputError(f"{path}: {frame.width}x{frame.height} pixels; at most {MAX_SIDE_PX} a side")
    return frame


def _encode(
    path: Path, kind: ImageFormat, frame: VideoFrame, color: ColorSpec, *, quickly: bool
) -> bytes:
    name, pixel_format, options = {
        "png": ("png", _png_format(color), {"compression_level": "1"} if quickly else {}),
        "jpeg": (
            "mjpeg",
            frame.format.name.replace("yuv", "yuvj"),
            {"qmin": str(JPEG_QUANTISER), "qmax": str(JPEG_QUANTISER)},
        ),
        "webp": ("libwebp", frame.format.name, {"quality": str(WEBP_QUALITY)}),
    }[kind]
    if kind == "jpeg":
        # The encoder knows full range by the format's old name; the samples are the same.
        full = VideoFrame(frame.width, frame.height, pixel_format)
        for source, target in zip(frame.planes, full.planes, strict=True):
            target.update(bytes(memoryview(source)))
        frame = full
    tags = h273_tags(color)
    try:
        context = cast(VideoCodecContext, CodecContext.create(name, "w"))
        context.options = options
        context.width, context.height = frame.width, frame.height
        context.pix_fmt = pixel_format
        context.time_base = Fraction(1)
        context.thread_count = 1
        context.flags |= Flags.bitexact  # else FFmpeg signs a JPEG, in the comment that is ours
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        context.colorspace, context.color_range = tags.matrix, tags.range
        frame.color_primaries, frame.color_trc = tags.primaries, tags.transfer
        frame.colorspace, frame.color_range = tags.matrix, tags.range
        packets = [*context.encode(frame), *context.encode(None)]
    except (av.FFmpegError, ValueError) as error:
        raise OutputError(f"{path}: cannot be encoded: {error}") from error
    return b"".join(bytes(packet) for packet in packets)


def _png_format(color: ColorSpec) -> str:
    """The packed format that FFmpeg's png encoder takes; 16 bits are big-endian in the file."""
    base = "gray" if color.matrix == "gray" else "rgba" if color.alpha else "rgb"
    if color.depth == 8:
        return "rgb24" if base == "rgb" else base
    return {"gray": "gray16be", "rgb": "rgb48be", "rgba": "rgba64be"}[base]


def _convert(batch: FrameBatch, color: ColorSpec) -> tuple[Array, ...]:
    """The planes of a batch in another colour, through RGB; alpha is kept, or laid on white."""
    if batch.color == color:
        return batch.planes
    rgb = to_rgb(batch)
    if batch.color.alpha:
        alpha = batch.planes[-1].astype(np.float32) / ((1 << batch.color.depth) - 1)
        if color.alpha:
            top = (1 << color.depth) - 1
            stored = np.uint8 if color.depth == 8 else np.uint16
            return (*to_planes(rgb, replace(color, alpha=False)), (alpha * top).round().astype(stored))
        signal = rgb.astype(np.float32) / 255 if rgb.dtype == np.uint8 else rgb
        rgb = signal * alpha[..., None] + (1 - alpha[..., None])
    return to_planes(rgb, color)


def _is_opaque(frame: VideoFrame) -> bool:
    """Whether a palette has no transparent colour; its entries are four bytes, the last one alpha."""
    return set(bytes(memoryview(frame.planes[1]))[3::4]) == {255}


def _turn(batch: FrameBatch, orientation: int) -> FrameBatch:
    """Carry out EXIF's orientation (EXIF 2.3, tag 274): mirror, then turn, as its numbers say."""
    turns = {3: 2, 4: 2, 5: 1, 6: -1, 7: -1, 8: 1}.get(orientation, 0)  # counter-clockwise quarters
    mirrored = orientation in (2, 4, 5, 7)
    planes = []
    for plane in batch.planes:
        turned = np.rot90(plane, turns, (1, 2))
        turned = np.flip(turned, 2 if turns % 2 == 0 else 1) if mirrored else turned
        planes.append(np.ascontiguousarray(turned))
    color = batch.color
    if turns % 2:
        vertical, horizontal = color.subsampling
        color = replace(color, subsampling=(horizontal, vertical), siting=_SIDEWAYS[color.siting])
    return replace(batch, planes=tuple(planes), color=color)
