"""Which encoder makes the output, with which options, in which pixel format; and how it is opened."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.logging
from av.codec.codec import UnknownCodecError
from av.codec.context import Flags, ThreadType
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from vidsr.config import EncodeConfig
from vidsr.cores import usable_cores
from vidsr.errors import IncompatibleStreams, OutputError, UsageError
from vidsr.frames import ColorSpec, VideoInfo
from vidsr.video.color_tags import h273_tags
from vidsr.video.containers import Container, codec_of, container_for
from vidsr.video.encoder_formats import (
    PixelFormat,
    nearest_format,
    pixel_format,
    source_kind,
    stored_color,
)
from vidsr.video.encoder_kinds import CODECS, KINDS, NVENC, kind_of
from vidsr.video.hdr_params import HLG, PQ, hdr_params

LEAST_HEVC_PX = 64
"""Side of x265's coding tree unit; it writes beyond its own memory where pictures are less wide."""

_MAX_THREADS = 16
"""More threads than this cost H.264 and HEVC compression and memory and bring hardly any speed."""


@dataclass(frozen=True)
class Encoding:
    """Everything that decides the bytes of the video besides its frames; part of a job's identity."""

    encoder: str  # FFmpeg's name of the encoder
    options: dict[str, str]  # FFmpeg's, quality and preset included
    pixel_format: str  # FFmpeg's name of what the encoder is given
    color: ColorSpec  # of the planes that the writer takes
    threads: int  # of the encoder; x264 and x265 compress differently with another number
    notices: tuple[str, ...] = ()  # what is lost or converted, in words for the user

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec: h264, hevc, av1, prores, ffv1, vp9 ..."""
        return codec_of(self.encoder)

    @property
    def size_multiple(self) -> tuple[int, int]:
        """What the (height, width) of the frames must be multiples of."""
        return (1, 1) if kind_of(self.encoder).odd_sizes else self.color.subsampling

    @property
    def segment_format(self) -> str:
        """FFmpeg's name of the container that holds a segment: NUT wherever it can."""
        if self.codec == "vp9" and self.color.alpha:
            return "matroska"  # VP9's alpha is side data of the packets, which NUT does not carry
        return kind_of(self.encoder).segment_format

    @property
    def segment_suffix(self) -> str:
        """How the file of a segment ends."""
        return {"nut": ".nut", "mov": ".mov", "matroska": ".mkv"}[self.segment_format]

    def as_json(self) -> dict[str, Any]:
        """Plain lists, dicts, numbers and strings, for a manifest; the notices are not part of it."""
        plain = asdict(self)
        del plain["notices"]
        plain["color"]["subsampling"] = list(self.color.subsampling)
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Encoding:
        """The inverse of `as_json`."""
        color = {**plain["color"], "subsampling": tuple(plain["color"]["subsampling"])}
        return cls(**{**plain, "options": dict(plain["options"]), "color": ColorSpec(**color)})

    def open(self, context: VideoCodecContext, info: VideoInfo) -> None:
        """Configure and open an encoder's context for frames of the size and shape of `info`.

        Frames are counted, not timed: their pts are 0, 1, 2 ... in ticks of 1 / `nominal_rate`. Encoders
        use time for rate control alone, and many refuse time bases that real files have (SVT-AV1 more
        than 240 frames a second, x264 large denominators); the true times wait in the writer.

        Raises:
            FFmpegError, ValueError: the encoder refuses; the caller knows which file to name.
        """
        rate = nominal_rate(info)
        context.width, context.height, context.pix_fmt = info.width, info.height, self.pixel_format
        context.time_base, context.framerate = 1 / rate, rate
        context.sample_aspect_ratio = info.sample_aspect_ratio
        tags = h273_tags(self.color)
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        context.colorspace, context.color_range = tags.matrix, tags.range
        if self.encoder in KINDS:
            context.flags |= (
                Flags.closed_gop
            )  # others may refuse it: MPEG-4 together with scene detection
        context.thread_count = self.threads
        # PyAV's own default, slices alone, makes x264 cut each frame into slices, at a cost in quality.
        context.thread_type = ThreadType.AUTO
        if self.encoder == "libsvtav1":
            # SVT-AV1 writes a page to the terminal by itself, past FFmpeg's log; 0: fatal errors only.
            os.environ.setdefault("SVT_LOG", "0")
        context.options = self._context_options()
        context.open()
        if context.options:
            raise ValueError(f"unknown option {', '.join(sorted(context.options))}")

    def _context_options(self) -> dict[str, str]:
        options = dict(self.options)
        if self.color.subsampling == (2, 2):
            options.setdefault("chroma_sample_location", self.color.siting)
        if self.encoder == "libx265":
            # Left alone, both follow the number of cores, and so would the bytes. The second numbers are
            # x265's own choice for so many cores.
            parallel = (
                4 if self.threads >= 16 else 3 if self.threads >= 8 else 2 if self.threads >= 4 else 1
            )
            ours = f"pools={self.threads}:frame-threads={parallel}"
            options["x265-params"] = _joined(ours, options.get("x265-params"))
        if self.encoder == "libsvtav1":
            ours = f"lp={min(self.threads, 6)}"  # a level of parallelism, 6 the highest
            options["svtav1-params"] = _joined(ours, options.get("svtav1-params"))
        return options


