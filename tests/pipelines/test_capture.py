"""Pipes into files: whole and proven, also when somebody stops them, or not there at all."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.pipelines.piping import numbers_of, sound_of, streamed, through, times_of, y4m_of
from tests.synthetic import make_video
from vidsr.config import EncodeConfig
from vidsr.errors import InputError, OutputError, UsageError, VidsrError
from vidsr.pipelines import capture

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors are swapped as POSIX has them")

FAST = EncodeConfig(preset="ultrafast")


def test_y4m_becomes_a_proven_file(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    passed = through(y4m_of("yuv420p:420mpeg2", frames=6), target, encode=FAST)
    assert passed.data == b""
    assert numbers_of(target) == list(range(6))
    assert times_of(target) == [Fraction(i, 25) for i in range(6)]
    assert "6 frames, each at its time" in passed.report.checks
    assert passed.report.faithfulness.moments
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("form", ["nut", "matroska"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".nut"])
def test_sound_stays_where_it_is(tmp_path: Path, form: str, suffix: str) -> None:
    source = make_video(tmp_path / "in.mkv", frames=8, audio=["deu"], start=10)
    sent = streamed(source, form)
    target = tmp_path / f"out{suffix}"
    through(sent, target, encode=FAST)
    assert [data for _, data in sound_of(target)] == [data for _, data in sound_of(sent)]
    apart = [
        (sound_of(data)[0][0] - times_of(data)[0], times_of(data)[-1] - times_of(data)[0])
        for data in (sent, target)
    ]
    for before, after in zip(*apart, strict=True):
        assert abs(before - after) <= Fraction(1, 500)
    with av.open(str(target)) as result:
        assert result.streams.audio[0].metadata["language"] == "deu"


def test_everything_else_comes_along(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mkv",
        frames=30,
        audio=1,
        subtitles=["eng"],
        chapters=[(0, 0.5, "one"), (0.5, 1, "two")],
        attachments=[("a.ttf", "font/ttf", b"x" * 50)],
        metadata={"title": "film"},
    )
    target = tmp_path / "out.mkv"
    report = through(source.read_bytes(), target, encode=FAST).report
    with av.open(str(target)) as result:
        kinds = [stream.type for stream in result.streams]
        assert kinds == ["video", "audio", "subtitle", "attachment"]
        assert [chapter["metadata"]["title"] for chapter in result.chapters()] == ["one", "two"]
        assert result.metadata["title"] == "film"
        assert not any("_" in stream.metadata.get("title", "") for stream in result.streams)
    assert "2 chapters" in report.checks


@pytest.mark.parametrize("name", ["out.mkv", "out.nut"])
def test_raw_frames_can_be_kept(tmp_path: Path, name: str) -> None:
    raw = EncodeConfig(codec="rawvideo")
    report = through(y4m_of("yuv422p:422"), tmp_path / name, encode=raw).report
    assert numbers_of(tmp_path / name) == [0, 1, 2]
    assert report.encoding["pixel_format"] == "yuv422p"


def test_the_end_of_a_cut_pipe_is_the_end_of_the_file(tmp_path: Path) -> None:
    """Whoever sends may die at any byte; what came whole is kept."""
    data = y4m_of("yuv420p:420mpeg2", frames=5)
    target = tmp_path / "out.mp4"
    through(data[:-100], target, encode=FAST)
    assert numbers_of(target) == list(range(4))


def test_what_cannot_go_into_the_file_is_refused_before_the_first_frame(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", frames=3, attachments=[("a.ttf", "font/ttf", b"x" * 50)])
    data = source.read_bytes()
    (tmp_path / "there.mp4").write_bytes(b"x")
    plain = y4m_of("yuv420p:420mpeg2", frames=2)
    refused: list[tuple[bytes, str, type[VidsrError], str]] = [
        (data, "out.mp4", OutputError, "attachment"),
        (plain, "out.avi", OutputError, "write to .mkv"),
        (plain, "%05d.png", UsageError, "ffmpeg -i - "),
        (plain, "out.txt", UsageError, "no video file"),
        (plain, "there.mp4", OutputError, "exists already"),
        (b"", "out.mp4", InputError, "is empty"),
    ]
    for sent, name, kind, words in refused:
        with pytest.raises(kind, match=words):
            through(sent, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "there.mp4"]


def test_an_interrupt_before_the_file_is_begun_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end was waited for, which nobody would bring about."""

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(capture, "enlarge_pieces", interrupted)
    with pytest.raises(KeyboardInterrupt):
        through(y4m_of("yuv420p:420mpeg2"), tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    first = make_video(tmp_path / "a.ts", frames=30)
    second = make_video(tmp_path / "b.ts", frames=30, size=(64, 96))
    with pytest.raises(InputError, match="standard input: the picture changes its size"):
        through(first.read_bytes() + second.read_bytes(), tmp_path / "out.mp4", encode=FAST)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ts", "b.ts"]
