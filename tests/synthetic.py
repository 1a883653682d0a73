"""Videos made by the encoder for the tests: frame i carries a colour that names i.

The upper half of every frame is one flat colour, the number of the frame in base six over red, green
and blue; it survives lossy codecs and conversions, so order, loss and duplication show. The lower half
is a moving texture, so that a frame decoded from wrong references differs from the right one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from vidsr.frames import FrameBatch

BASE = 6
LEVELS = (20, 63, 106, 149, 192, 235)  # of a digit; 43 apart, so a matrix mistaken (20) still reads
COUNT = BASE**3  # numbers repeat after this many frames
AUDIO_RATE = 48000
DEFAULT_SIZE = (48, 64)
RGB = tuple[int, int, int]

# (name, red, green) of H.273 matrix coefficients that FFmpeg's YUV comes with.
_KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
_SWS_MATRIX = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709, "bt2020": Colorspace.BT2020}
_MATRIX_OF_CODE = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}

os.environ.setdefault("SVT_LOG", "0")  # SVT-AV1 writes a page to stderr otherwise

_CODEC_OF_SUFFIX = {".webm": "libvpx-vp9", ".avi": "mpeg4", ".mpg": "mpeg2video", ".mjpeg": "mjpeg"}
_FAST: dict[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "crf": "12"},
    "libx265": {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none:cutree=0"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "16", "b": "0"},
    # Presets from 11 on, and temporal filtering, show the wrong picture now and then (measured, 4.1).
    "libsvtav1": {"preset": "8", "crf": "8", "svtav1-params": "lp=1:enable-tf=0"},
    "mpeg2video": {"qmin": "2", "qmax": "3"},
    "mpeg4": {"qmin": "2", "qmax": "3"},
    "mjpeg": {"qmin": "2", "qmax": "2"},
}


def colour_of(index: int) -> RGB:
    """The colour that names frame `index`: (red, green, blue), each one of LEVELS."""
    index %= COUNT
    return LEVELS[index // 36], LEVELS[index // 6 % 6], LEVELS[index % 6]


def picture(index: int, height: int, width: int) -> NDArray[np.uint8]:
    """Frame `index` as (height, width, 3) uint8 RGB: flat above, a moving texture below."""
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = colour_of(index)
    top = flat_rows(height)
    y, x = np.mgrid[top:height, 0:width]
    wave = 128 + 70 * np.sin((x + 3 * index) / 3.1) * np.cos((y - 2 * index) / 4.3)
    ramp = 128 + 0.5 * (x * 5 + index * 7) % 90
    rgb[top:] = np.stack([wave, 255 - wave, ramp], axis=-1).astype(np.uint8)
    return rgb


def flat_rows(height: int) -> int:
    """How many rows from the top carry the number; all of them in a frame too small for a texture."""
    return height if height < 16 else height // 2


def frame_number(rgb: NDArray[Any]) -> int:
    """The number named by an RGB picture (height, width, 3), values on the scale 0..255."""
    height, width = rgb.shape[:2]
    rows = flat_rows(height)
    inner = rgb[rows // 4 : rows - rows // 4, width // 8 : width - width // 8]
    means = inner.reshape(-1, 3).astype(np.float64).mean(axis=0)
    digits = [int(np.abs(np.array(LEVELS) - mean).argmin()) for mean in means]
    return digits[0] * 36 + digits[1] * 6 + digits[2]


def gray_number(gray: NDArray[Any]) -> int:
    """The number named by a gray picture; only the first six frames have grays of their own."""
    height, width = gray.shape
    inner = gray[: flat_rows(height) * 3 // 4 + 1, : width * 3 // 4 + 1]
    lumas = [float(np.dot(colour_of(i), (0.299, 0.587, 0.114))) for i in range(BASE)]
    return int(np.abs(np.array(lumas) - float(inner.mean())).argmin())


def frame_numbers(batch: FrameBatch) -> list[int]:
    """The numbers of the frames of a batch, by the conversion its own ColorSpec states."""
    color = batch.color
    top = (1 << color.depth) - 1
    planes = [plane.astype(np.float64) for plane in batch.arrays().planes[:3]]
    if color.matrix == "rgb":
        return [frame_number(np.stack(p, axis=-1) * 255 / top) for p in zip(*planes, strict=True)]
    if color.matrix == "gray":
        step = 2.0 ** (color.depth - 8)
        full = color.range == "full"
        return [gray_number(p * 255 / top if full else (p / step - 16) * 255 / 219) for p in planes[0]]
    numbers = []
    rows = flat_rows(batch.size[0])
    for y, u, v in zip(*planes, strict=True):
        sub_v = color.subsampling[0]
        flat = [p[: max(1, rows // s * 3 // 4)] for p, s in ((y, 1), (u, sub_v), (v, sub_v))]
        mean = [p[p.shape[0] // 4 :, p.shape[1] // 8 : p.shape[1] * 7 // 8 + 1].mean() for p in flat]
        rgb = _to_rgb(mean, color.matrix, color.range, color.depth)
        numbers.append(frame_number(np.full((1, 1, 3), rgb)))
    return numbers


def decoded_numbers(path: Path, stream: int = 0) -> list[int]:
    """The numbers of all frames of a file, decoded by PyAV and converted by FFmpeg."""
    with av.open(str(path)) as container:
        return [
            frame_number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=stream)
        ]


def decoded_pts(path: Path, stream: int = 0) -> list[int | None]:
    """The presentation times of all frames of a file, as PyAV's decoder gives them."""
    with av.open(str(path)) as container:
        return [frame.pts for frame in container.decode(video=stream)]


