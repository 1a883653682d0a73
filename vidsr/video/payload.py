"""What a packet says, apart from how its container wraps it."""

from __future__ import annotations

from collections.abc import Iterator

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