def resolve_encoding(
    info: VideoInfo, target: Path, config: EncodeConfig, formats: Collection[str] | None = None
) -> Encoding:
    """Decide how a video is encoded, and open the encoder once to see that it can be.

    Args:
        info: the video to encode: the output's size and rate, the source's colour and HDR metadata.
        target: the finished file; its ending chooses the codec where the configuration does not.
        config: what the user asked for.
        formats: pixel formats to choose from, where the target takes fewer than the encoder.

    Raises:
        UsageError: an unknown codec or option, or a value outside its range; the choices are named.
        OutputError: the encoder is not in this build or does not open here, or the target cannot hold
            its codec.
    """
    container = container_for(target)
    encoder = _encoder_for(info, container, config.codec)
    try:
        codec = av.Codec(encoder, "w")
    except UnknownCodecError as error:
        raise _unknown(encoder, config.codec) from error
    if codec.canonical_name not in container.video:
        raise IncompatibleStreams(
            f"{target}: {target.suffix} does not hold {codec.canonical_name} video; use --codec "
            f"{' or '.join(name for name in CODECS if name in container.video)}, or an .mkv file"
        )
    if formats is None and encoder == "rawvideo":
        formats = container.raw_formats
    stored, losses = _format_for(info, codec, config.pixel_format, formats)
    color = stored_color(info.color, stored)
    notices = [f"{encoder} takes {stored.name}: {loss}" for loss in losses]
    if encoder == "prores_ks" and color.range == "full":
        color = replace(color, range="limited")
        notices.append("ProRes has no full range: levels become limited")
    if encoder in NVENC and info.hdr is not None:
        notices.append(f"{encoder} cannot be given the HDR metadata; --codec {codec.canonical_name} can")
    if encoder == "libx265" and info.width < LEAST_HEVC_PX:
        raise OutputError(
            f"{target}: libx265 takes no video less than {LEAST_HEVC_PX} pixels wide, and this one is "
            f"{info.width}x{info.height}; use --codec h264 or ffv1"
        )
    encoding = Encoding(
        encoder=encoder,
        options=_options_for(info, encoder, stored, color, config),
        pixel_format=stored.name,
        color=color,
        threads=config.threads or min(usable_cores(), _MAX_THREADS),
        notices=tuple(notices),
    )
    _try_to_open(encoding, info, target, config)
    return encoding


def codec_versions() -> str:
    """The versions of PyAV and FFmpeg's codecs, as one text: the encoded bytes depend on them."""
    library = ".".join(str(number) for number in av.library_versions["libavcodec"])
    return f"PyAV {av.__version__}, libavcodec {library}"


def nominal_rate(info: VideoInfo) -> Fraction:
    """Frames per second that encoders may assume: the source's average where it is a usable number."""
    rate = info.frame_rate or Fraction(25)
    return min(max(rate, Fraction(1)), Fraction(240)).limit_denominator(1001)


def encoder_reason(error: Exception) -> str:
    """What an encoder gave as its reason, in one line."""
    log = getattr(error, "log", None)  # PyAV: (level, name, message) of the last entry, or None
    return _one_line(str(log[2] if log else getattr(error, "strerror", None) or error))


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".").lower()


def _encoder_for(info: VideoInfo, container: Container, asked: str | None) -> str:
    if asked is not None:
        return CODECS.get(asked.lower(), asked.lower())
    color = info.color
    # HDR and more than 8 bits are what HEVC's Main 10 is for: few devices play H.264 of 10 bits, and
    # none plays H.264 above the 4096 pixels of level 5.2 (ITU-T H.264 table A-1).
    deep = color.depth > 8 or color.transfer in (PQ, HLG)
    large = max(info.width, info.height) > 4096
    wanted = ["hevc", "h264"] if deep or large else ["h264", "hevc"]
    if color.alpha:
        wanted = {"mov": ["prores"], "matroska": ["ffv1"]}.get(container.muxer, []) + wanted
    # SVT-AV1 has 4:2:0 alone. VP9 keeps alpha and fine chroma, but FFmpeg's builds of it end at 8 bits.
    fine = color.alpha or (source_kind(color) != "gray" and color.subsampling != (2, 2))
    wanted += ["vp9", "av1", "ffv1"] if fine and color.depth == 8 else ["av1", "vp9", "ffv1"]
    return CODECS[next((name for name in wanted if name in container.video), "h264")]


def _unknown(encoder: str, asked: str | None) -> UsageError | OutputError:
    names = ", ".join(CODECS)
    if encoder in KINDS:
        return OutputError(f"this FFmpeg was built without {encoder}: choose another --codec of {names}")
    return UsageError(f"--codec {asked}: no such codec; use {names}, or the name of an FFmpeg encoder")


