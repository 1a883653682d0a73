from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from av.packet import Packet
from av.subtitles.stream import SubtitleStream

from vidsr.video.subtitles import SubtitleConverter, is_gap, spoken_text


def srt(tmp_path: Path, *texts: str) -> Path:
    lines = [f"{i + 1}\n00:00:0{i},000 --> 00:00:0{i},900\n{text}\n" for i, text in enumerate(texts)]
    path = tmp_path / "texts.srt"
    path.write_text("\n".join(lines))
    return path


def convert(path: Path, codec: str) -> tuple[list[bytes | None], SubtitleConverter]:
    with av.open(str(path)) as file:
        stream = file.streams.subtitles[0]
        converter = SubtitleConverter(stream, codec)
        return [converter.convert(packet) for packet in file.demux(stream) if packet.size], converter


def mov_text(tmp_path: Path, *texts: str) -> Path:
    """The texts as a track of an MP4, converted; there and back is one of the tests."""
    source = srt(tmp_path, *texts)
    path = tmp_path / "texts.mp4"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.subtitles[0]
        converter = SubtitleConverter(stream, "mov_text")
        copy = new.add_stream("mov_text")
        assert isinstance(copy, SubtitleStream)
        copy.codec_context.subtitle_header = converter.header
        for packet in old.demux(stream):
            if packet.size:
                made: Packet[Any] = Packet(converter.convert(packet) or b"")
                made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
                made.time_base, made.stream = packet.time_base, copy
                new.mux(made)
    return path


def test_plain_text_becomes_an_mp4_sample_of_its_length_and_bytes(tmp_path: Path) -> None:
    made, converter = convert(srt(tmp_path, "Good morning", "Grüße, 世界"), "mov_text")
    assert made == [
        b"\x00\x0cGood morning",
        len("Grüße, 世界".encode()).to_bytes(2, "big") + "Grüße, 世界".encode(),
    ]
    assert converter.altered == 0


def test_styles_and_lines_survive_there_and_back(tmp_path: Path) -> None:
    texts = ["<i>slanted</i> and <b>fat</b>", "two\nlines", "<u>under</u>"]
    made, converter = convert(mov_text(tmp_path, *texts), "subrip")
    assert [text.decode() for text in made if text is not None] == texts
    assert converter.altered == 0


@pytest.mark.parametrize("text", ['<font color="#ff0000">red</font>', "{\\an8}at the top"])
def test_what_mp4_text_cannot_say_is_counted(tmp_path: Path, text: str) -> None:
    _, converter = convert(srt(tmp_path, "plain", text), "mov_text")
    assert converter.altered == 1


def test_an_mp4_gap_says_nothing(tmp_path: Path) -> None:
    assert is_gap("mov_text", b"\0\0")
    assert not is_gap("mov_text", b"\0\1a")
    assert not is_gap("subrip", b"\0\0")
    with av.open(str(mov_text(tmp_path, "one", "two"))) as file:
        stream = file.streams.subtitles[0]
        packets = [packet for packet in file.demux(stream) if packet.size]
        gaps = [packet for packet in packets if is_gap("mov_text", bytes(packet))]
        assert gaps, "MP4 fills the tenth of a second between the texts"
        converter = SubtitleConverter(stream, "subrip")
        assert [converter.convert(packet) for packet in gaps] == [None] * len(gaps)


def test_spoken_text_is_what_is_read_out(tmp_path: Path) -> None:
    path = srt(tmp_path, "<i>slanted</i>, and a comma", "two\nlines {really}")
    with av.open(str(path)) as file:
        stream = file.streams.subtitles[0]
        said = [spoken_text(stream, packet) for packet in file.demux(stream) if packet.size]
    assert said == ["slanted, and a comma", "two\nlines {really}"]
