"""What a packet says, apart from how its container wraps it."""

from __future__ import annotations

from collections.abc import Iterator

from av.audio.codeccontext import AudioCodecContext
from av.stream import Stream

from vidsr.video.heads import codec_name

_TEMPORAL_DELIMITER = b"\x12\x00"  # AV1 OBU that opens each access unit in streams, not in files


def payload(stream: Stream, data: bytes) -> bytes:
    """The part of a packet that must come through a copy untouched.

    Muxers wrap some codecs in their own way: AAC with or without ADTS headers (ISO 14496-3, 1.A.2.2),
    H.264 and HEVC with lengths or start codes before each unit and with parameter sets inside or outside
    (ISO 14496-15). Left are the coded frames.
    """
    codec = codec_name(stream)
    if codec == "aac":
        return _without_adts(data)
    if codec in ("h264", "hevc"):
        context = stream.codec_context
        with_lengths = bool(context.extradata) and (context.extradata or b"")[0] == 1
        units = _lengths(data) if with_lengths else _start_codes(data)
        return b"".join(unit for unit in units if _is_picture(codec, unit))
    if codec == "av1":
        return data.removeprefix(_TEMPORAL_DELIMITER)
    return data


def frame_samples(stream: Stream, data: bytes) -> int:
    """Samples a channel that an audio packet decodes to; 0 where that is not known."""
    context = getattr(stream, "codec_context", None)
    if not isinstance(context, AudioCodecContext):
        return 0
    return _opus_samples(data) if codec_name(stream) == "opus" else context.frame_size


def _opus_samples(data: bytes) -> int:
    """RFC 6716, 3.1: the first byte tells the length of a frame and how many there are; at 48 kHz."""
    if len(data) < 2:
        return 0
    config, code = data[0] >> 3, data[0] & 3
    if config < 12:
        length = (480, 960, 1920, 2880)[config % 4]
    elif config < 16:
        length = (480, 960)[config % 2]
    else:
        length = (120, 240, 480, 960)[config % 4]
    return length * (1, 2, 2, data[1] & 63)[code]


def _without_adts(data: bytes) -> bytes:
    if len(data) > 9 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return data[7 if data[1] & 1 else 9 :]
    return data


def _is_picture(codec: str, unit: bytes) -> bool:
    """Whether a unit is a slice; parameter sets, delimiters and messages may come and go."""
    if not unit:
        return False
    return 1 <= unit[0] & 31 <= 5 if codec == "h264" else unit[0] >> 1 & 63 < 32


def _lengths(data: bytes) -> Iterator[bytes]:
    position = 0
    while position + 4 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        yield data[position + 4 : position + 4 + size]
        position += 4 + size


def _start_codes(data: bytes) -> Iterator[bytes]:
    position = data.find(b"\0\0\1")
    while position >= 0:
        following = data.find(b"\0\0\1", position + 3)
        end = following if following >= 0 else len(data)
        yield data[position + 3 : end].rstrip(b"\0")
        position = following
