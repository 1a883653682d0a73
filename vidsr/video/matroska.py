"""Corrections in the track headers of a finished Matroska file, in place.

FFmpeg's muxer takes the shape of pixels from a field that PyAV cannot set, and the encoder delay of
audio only from decoders' parameters that MP4 sources do not have. Both are small elements of a track's
header. Nothing in the file may move, since other elements point at places in it, so every track is
written with a title longer than it should be (`RESERVE`), and the room is used up here.

Element numbers and meanings: RFC 9559 (Matroska), RFC 8794 (EBML).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

RESERVE = "_" * 40
"""Behind every track's title: room for at most 11 + 18 bytes of new elements and the filler's head."""

_SEGMENT, _TRACKS, _TRACK, _CLUSTER = 0x18538067, 0x1654AE6B, 0xAE, 0x1F43B675
_VOID, _CRC32, _NAME, _VIDEO, _CODEC_DELAY = 0xEC, 0xBF, 0x536E, 0xE0, 0x56AA
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_RATIO = 3  # of DisplayUnit: RFC 9559, 5.1.4.1.28.14
_COLOUR, _SITING_HORZ, _SITING_VERT = 0x55B0, 0x55B7, 0x55B8
_HEAD_BYTES = (
    64 * 1024 * 1024
)  # attachments may stand before the tracks' end; far more than headers take


@dataclass(frozen=True)
class TrackHeader:
    """What a track's header shall say beyond what FFmpeg wrote."""

    display: tuple[int, int] | None = None  # width and height as shown
    display_is_ratio: bool = False  # these are a ratio, not square pixels
    codec_delay_ns: int | None = None  # how far block times lie behind the true ones; None: as it is


def display_header(width: int, height: int, ratio: Fraction) -> TrackHeader:
    """The size that is shown: in square pixels, as all players know, or as a ratio if inexact."""
    shown = width * ratio
    if shown.denominator == 1:
        return TrackHeader(display=(shown.numerator, height))
    exact = shown / height
    return TrackHeader(display=(exact.numerator, exact.denominator), display_is_ratio=True)


def correct_tracks(path: Path, headers: Mapping[int, TrackHeader]) -> None:
    """Rewrite the headers of all tracks, which were muxed with `RESERVE` behind their titles.

    `headers` is by position in the file, from 0; tracks without one only lose the reserve. Raises
    ValueError if the file is not as FFmpeg's muxer writes it.
    """
    with path.open("r+b") as file:
        head = file.read(_HEAD_BYTES)
        start, end = _find_tracks(head)
        file.seek(start)
        file.write(corrected(head, headers)[start:end])


def corrected(head: bytes, headers: Mapping[int, TrackHeader]) -> bytes:
    """The beginning of a file, up to the end of its track headers at least, as `correct_tracks` does."""
    start, end = _find_tracks(head)
    return head[:start] + _rewrite(head[start:end], headers) + head[end:]


def chroma_siting(head: bytes) -> tuple[int, int]:
    """ChromaSitingHorz and ChromaSitingVert of a file's first video track; 0 where it does not say."""
    found = {_SITING_HORZ: 0, _SITING_VERT: 0}
    start, end = _find_tracks(head)
    for wanted in (_TRACK, _VIDEO, _COLOUR):
        inner = next(
            (payload for number, payload in _children(head[start:end]) if number == wanted), b""
        )
        head, start, end = inner, 0, len(inner)
    found.update((number, int.from_bytes(payload, "big")) for number, payload in _children(head))
    return found[_SITING_HORZ], found[_SITING_VERT]


def _find_tracks(head: bytes) -> tuple[int, int]:
    """Where the payload of Tracks begins and ends."""
    position = 0
    while position < len(head):
        number, begin, size = _element(head, position)
        if number == _TRACKS:
            return begin, begin + size
        if number == _CLUSTER:
            break
        position = begin if number == _SEGMENT else begin + size
    raise ValueError("no track headers at the beginning of a Matroska file")


def _rewrite(tracks: bytes, headers: Mapping[int, TrackHeader]) -> bytes:
    parts: list[bytes] = []
    checked = False
    position = 0
    for number, payload in _children(tracks):
        if number == _CRC32:
            checked = True  # it is the first element by rule, and covers what follows it
            continue
        if number == _TRACK:
            payload = _rewrite_track(payload, headers.get(position, TrackHeader()))
            position += 1
            # FFmpeg gives a track's size eight bytes; so it must stay.
            parts.append(_write_number(number) + _size(len(payload), 8) + payload)
        else:
            parts.append(_write(number, payload))
    body = b"".join(parts)
    if checked:
        body = _write(_CRC32, zlib.crc32(body).to_bytes(4, "little")) + body
    if len(body) != len(tracks):
        raise ValueError("track headers of a Matroska file are not as FFmpeg writes them")
    return body


def _rewrite_track(track: bytes, header: TrackHeader) -> bytes:
    parts: list[bytes] = []
    for number, payload in _children(track):
        if number == _NAME:
            title = payload.removesuffix(RESERVE.encode())
            if title:
                parts.append(_write(_NAME, title))
        elif number == _VIDEO and header.display is not None:
            width, height = header.display
            kept = [
                _write(*child)
                for child in _children(payload)
                if child[0] not in (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT)
            ]
            kept += [_write(_DISPLAY_WIDTH, _uint(width)), _write(_DISPLAY_HEIGHT, _uint(height))]
            if header.display_is_ratio:
                kept.append(_write(_DISPLAY_UNIT, _uint(_RATIO)))
            parts.append(_write(_VIDEO, b"".join(kept)))
        elif number != _CODEC_DELAY or header.codec_delay_ns is None:
            parts.append(_write(number, payload))
    if header.codec_delay_ns is not None:
        parts.append(_write(_CODEC_DELAY, _uint(header.codec_delay_ns)))
    spare = len(track) - sum(map(len, parts))
    if spare == 0:
        return b"".join(parts)
    if spare < 2:
        raise ValueError("no room for the corrections in a Matroska track header")
    size_bytes = 1 if spare - 2 < 127 else 2
    void = _write_number(_VOID) + _size(spare - 1 - size_bytes, size_bytes)
    return b"".join(parts) + void + bytes(spare - len(void))


def _children(payload: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(payload):
        number, begin, size = _element(payload, position)
        yield number, payload[begin : begin + size]
        position = begin + size


def _element(data: bytes, position: int) -> tuple[int, int, int]:
    """(number with its marker bit, where the payload begins, its size) of the element at a place."""
    number_bytes = 9 - data[position].bit_length()
    number = int.from_bytes(data[position : position + number_bytes], "big")
    position += number_bytes
    size_bytes = 9 - data[position].bit_length()
    size = int.from_bytes(data[position : position + size_bytes], "big") & ~(1 << 7 * size_bytes)
    return number, position + size_bytes, size


def _write(number: int, payload: bytes) -> bytes:
    width = 1
    while len(payload) >= (1 << 7 * width) - 1:  # all ones means "unknown size"
        width += 1
    return _write_number(number) + _size(len(payload), width) + payload


def _write_number(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _size(size: int, width: int) -> bytes:
    return (size | 1 << 7 * width).to_bytes(width, "big")


def _uint(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