def _format_for(
    info: VideoInfo, codec: av.Codec, asked: str | None, among: Collection[str] | None
) -> tuple[PixelFormat, tuple[str, ...]]:
    kind = kind_of(codec.name)
    # An encoder that names none, "rawvideo", takes any.
    names = [each.name for each in codec.video_formats or ()] or kind.formats
    formats = [pixel_format(name) for name in names if among is None or name in among]
    offered = {
        each.name: each
        for each in formats
        if each is not None
        and (kind.gray or each.kind != "gray")
        and (kind.alpha or not each.alpha)
        and (not kind.formats or each.name in kind.formats)
    }
    if asked is not None:
        if asked not in offered:
            choices = ", ".join(offered) or "none that can be made"
            raise UsageError(f"--pix-fmt {asked}: {codec.name} takes {choices}")
        if offered[asked].alpha and not info.color.alpha:
            raise UsageError(f"--pix-fmt {asked}: has an alpha channel, and the source has none")
        offered = {asked: offered[asked]}
    try:
        return nearest_format(info.color, offered.values())
    except ValueError as error:
        raise UsageError(
            f"--codec {codec.name}: takes no frames from memory that fit the source; choose another"
        ) from error


def _options_for(
    info: VideoInfo, encoder: str, stored: PixelFormat, color: ColorSpec, config: EncodeConfig
) -> dict[str, str]:
    kind = kind_of(encoder)
    options = dict(kind.options)
    if kind.takes_gop:
        # Ten seconds between keyframes at most; each segment begins with one anyway.
        options["g"] = str(round(10 * min(nominal_rate(info), Fraction(60))))
    if encoder == "prores_ks":
        options["profile"] = "hq" if stored.subsampling == (1, 2) else "4444"
    if kind.quality is not None:
        options[kind.quality] = kind.quality_value(encoder, config.crf)
    elif config.crf is not None:
        raise UsageError(f"--crf: {encoder} has no such scale; leave it out or use --encoder-options")
    elif encoder not in KINDS and not config.options:
        raise UsageError(
            f"--codec {encoder}: FFmpeg's default quality is poor: give one by --encoder-options b=40M"
        )
    if kind.preset is not None:
        options[kind.preset] = kind.preset_value(encoder, config.preset, hurry=config.hurry)
    elif config.preset is not None:
        raise UsageError(f"--preset: {encoder} has none; leave it out or use --encoder-options")
    for more in (hdr_params(encoder, info.hdr, color), _known(encoder, config.options)):
        for key, value in more.items():
            # x265-params and its like are lists: ours stay, and the user's, which come later, win.
            options[key] = _joined(options.get(key), value) if key.endswith("-params") else value
    return options


def _known(encoder: str, options: tuple[tuple[str, str], ...]) -> dict[str, str]:
    supported = av.CodecContext.create(encoder, "w").supported_options
    names = {option.name for option in (*supported.private, *supported.generic)}
    for key, _ in options:
        if key not in names:
            close = difflib.get_close_matches(key, sorted(names), 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"--encoder-options {key}: {encoder} has no such option{hint}")
    return dict(options)


def _joined(*params: str | None) -> str:
    return ":".join(part for part in params if part)


def _try_to_open(encoding: Encoding, info: VideoInfo, target: Path, config: EncodeConfig) -> None:
    context = av.CodecContext.create(encoding.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    down, across = encoding.size_multiple
    width, height = info.width + -info.width % across, info.height + -info.height % down
    on_card = kind_of(encoding.encoder).on_card
    with _encoder_log(on_card or any(key.endswith("-params") for key, _ in config.options)) as log:
        try:
            encoding.open(context, replace(info, width=width, height=height))
        except (FFmpegError, ValueError) as error:
            if on_card:
                # What FFmpeg says first is what it found: the driver missing, a width that is too much.
                reason = _one_line(log[0][2]) if log else encoder_reason(error)
                raise OutputError(
                    f"{target}: {encoding.encoder} does not open for {width}x{height} "
                    f"{encoding.pixel_format}: {reason}; --codec {encoding.codec} needs no card"
                ) from error
            raise OutputError(
                f"{target}: {encoding.encoder} does not open for {width}x{height} "
                f"{encoding.pixel_format}: {encoder_reason(error)}; choose another --codec, or check "
                "--crf, --preset and --encoder-options"
            ) from error
    # FFmpeg only mentions a word in x264-params and its like that the encoder does not know.
    if log and not on_card:
        raise UsageError(f"--encoder-options: {log[0][2].strip().rstrip('.')}")


@contextmanager
def _encoder_log(wanted: bool) -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg's encoders say of themselves in this thread, where it is wanted; else nothing.

    PyAV throws it away by default, and better so: its listener takes the interpreter's lock, and a
    decoder's thread that waits for it there while another thread frees that decoder waits for ever.
    """
    if not wanted:
        yield []
        return
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as log:
            yield log
    finally:
        av.logging.set_level(level)
