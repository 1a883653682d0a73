"""What an image file carries beside its pixels: ICC profile and EXIF, byte for byte, and what made it.

A profile says what the colours mean (a photograph in Adobe RGB looks dull without it), EXIF holds date,
place and camera. Neither passes through FFmpeg's encoders, so both are cut out of the one file and put
into the other here. Formats: PNG (W3C, third edition: iCCP, eXIf, tEXt), JPEG (ICC.1 annex B.4,
EXIF 2.3, T.81: APP2, APP1, COM), WebP (RIFF container specification: ICCP, EXIF, XMP, VP8X).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from vidsr.video.xmp import creator_of, creator_packet

ImageFormat = Literal["png", "jpeg", "webp"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_EXIF_HEADER = b"Exif\x00\x00"
_ICC_HEADER = b"ICC_PROFILE\x00"
_ICC_PART = 65535 - 2 - len(_ICC_HEADER) - 2  # bytes of profile in one JPEG segment
_SOFTWARE = b"Software\x00"  # the keyword of PNG's text for what made the picture
_ORIENTATION = 0x0112
_PNG_COLOR = (b"cICP", b"sRGB", b"gAMA", b"cHRM")  # the first overrides a profile, all contradict it


@dataclass(frozen=True)
class ImageTags:
    """Profile and EXIF as raw bytes, without the headers that each file format puts before them."""

    icc: bytes = b""
    exif: bytes = b""  # a TIFF structure
    software: str = ""  # what made the picture, in ASCII

    @property
    def orientation(self) -> int:
        """EXIF's orientation, 1 to 8; 1 is upright and the default."""
        place = _orientation_place(self.exif)
        if place is None:
            return 1
        value: int = struct.unpack_from(place[1] + "H", self.exif, place[0])[0]
        return value if 1 <= value <= 8 else 1

    def upright(self) -> ImageTags:
        """The same tags for a picture that has been turned upright."""
        place = _orientation_place(self.exif)
        if place is None:
            return self
        exif = bytearray(self.exif)
        struct.pack_into(place[1] + "H", exif, place[0], 1)
        return replace(self, exif=bytes(exif))


def image_format(data: bytes) -> ImageFormat | None:
    """The format of an image file by its first bytes, whatever its name."""
    if data.startswith(_PNG):
        return "png"
    if data.startswith(_JPEG):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None


def read_tags(data: bytes) -> ImageTags:
    """Find the tags of an image file; damaged ones count as none."""
    readers = {"png": _png_tags, "jpeg": _jpeg_tags, "webp": _webp_tags}
    kind = image_format(data)
    try:
        return readers[kind](data) if kind else ImageTags()
    except (struct.error, zlib.error, IndexError, ValueError):
        return ImageTags()


def add_tags(data: bytes, tags: ImageTags) -> bytes:
    """Put tags into an encoded image that has none of them."""
    kind = image_format(data)
    if kind is None or tags == ImageTags():
        return data
    if kind == "png":
        chunks = b""
        if tags.icc:
            chunks += _png_chunk(b"iCCP", b"ICC\x00\x00" + zlib.compress(tags.icc))
        if tags.exif:
            chunks += _png_chunk(b"eXIf", tags.exif)
        if tags.software:
            chunks += _png_chunk(b"tEXt", _SOFTWARE + tags.software.encode("ascii"))
        kept = list(_png_chunks(data))
        if tags.icc:
            kept = [(name, body) for name, body in kept if name not in _PNG_COLOR]
        # Behind IHDR and before everything else: a profile must precede the palette.
        header, *others = (_png_chunk(name, body) for name, body in kept)
        return _PNG + header + chunks + b"".join(others)
    if kind == "jpeg":
        return data[:2] + _jpeg_segments(tags) + data[2:]
    return _webp_with(data, tags)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png_tags(data: bytes) -> ImageTags:
    icc = exif = b""
    software = ""
    for name, body in _png_chunks(data):
        if name == b"iCCP":
            icc = zlib.decompress(body[body.index(b"\x00") + 2 :])
        elif name == b"eXIf":
            exif = body
        elif name == b"tEXt" and body.startswith(_SOFTWARE):
            software = body[len(_SOFTWARE) :].decode("latin-1")
    return ImageTags(icc, exif, software)


