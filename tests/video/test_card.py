"""The card's decoder as far as it can be seen without a card: the same frames, and when it is let go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from av.codec.hwaccel import hwdevices_available
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tests.synthetic import corrupt, make_video
from tests.video.pretend_card import PretendCard, pretend
from vidsr.errors import BackendUnavailable, InputError
from vidsr.frames import FrameBatch
from vidsr.video import card as card_module
from vidsr.video.card import find_card
from vidsr.video.reader import VideoReader

KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"bframes": 2},
    "odd.mkv": {"size": (46, 62), "bframes": 2},
    "full_range.mp4": {"pix_fmt": "yuvj420p"},
    "hevc10.mkv": {"codec": "libx265", "pix_fmt": "yuv420p10le", "bframes": 2},
    "vp9.webm": {},
    "interlaced.mkv": {"interlaced": True},
}


def frames_of(reader: VideoReader, **options: Any) -> list[FrameBatch]:
    return list(reader.batches(1, **options))


def same(one: list[FrameBatch], other: list[FrameBatch]) -> bool:
    if [(b.pts, b.durations, b.color) for b in one] != [(b.pts, b.durations, b.color) for b in other]:
        return False
    return all(all(map(np.array_equal, a.planes, b.planes)) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_frames_of_the_card_are_those_of_software(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / name, frames=30, **KINDS[name])
    pretended = pretend(monkeypatch)
    software = VideoReader(path)
    reader = VideoReader(path, hwaccel="auto", card=pretended)
    assert reader.on_card
    assert reader.info == software.info
    probed = pretended.given
    assert probed == 25
    assert same(frames_of(reader), frames_of(software))
    assert pretended.given == probed + 30
    middle = software.timeline.pts[17]
    assert same(frames_of(reader, start_pts=middle), frames_of(software, start_pts=middle))
    assert (reader.errors, reader.converted, reader.notices) == (0, 0, [])


class Liar(PretendCard):
    """Gives one frame a wrong sample."""

    def _from_card(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        for number, frame in enumerate(super()._from_card(packets)):
            if number == 3:
                chroma = memoryview(frame.planes[1]).cast("B")
                chroma[5] ^= 1
            yield frame


class Software(PretendCard):
    """What FFmpeg does with a profile that no card knows."""

    def _from_card(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        return super(PretendCard, self)._from_card(packets)


class Blind(PretendCard):
    """Gives nothing."""

    def _from_card(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        for frame in super()._from_card(packets):
            if not frame:
                yield frame


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (Liar, "does not give frame 3 as software does"),
        (Blind, "does not give frame 0"),
        (Software, "decodes h264 like this in software alone"),
    ],
)
def test_a_card_that_gives_something_else_is_not_taken(
    card: type[PretendCard], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.mp4", frames=8)
    pretend(monkeypatch)
    reader = VideoReader(path, hwaccel="auto", card=card)
    assert not reader.on_card
    assert len(reader.notices) == 1
    assert reason in reader.notices[0]
    assert same(frames_of(reader), frames_of(VideoReader(path)))
    with pytest.raises(InputError, match=f"a.mp4: --hwaccel cuda: .*{reason}"):
        VideoReader(path, hwaccel="cuda", card=card)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("a.mpg", {}, "decoders of mpeg2video need not agree"),
        ("a.mkv", {"codec": "libx264", "pix_fmt": "yuv444p"}, "not yuv444p"),
        ("a.mkv", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}, "decoders of prores"),
    ],
)
def test_streams_that_no_card_decodes_exactly_are_not_tried(
    name: str, options: dict[str, Any], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / name, frames=2, **options)
    pretended = pretend(monkeypatch)
    reader = VideoReader(path, hwaccel="auto", card=pretended)
    assert not reader.on_card
    assert reason in reader.notices[0]
    assert pretended.opened == 0


class Failing(PretendCard):
    """Gives up after some frames, as a card does that another program takes away."""

    def _from_card(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        for number, frame in enumerate(super()._from_card(packets)):
            if number == 26:
                self.damage += 1  # what Decoding counts when a packet is refused
            yield frame


@pytest.mark.parametrize("start", [None, 20])
def test_where_the_card_fails_software_goes_on(
    start: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.mp4", frames=60, bframes=2, options={"x264-params": "keyint=6"})
    pretend(monkeypatch)
    reader = VideoReader(path, hwaccel="cuda", card=Failing)
    assert reader.on_card
    start_pts = None if start is None else reader.timeline.pts[start]
    expected = frames_of(VideoReader(path), start_pts=start_pts)
    assert same(frames_of(reader, start_pts=start_pts), expected)
    assert not reader.on_card
    assert "went on in software" in reader.notices[0]
    assert reader.errors == 0
    assert same(frames_of(reader), frames_of(VideoReader(path)))  # from now on without the card
    assert len(reader.notices) == 1


@pytest.mark.parametrize("container", ["mkv", "ts"])
def test_damage_is_left_to_software(
    container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"x264-params": "keyint=6"}
    path = make_video(tmp_path / f"a.{container}", frames=90, options=options)
    corrupt(path, at=0.7, length=900)
    pretended = pretend(monkeypatch)
    software = VideoReader(path)
    expected = frames_of(software)
    assert software.errors > 0
    reader = VideoReader(path, hwaccel="auto", card=pretended)
    assert reader.on_card == (container == "mkv")  # a transport stream tells of it beforehand
    found = frames_of(reader)
    assert [batch.pts for batch in found] == [batch.pts for batch in expected]
    # What software shows of a damaged group itself depends on what it decoded before.
    assert same(found[:60], expected[:60])
    assert same(found[72:], expected[72:])
    assert not reader.on_card
    assert reader.errors == software.errors
    assert "damage" in reader.notices[0]


def test_without_a_driver_one_line_says_so(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert "cuda" in hwdevices_available()  # PyAV's wheels can decode there; the driver is missing
    path = make_video(tmp_path / "a.mp4", frames=2)
    with pytest.raises(BackendUnavailable) as refusal:
        VideoReader(path, hwaccel="cuda")
    assert str(refusal.value) == (
        f"{path}: --hwaccel cuda: FFmpeg finds no NVIDIA GPU or driver; leave it out"
    )


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["h264.mp4", "hevc10.mkv", "vp9.webm", "full_range.mp4"])
def test_a_real_card_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    try:
        find_card()
    except BackendUnavailable as reason:
        if os.environ.get("VIDSR_REQUIRE_GPU") == "1":
            pytest.fail(f"VIDSR_REQUIRE_GPU=1, but {reason}")
        pytest.skip(str(reason))
    path = make_video(tmp_path / name, frames=60, **KINDS[name] | {"size": (272, 480)})
    reader = VideoReader(path, hwaccel="cuda")
    assert same(frames_of(reader), frames_of(VideoReader(path)))
    assert reader.on_card
    assert card_module.FROM_CARD[reader.info.pixel_format] in ("nv12", "p010le")