def make_video(
    path: Path,
    *,
    frames: int | Sequence[int] = 12,
    size: tuple[int, int] = DEFAULT_SIZE,
    codec: str | None = None,
    pix_fmt: str = "yuv420p",
    rate: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    start: int = 0,
    gop: int = 12,
    bframes: int = 0,
    options: Mapping[str, str] | None = None,
    codec_flags: int = 0,
    container_options: Mapping[str, str] | None = None,
    format: str | None = None,
    audio: int | Sequence[str] = 0,
    audio_codec: str | None = None,
    audio_start_s: float = 0.0,
    subtitles: Sequence[str] = (),
    subtitle_codec: str | None = None,
    chapters: Sequence[tuple[float, float, str]] = (),
    attachments: Sequence[tuple[str, str, bytes]] = (),
    metadata: Mapping[str, str] | None = None,
    stream_metadata: Mapping[str, str] | None = None,
    extra_videos: Sequence[int] = (),
    cover: bytes | None = None,
    rotation: float = 0.0,
    sar: Fraction | None = None,
    matrix: int = 2,
    primaries: int = 2,
    transfer: int = 2,
    range: int = 0,
    interlaced: bool = False,
) -> Path:
    """Encode a video and return its path; the defaults are 12 small H.264 frames at 25 a second.

    `frames` is a count or the numbers to show; `size` is (height, width); `pts` are in `time_base`
    (default 1/rate) and replace 0, 1, 2 ...; `start` is added to each. `audio` is a count of tracks or
    their languages, `subtitles` are languages (each track says "line 1 LANG" and so on), `chapters` are
    (start_s, end_s, title), `attachments` are (name, mimetype, data), `extra_videos` are frame counts
    of further video streams, `cover` is a PNG. Colour codes are those of H.273 (2 unspecified), `range`
    FFmpeg's (0 unspecified, 1 limited, 2 full). `interlaced` weaves a frame from pictures 2i and 2i+1,
    top field first, under the number i.
    """
    numbers = list(np.arange(frames)) if isinstance(frames, int) else list(frames)
    rate = Fraction(rate)
    time_base = time_base or 1 / rate
    codec = codec or _CODEC_OF_SUFFIX.get(path.suffix, "libx264")
    with av.open(
        str(path), "w", format=format, container_options=dict(container_options or {})
    ) as container:
        container.metadata.update(metadata or {})
        if chapters:
            container.set_chapters([_chapter(i, *chapter) for i, chapter in enumerate(chapters)])
        stream = container.add_stream(codec, rate=rate, options=_options(codec, bframes, options))
        context = stream.codec_context
        context.height, context.width = size
        context.pix_fmt = pix_fmt
        context.time_base = time_base
        stream.time_base = time_base
        context.gop_size = gop
        context.max_b_frames = bframes
        context.thread_count = 1
        context.flags |= codec_flags
        if interlaced:
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        context.colorspace, context.color_primaries = matrix, primaries
        context.color_trc, context.color_range = transfer, range
        if sar is not None:
            context.sample_aspect_ratio = sar
        if rotation:
            stream.set_display_rotation(rotation)
        stream.metadata.update(stream_metadata or {})
        stream.disposition = Disposition.default

        others = [
            container.add_stream("mpeg4" if path.suffix in (".mp4", ".mov") else codec, rate=rate)
            for _ in extra_videos
        ]
        for other in others:
            other.codec_context.height, other.codec_context.width = size[0] // 2 * 2, size[1] // 2 * 2
            other.codec_context.time_base = 1 / rate
            other.codec_context.thread_count = 1
        length_s = float(len(numbers) / rate) if pts is None else float((max(pts) + 1) * time_base)
        packets: list[Packet[Any]] = []
        packets += _add_audio(container, path, audio, audio_codec, audio_start_s, length_s)
        packets += _add_subtitles(container, path, subtitles, subtitle_codec, length_s)
        for name, mimetype, data in attachments:
            container.add_attachment(name, mimetype, data)
        if cover is not None:
            art = container.add_mux_stream("png", width=16, height=16)
            art.disposition = Disposition.attached_pic
            packet: Packet[Any] = Packet(cover)
            packet.stream, packet.pts, packet.dts = art, 0, 0
            packet.time_base = Fraction(1, 1000)
            packet.is_keyframe = True
            packets.append(packet)

        container.start_encoding()
        tag = (_MATRIX_OF_CODE.get(matrix, "bt709" if size[0] >= 720 else "bt601"), range)
        weave = _FieldSetter(size, pix_fmt, time_base) if interlaced else None
        for position, number in enumerate(numbers):
            rgb = picture(int(number), *size)
            if interlaced:
                even, odd = picture(2 * int(number), *size), picture(2 * int(number) + 1, *size)
                below = flat_rows(size[0])
                rgb[below::2], rgb[below + 1 :: 2] = even[below::2], odd[below + 1 :: 2]
            frame = to_frame(rgb, pix_fmt, *tag)
            frame.pts = start + (position if pts is None else pts[position])
            frame.time_base = time_base
            if weave is not None:
                frame = weave(frame)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for other, count in zip(others, extra_videos, strict=True):
            height, width = other.codec_context.height, other.codec_context.width
            for i in np.arange(count):
                frame = to_frame(picture(int(i) + 100, height, width), "yuv420p", "bt601", 1)
                frame.pts, frame.time_base = int(i), 1 / rate
                packets += other.encode(frame)
            packets += other.encode(None)
        for packet in sorted(packets, key=_decode_time):
            container.mux_one(packet)
    return path


