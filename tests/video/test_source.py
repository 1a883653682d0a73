from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.synthetic import make_video
from vidsr.errors import InputError
from vidsr.video.source import main_video_stream, open_input, video_streams

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c63680000008200817723d3720000000049454e44ae426082"
)


def refusal(path: Path) -> str:
    """The one line that opening a file is refused with."""
    with pytest.raises(InputError) as caught, open_input(path):
        pass
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_what_is_no_file_is_refused_by_name(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "no such file" in refusal(tmp_path / "absent.mp4")
    assert "directory" in refusal(tmp_path)
    assert "empty" in refusal(empty)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=1)
    path.chmod(0)
    assert "permission" in refusal(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"Dear diary\n" * 100),
        ("a.mp4", b"Dear diary\n" * 100),
        ("a.bin", bytes(range(256)) * 40),
        ("a.mp4", make_video.__doc__.encode() if make_video.__doc__ else b"text"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert "not a video" in refusal(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nreal.ts\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile 'real.ts'\n"),
        ("list.mpd", "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>\n"),
        (
            "list.sdp",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        ),
    ],
)
def test_playlists_that_name_other_files_are_not_followed(tmp_path: Path, name: str, text: str) -> None:
    make_video(tmp_path / "real.ts", frames=3)
    path = tmp_path / name
    path.write_text(text)
    assert "playlist" in refusal(path)


@pytest.mark.parametrize("name", ["http:a.mp4", "concat:a.mp4", "pipe:0.mp4", "50%02d.mp4"])
def test_a_name_that_looks_like_a_protocol_or_a_pattern_is_a_file_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video(tmp_path / "a.mp4", frames=2).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_input(Path(name)) as container:
        assert len(container.streams.video) == 1


def test_tags_that_are_no_utf8_do_not_hinder(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", frames=1, metadata={"title": "caf\u00e9!"})
    path.write_bytes(path.read_bytes().replace("caf\u00e9!".encode(), b"caf\xe9!!"))
    with open_input(path) as container:
        assert container.metadata["title"].startswith("caf\ufffd")


def test_the_default_stream_is_the_main_one_unless_a_number_is_given(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", frames=2, extra_videos=[2], audio=1)
    with open_input(path) as container:
        assert len(video_streams(container)) == 2
        assert main_video_stream(container, path).index == 0
        assert main_video_stream(container, path, 1).index == 1
        with pytest.raises(InputError, match=r"2 video stream\(s\).*not 2"):
            main_video_stream(container, path, 2)


def test_cover_art_is_no_video_stream(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=2, cover=PNG)
    with open_input(path) as container:
        assert len(container.streams.video) == 2
        assert len(video_streams(container)) == 1
        with pytest.raises(InputError, match="1 video stream"):
            main_video_stream(container, path, 1)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000)
        frame = av.AudioFrame(format="s16", layout="stereo", samples=1024)
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
    with open_input(path) as source, pytest.raises(InputError, match=r"no video stream \(only audio\)"):
        main_video_stream(source, path)