def _jpeg_tags(data: bytes) -> ImageTags:
    parts: dict[int, bytes] = {}
    exif = b""
    software = ""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:  # 0xDA: the picture begins
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if data[at + 1] == 0xE2 and body.startswith(_ICC_HEADER):
            parts[body[len(_ICC_HEADER)]] = body[len(_ICC_HEADER) + 2 :]
        elif data[at + 1] == 0xE1 and body.startswith(_EXIF_HEADER):
            exif = body[len(_EXIF_HEADER) :]
        elif data[at + 1] == 0xFE and not software:  # ours is before the encoder's own
            software = body.rstrip(b"\x00").decode("latin-1")
        at += 2 + length
    return ImageTags(b"".join(parts[number] for number in sorted(parts)), exif, software)


def _jpeg_segments(tags: ImageTags) -> bytes:
    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    segments = b""
    if tags.exif and len(tags.exif) + len(_EXIF_HEADER) + 2 <= 65535:
        segments += segment(0xE1, _EXIF_HEADER + tags.exif)
    parts = [tags.icc[at : at + _ICC_PART] for at in range(0, len(tags.icc), _ICC_PART)]
    for number, part in enumerate(parts, start=1):
        segments += segment(0xE2, _ICC_HEADER + bytes([number, len(parts)]) + part)
    if tags.software:
        segments += segment(0xFE, tags.software.encode("ascii"))
    return segments


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _webp_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\x00" * (len(body) % 2)


def _webp_tags(data: bytes) -> ImageTags:
    chunks = dict(_webp_chunks(data))
    return ImageTags(
        chunks.get(b"ICCP", b""),
        chunks.get(b"EXIF", b"").removeprefix(_EXIF_HEADER),
        creator_of(chunks.get(b"XMP ", b"").decode("utf-8", "replace")),
    )


def _webp_with(data: bytes, tags: ImageTags) -> bytes:
    """Rebuild the container in the order that the specification demands, with a VP8X chunk first."""
    chunks = [
        (name, body) for name, body in _webp_chunks(data) if name not in (b"ICCP", b"EXIF", b"XMP ")
    ]
    header = next((body for name, body in chunks if name == b"VP8X"), None)
    pictures = [(name, body) for name, body in chunks if name != b"VP8X"]
    if header is None:
        width, height, alpha = _webp_canvas(*pictures[0])
        flags = 0x10 if alpha else 0
        header = bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little")
        header += (height - 1).to_bytes(3, "little")
    flags = header[0] | (0x20 if tags.icc else 0) | (0x08 if tags.exif else 0)
    flags |= 0x04 if tags.software else 0
    ordered = [(b"VP8X", bytes([flags]) + header[1:])]
    ordered += [(b"ICCP", tags.icc)] if tags.icc else []
    ordered += pictures
    ordered += [(b"EXIF", tags.exif)] if tags.exif else []
    ordered += [(b"XMP ", creator_packet(tags.software).encode())] if tags.software else []
    body = b"WEBP" + b"".join(_webp_chunk(name, content) for name, content in ordered)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_canvas(name: bytes, body: bytes) -> tuple[int, int, bool]:
    """(width, height, alpha) of a picture: RFC 6386, 9.1, and the lossless bitstream's header."""
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF, False


def _orientation_place(exif: bytes) -> tuple[int, str] | None:
    """Where the orientation's 16 bits lie in a TIFF structure, and their byte order for struct."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for index in range(count):
            at = directory + 2 + 12 * index
            tag, kind = struct.unpack_from(order + "HH", exif, at)
            if tag == _ORIENTATION and kind == 3:  # SHORT
                return at + 8, order
    except struct.error:
        return None
    return None