def to_frame(rgb: NDArray[np.uint8], pix_fmt: str, matrix: str = "bt601", range: int = 1) -> VideoFrame:
    """An RGB picture as a frame of another format, converted by FFmpeg; deep ones through 16 bits."""
    height, width = rgb.shape[:2]
    target = av.VideoFormat(pix_fmt)
    # swscale reads beyond the last pixel of a row, so the results at the edge of narrow pictures would
    # be left to chance: convert a wider one and cut it.
    wide = np.pad(rgb, ((0, 0), (0, -width % 32), (0, 0)), mode="edge")
    if target.components[0].bits > 8:
        source = VideoFrame.from_ndarray(wide.astype(np.uint16) * 257, format="rgb48le")
    else:
        source = VideoFrame.from_ndarray(wide, format="rgb24")
    if target.is_rgb:
        converted = source.reformat(format=pix_fmt, threads=1)
    else:
        full = range == 2 or pix_fmt.startswith("yuvj")
        converted = source.reformat(
            threads=1,
            format=pix_fmt,
            dst_colorspace=_SWS_MATRIX[matrix],
            dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            interpolation="BICUBIC",
        )
    frame = VideoFrame(width, height, pix_fmt)
    for ours, theirs in zip(frame.planes, converted.planes, strict=True):
        rows = np.frombuffer(memoryview(theirs), np.uint8).reshape(theirs.height, theirs.line_size)
        cut = np.zeros((ours.height, ours.line_size), np.uint8)
        length = min(ours.line_size, theirs.line_size)
        cut[:, :length] = rows[:, :length]
        ours.update(cut.tobytes())
    return frame


def truncate(path: Path, keep: float = 0.6) -> Path:
    """Cut a file in place to its first part; returns the path."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def corrupt(path: Path, *, at: float = 0.5, length: int = 200, seed: int = 0) -> Path:
    """Overwrite `length` bytes in place, at a fraction of the file's size, with noise."""
    data = bytearray(path.read_bytes())
    offset = int(len(data) * at)
    noise = np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8).tobytes()
    data[offset : offset + length] = noise
    path.write_bytes(bytes(data[: path.stat().st_size]))
    return path


def concatenate(target: Path, parts: Sequence[Path]) -> Path:
    """Join raw streams (.h264, .ts, .mpg) byte by byte; the size may change in the middle."""
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target


