"""Opening a media file: local files only, and every refusal in the user's words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from vidsr.errors import InputError

MAX_SIDE_PX = 16384
"""Largest width or height accepted: a frame beyond it would take gigabytes; H.264 ends at 8192."""

_VIDEOS = (
    "mp4 m4v mov mkv webm avi mpg mpeg m2v ts m2ts mts wmv asf flv f4v ogv ogm 3gp 3g2 vob mxf y4m nut"
)
VIDEO_SUFFIXES = frozenset(f".{ending}" for ending in _VIDEOS.split())
"""Endings of the files that are taken for videos in a folder; one given by name may have any."""

# Demuxers that open other files or the network as the file tells them to, or that take any text for the
# screen of a terminal.
_PLAYLISTS = {"applehttp", "concat", "concatf", "dash", "hls", "imf", "sdp", "webm_dash_manifest"}
_NETWORKS = {"rtp", "rtsp", "sap"}
_SCRIPTS = {"avisynth", "vapoursynth"}

_READ_BYTES = 256 * 1024
"""Asked of a pipe at once: four times what Linux keeps in one, a thirtieth of a raw frame of 2160p."""

_SEQUENCES = {"image2"}  # takes a "%d" in the name for a pattern
_TEXT_ART = {"adf", "bin", "idf", "tty", "xbin"}
_REFUSED = _PLAYLISTS | _NETWORKS | _SCRIPTS | _SEQUENCES | _TEXT_ART

_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes: ...


def open_input(path: Path, hwaccel: HWAccel | None = None, *, xmp: bool = False) -> InputContainer:
    """Open a media file for reading; the caller closes it, or uses it as a context manager.

    With `hwaccel` its video streams are decoded there, as far as it has decoders for them. `xmp` shows
    the XMP packet of MOV and MP4 among the tags.

    Only the `file` protocol is allowed, and no demuxer that opens further files by itself (playlists,
    `concat`, DASH ...), so a hostile file cannot make this process read or fetch another. Tags that are
    not UTF-8 come with replacement characters.

    Raises:
        InputError: missing, a directory, empty, not permitted, or nothing that FFmpeg can read.
    """
    require_file(path)
    # "file:" keeps a name such as "http:x.mp4" or "concat:a|b" a plain file name.
    return _open(
        f"file:{os.fspath(path)}", path, "not a video file (a text or a playlist?)", hwaccel, xmp=xmp
    )


def open_stream(file: Readable, name: Path) -> InputContainer:
    """Open a stream of bytes that can be read but once and from its beginning, as a pipe is.

    `file` may give fewer bytes than it is asked for, and so never holds up what has come; nothing at
    all is its end. `name` stands for it in messages. What is opened is limited as for files.

    Raises:
        InputError: nothing that FFmpeg can read without going back.
    """
    return _open(file, name, "not a video that can be read from a pipe; y4m, NUT and Matroska can be")


def _open(
    file: str | Readable,
    name: Path,
    otherwise: str,
    hwaccel: HWAccel | None = None,
    *,
    xmp: bool = False,
) -> InputContainer:
    allowed = ",".join(sorted(av.formats_available - _REFUSED))
    options = {"protocol_whitelist": "file", "format_whitelist": allowed}
    if xmp:
        options["export_xmp"] = "1"
    try:
        return av.open(
            file,
            "r",
            container_options=options,
            metadata_errors="replace",
            buffer_size=_READ_BYTES,
            hwaccel=hwaccel,
        )
    except PermissionError as error:
        raise InputError(f"{name}: no permission to read it") from error
    except (av.InvalidDataError, av.ArgumentError, av.EOFError) as error:
        # ArgumentError: only a refused demuxer knows the format.
        raise InputError(f"{name}: {otherwise}, or its header is damaged or cut off") from error
    except (av.FFmpegError, ValueError, OSError) as error:
        raise InputError(f"{name}: cannot be opened: {_reason(error)}") from error


def video_streams(container: InputContainer) -> list[VideoStream]:
    """The moving pictures of a container: its video streams without cover art and thumbnails."""
    return [stream for stream in container.streams.video if not stream.disposition & _COVERS]


def main_video_stream(container: InputContainer, path: Path, number: int | None = None) -> VideoStream:
    """Choose the video stream to work on.

    That is number `number`, counted from 0 over `video_streams`, or else the first one marked as
    default, or else the first.

    Raises:
        InputError: there is no such stream, or FFmpeg has no decoder for it.
    """
    streams = video_streams(container)
    if not streams:
        held = sorted({stream.type for stream in container.streams} - {"video"})
        only = f" (only {', '.join(held)})" if held else ""
        if container.streams.video:
            only = " (only cover art)"
        raise InputError(f"{path}: has no video stream{only}")
    if number is not None:
        if number >= len(streams):
            raise InputError(
                f"{path}: has {len(streams)} video stream(s), so --video-stream goes from 0 to"
                f" {len(streams) - 1}, not {number}"
            )
        stream = streams[number]
    else:
        marked = [stream for stream in streams if stream.disposition & Disposition.default]
        stream = (marked or streams)[0]
    # A stream without a decoder has no codec context, whatever the type stubs say.
    if getattr(stream, "codec_context", None) is None:
        raise InputError(f"{path}: FFmpeg has no decoder for video stream {stream.index}")
    return stream


def discard_others(container: InputContainer, index: int) -> None:
    """Let the demuxer skip every stream but one: it then neither reads nor parses them."""
    for stream in container.streams:
        if stream.index != index:
            stream.discard = Discard.all


def require_file(path: Path) -> None:
    """Raise InputError for what cannot be a file of video or a picture: missing, a directory, empty."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be opened: {error}") from error
    if path.is_dir():
        raise InputError(f"{path}: is a directory; give a file, or a pattern such as %05d.png")
    if path.is_file() and status.st_size == 0:
        raise InputError(f"{path}: is empty")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
