from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.synthetic import make_video
from vidsr.video.matroska import RESERVE, TrackHeader, correct_tracks


def remuxed(source: Path, target: Path, title: str = "") -> Path:
    """A copy in Matroska with the reserve behind every track's title."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        copies = [new.add_stream_from_template(stream, opaque=True) for stream in old.streams]
        for copy in copies:
            copy.metadata["title"] = title + RESERVE
        for packet in old.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)
    return target


def checksum_holds(path: Path) -> bool:
    """Whether the track headers' CRC-32 (first element, over all that follow it) is right."""
    data = path.read_bytes()
    number = b"\x16\x54\xae\x6b"  # also in the index at the file's beginning
    start = data.rindex(number, 0, data.index(b"\x1f\x43\xb6\x75")) + 4
    width = 9 - data[start].bit_length()
    size = int.from_bytes(data[start : start + width], "big") & ~(1 << 7 * width)
    body = data[start + width : start + width + size]
    assert body[:2] == b"\xbf\x84"
    return int.from_bytes(body[2:6], "little") == zlib.crc32(body[6:])


@pytest.mark.parametrize("title", ["", "Le film – 映画"])
def test_headers_are_corrected_without_moving_anything(tmp_path: Path, title: str) -> None:
    source = make_video(tmp_path / "in.mkv", audio=1, frames=30)
    path = remuxed(source, tmp_path / "out.mkv", title)
    before = path.read_bytes()
    correct_tracks(path, {0: TrackHeader(display=(85, 48)), 1: TrackHeader(codec_delay_ns=21333333)})
    after = path.read_bytes()
    cluster = before.index(b"\x1f\x43\xb6\x75")
    assert len(after) == len(before)
    assert after[cluster:] == before[cluster:]
    assert checksum_holds(path)
    with av.open(str(path)) as file:
        video, audio = file.streams
        assert video.metadata.get("title", "") == title
        assert audio.metadata.get("title", "") == title
        assert file.streams.video[0].sample_aspect_ratio == Fraction(85 * 48, 64 * 48)
        packets = [packet for packet in file.demux(audio) if packet.size]
        assert packets[0].pts == -21
        assert packets[0].has_sidedata("skip_samples")


def test_a_file_without_track_headers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3\x80" + b"\xec\x85" + bytes(5))
    with pytest.raises(ValueError, match="no track headers"):
        correct_tracks(path, {})


def test_more_than_the_reserve_holds_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "x.mkv"), "w") as new:
        stream = new.add_mux_stream("mpeg4", width=64, height=48)
        stream.metadata["title"] = "Plain"
        new.start_encoding()
    with pytest.raises(ValueError, match="no room"):
        correct_tracks(tmp_path / "x.mkv", {0: TrackHeader((2**40, 2**40), 2**60)})