class _FieldSetter:
    """Marks frames as interlaced, top field first; PyAV has no setter for it, FFmpeg's setfield has."""

    def __init__(self, size: tuple[int, int], pix_fmt: str, time_base: Fraction) -> None:
        self.graph = av.filter.Graph()
        source = self.graph.add_buffer(
            width=size[1], height=size[0], format=av.VideoFormat(pix_fmt), time_base=time_base
        )
        self.graph.link_nodes(
            source, self.graph.add("setfield", "tff"), self.graph.add("buffersink")
        ).configure()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        self.graph.vpush(frame)
        return self.graph.vpull()


def _to_rgb(yuv: Sequence[float], matrix: str, range: str, depth: int) -> list[float]:
    kr, kb = _KR_KB.get(matrix, _KR_KB["bt709"])
    step = 2.0 ** (depth - 8)
    y, cb, cr = (value / step for value in yuv)
    if range == "limited":
        y, cb, cr = (y - 16) * 255 / 219, (cb - 128) * 255 / 224, (cr - 128) * 255 / 224
    else:
        cb, cr = cb - 128, cr - 128
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    return [red, (y - kr * red - kb * blue) / (1 - kr - kb), blue]


def _options(codec: str, bframes: int, options: Mapping[str, str] | None) -> dict[str, str]:
    merged = dict(_FAST.get(codec, {}))
    if codec == "libx264" and bframes:
        merged["x264-params"] = "b-adapt=0:scenecut=0"
    merged.update(options or {})
    return merged


def _chapter(number: int, start_s: float, end_s: float, title: str) -> Any:
    return {
        "id": number + 1,
        "start": round(start_s * 1000),
        "end": round(end_s * 1000),
        "time_base": Fraction(1, 1000),
        "metadata": {"title": title},
    }


def _decode_time(packet: Packet[Any]) -> Fraction:
    return (packet.dts or 0) * packet.time_base


def _add_audio(
    container: OutputContainer,
    path: Path,
    audio: int | Sequence[str],
    codec: str | None,
    start_s: float,
    length_s: float,
) -> list[Packet[Any]]:
    """Sine tones, one pitch a track; encoded at once, packets returned for interleaving."""
    languages = [""] * audio if isinstance(audio, int) else list(audio)
    codec = codec or {".webm": "libopus", ".avi": "pcm_s16le", ".mpg": "mp2"}.get(path.suffix, "aac")
    packets: list[Packet[Any]] = []
    streams = []
    for language in languages:
        stream = container.add_stream(codec, rate=AUDIO_RATE)
        stream.codec_context.layout = "stereo"  # type: ignore[union-attr]
        stream.time_base = Fraction(1, AUDIO_RATE)
        if language:
            stream.metadata["language"] = language
        streams.append(stream)
    total = math.ceil(length_s * AUDIO_RATE)
    for track, stream in enumerate(streams):
        samples = np.sin(np.arange(total) * (2 * np.pi * 220 * (track + 1) / AUDIO_RATE)) * 8000
        stereo = np.repeat(samples.astype(np.int16), 2)[None]
        resampler = av.AudioResampler(
            format=stream.codec_context.format,  # type: ignore[union-attr]
            layout="stereo",
            rate=AUDIO_RATE,
            frame_size=stream.codec_context.frame_size or 1024,  # type: ignore[union-attr]
        )
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(stereo), format="s16", layout="stereo")
        frame.sample_rate = AUDIO_RATE
        frame.pts = round(start_s * AUDIO_RATE)
        frame.time_base = Fraction(1, AUDIO_RATE)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            packets += stream.encode(part)  # type: ignore[union-attr,arg-type]
        packets += stream.encode(None)  # type: ignore[union-attr]
    return packets


def _add_subtitles(
    container: OutputContainer,
    path: Path,
    languages: Sequence[str],
    codec: str | None,
    length_s: float,
) -> list[Packet[Any]]:
    """One line every half second; mov_text samples are a 16-bit length and the text."""
    codec = codec or ("mov_text" if path.suffix in (".mp4", ".mov") else "subrip")
    packets: list[Packet[Any]] = []
    for language in languages:
        stream = container.add_mux_stream(codec, time_base=Fraction(1, 1000))
        stream.metadata["language"] = language
        for line in np.arange(max(1, int(length_s * 2))):
            text = f"line {int(line) + 1} {language}".encode()
            if codec == "mov_text":
                text = len(text).to_bytes(2, "big") + text
            packet: Packet[Any] = Packet(text)
            packet.stream = stream
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = int(line) * 500
            packet.duration = 400
            packet.is_keyframe = True
            packets.append(packet)
    return packets
