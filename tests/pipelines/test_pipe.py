"""Pipes out: real ones of the operating system over standard input and output, PyAV on their ends."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.inference.nearest import NearestBackend
from tests.pipelines.piping import (
    frames_of,
    numbers_of,
    planes_of,
    sound_of,
    streamed,
    through,
    times_of,
    y4m_of,
)
from tests.synthetic import make_video
from vidsr.arrays import Array
from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.errors import InputError, OutputError, UsageError, VidsrError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors are swapped as POSIX has them")


def test_y4m_in_is_y4m_out() -> None:
    passed = through(y4m_of("yuv420p:420mpeg2", words="F30000:1001 Ip A4:3"))
    assert passed.data.startswith(
        b"YUV4MPEG2 W128 H96 F30000:1001 Ip A4:3 C420mpeg2 XCOLORRANGE=LIMITED\nFRAME\n"
    )
    assert numbers_of(passed.data) == [0, 1, 2]
    assert times_of(passed.data) == [Fraction(1001 * i, 30000) for i in range(3)]
    assert (passed.report.frames, passed.report.output) == (3, "standard output")
    assert any("taken for BT.601, limited range" in notice for notice in passed.notices)


@pytest.mark.parametrize(
    "form",
    [
        *("yuv420p:420jpeg", "yuv420p:420paldv", "yuv422p:422", "yuv444p:444", "yuv411p:411"),
        *("yuv420p9le:420p9", "yuv420p10le:420p10", "yuv422p12le:422p12", "yuv444p14le:444p14"),
        *("yuv420p16le:420p16", "gray:mono", "gray10le:mono10", "gray16le:mono16"),
    ],
)
def test_every_form_of_y4m_comes_out_as_it_went_in(form: str) -> None:
    sent = y4m_of(form, frames=1, words="F25:1 Ip A1:1 XCOLORRANGE=FULL")
    passed = through(sent)
    first = passed.data.partition(b"\n")[0].decode()
    assert first.split(" ")[-2:] == [f"C{form.partition(':')[2]}", "XCOLORRANGE=FULL"]
    before, after = (planes_of(frames_of(data)[0]) for data in (sent, passed.data))
    depth = frames_of(sent)[0].format.components[0].bits
    for old, new in zip(before[:1], after[:1], strict=True):
        larger = old.repeat(2, 0).repeat(2, 1).astype(int)
        assert np.abs(larger - new).max() <= 2 << (depth - 8)


def test_alpha_of_y4m_is_read_and_kept_where_the_output_can() -> None:
    sent = y4m_of("yuva444p:444alpha", frames=1)
    assert frames_of(through(sent, format="nut").data)[0].format.name == "yuva444p"
    passed = through(sent)
    assert b" C444 " in passed.data[:80]
    assert any("alpha channel is left out" in notice for notice in passed.notices)


def test_y4m_without_tags_keeps_its_look_when_it_grows_beyond_standard_definition() -> None:
    """What players take for BT.601 comes in; what they take for BT.709 goes out."""
    passed = through(y4m_of("yuv444p:444", frames=4, size=(16, 640)))
    assert b" W1280 H32 " in passed.data[:40]
    assert numbers_of(passed.data, src_colorspace="ITU709") == [0, 1, 2, 3]
    assert any("BT.601 becomes BT.709" in notice for notice in passed.notices)


def test_interlaced_y4m_is_deinterlaced() -> None:
    woven = through(y4m_of("yuv420p:420mpeg2", frames=4, words="F25:1 It A1:1"))
    assert numbers_of(woven.data) == [0, 1, 2, 3]
    assert b" Ip " in woven.data[:60]
    assert any("deinterlaced" in notice for notice in woven.notices)


def test_nut_keeps_times_and_sound(tmp_path: Path) -> None:
    pts = [0, 1, 5, 6, 7, 20, 21]
    clock = Fraction(1001, 60000)
    source = make_video(tmp_path / "in.mp4", frames=7, pts=pts, time_base=clock, audio=["deu"])
    sent = streamed(source, "nut")
    passed = through(sent)
    assert passed.data.startswith(b"nut/multimedia container\0")
    assert numbers_of(passed.data) == list(range(7))
    start = times_of(sent)[0]
    assert times_of(passed.data) == [start + time * clock for time in pts]
    assert sound_of(passed.data) == sound_of(sent)
    with av.open(io.BytesIO(passed.data)) as result:
        assert result.streams.audio[0].metadata["language"] == "deu"
        assert result.streams.video[0].codec_context.name == "rawvideo"


def test_matroska_keeps_everything(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mkv",
        frames=6,
        audio=["deu"],
        subtitles=["eng"],
        chapters=[(0, 0.1, "one")],
        attachments=[("a.ttf", "font/ttf", b"x" * 50)],
        metadata={"title": "film"},
        stream_metadata={"title": "main"},
        sar=Fraction(4, 3),
        matrix=9,
        primaries=9,
        transfer=16,
        pix_fmt="yuv420p10le",
    )
    passed = through(source.read_bytes())
    with av.open(io.BytesIO(passed.data)) as result:
        video = result.streams.video[0]
        context = video.codec_context
        assert (context.name, context.pix_fmt) == ("ffv1", "yuv420p10le")
        assert (int(context.colorspace), int(context.color_trc)) == (9, 16)
        assert video.sample_aspect_ratio == Fraction(4, 3)
        assert video.metadata["title"] == "main"
        assert [stream.type for stream in result.streams] == [
            *("video", "audio", "subtitle", "attachment")
        ]
        assert [chapter["metadata"]["title"] for chapter in result.chapters()] == ["one"]
        assert result.metadata["title"] == "film"
    assert sound_of(passed.data) == sound_of(source)
    assert numbers_of(passed.data, src_colorspace="BT2020") == list(range(6))


def test_a_file_goes_into_a_pipe_with_its_sound(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=8, audio=1, bframes=2)
    passed = through(source)
    assert passed.data.startswith(b"\x1a\x45\xdf\xa3")
    assert numbers_of(passed.data) == list(range(8))
    assert [data for _, data in sound_of(passed.data)] == [data for _, data in sound_of(source)]
    assert passed.report.input_frames == 8


def test_packets_with_b_frames_go_through_a_pipe(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=30)
    config = {"codec": "h264", "preset": "veryfast"}
    passed = through(source, format="matroska", encode=EncodeConfig(**config))
    assert numbers_of(passed.data) == list(range(30))
    assert times_of(passed.data) == [Fraction(i, 25) for i in range(30)]


def test_y4m_says_when_frames_are_not_evenly_spaced(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", frames=4, pts=[0, 1, 9, 10], audio=1)
    passed = through(source, format="y4m")
    assert numbers_of(passed.data) == [0, 1, 2, 3]
    assert sum("--fps" in notice for notice in passed.notices) == 1
    even = through(source, format="y4m", fps=Fraction(25))
    assert numbers_of(even.data) == [0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3]
    assert not any("--fps" in notice for notice in even.notices)


def test_a_constant_rate_out_of_a_pipe(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", frames=6, rate=50, start=25)
    passed = through(source.read_bytes(), format="nut", fps=Fraction(25))
    assert numbers_of(passed.data) == [0, 2, 4, 5]  # the last is always shown
    assert times_of(passed.data) == [Fraction(1, 2) + Fraction(i, 25) for i in range(4)]


def test_frames_go_on_as_they_come() -> None:
    """All that was sent comes back before anything more is sent: nothing waits for what follows."""
    data = y4m_of("yuv420p:420mpeg2", frames=6)
    head = data.index(b"\n") + 1
    size = (len(data) - head) // 6
    came = threading.Semaphore(0)
    counted = 0

    def sending() -> Iterator[bytes]:
        yield data[:head]
        for start in range(head, len(data), size):
            yield data[start : start + size]
            assert came.acquire(timeout=60)

    def on_bytes(received: bytes) -> None:
        nonlocal counted
        whole = (len(received) - received.index(b"\n") - 1) // (len(b"FRAME\n") + 96 * 128 * 3 // 2)
        for _ in range(counted, whole):
            came.release()
        counted = whole

    assert numbers_of(through(sending(), on_bytes=on_bytes).data) == list(range(6))


def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    for form in ("y4m", "nut", "matroska"):
        with pytest.raises(BrokenPipeError):
            through(y4m_of("yuv420p:420mpeg2", frames=200), format=form, read_most=1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello world\n", "not a video that can be read from a pipe"),
        (y4m_of("yuv420p:420mpeg2", words="F25:1 Im A1:1"), r"\(Im\) cannot be read"),
        (y4m_of("yuv420p:420x"), "C420x is not known"),
        (y4m_of("yuv420p:420mpeg2", frames=0), "standard input"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        through(data)
    assert "\n" not in str(refusal.value)


def test_a_pipe_that_is_cut_off_ends_with_the_last_whole_frame() -> None:
    passed = through(y4m_of("yuv420p:420mpeg2", frames=3)[:-100])
    assert numbers_of(passed.data) == [0, 1]


def test_options_that_a_pipe_cannot_have(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    refused: list[tuple[type[VidsrError], str, dict[str, Any]]] = [
        (UsageError, "y4m is raw video", {"format": "y4m", "encode": EncodeConfig(codec="h264")}),
        (UsageError, "no such scale", {"format": "nut", "encode": EncodeConfig(crf=3)}),
        (OutputError, "does not hold prores", {"format": "nut", "encode": EncodeConfig(codec="prores")}),
    ]
    for kind, words, options in refused:
        with pytest.raises(kind, match=words):
            through(source, **options)
    with pytest.raises(UsageError, match="needs - as OUTPUT"):
        UpscaleConfig(source, tmp_path / "out.mp4", format="y4m")


def test_what_a_library_prints_is_not_in_the_stream(tmp_path: Path) -> None:
    class Chatty(NearestBackend):
        def __call__(self, lr: Array) -> Array:
            os.write(1, b"hello from a library\n")
            return super().__call__(lr)

    passed = through(y4m_of("yuv420p:420mpeg2"), backend=Chatty)
    assert b"hello" not in passed.data
    assert numbers_of(passed.data) == [0, 1, 2]
