"""Every check of the proof is seen to refuse: a joined file is changed in one point at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition

from tests.synthetic import make_video
from tests.video.joining import FAST, Joined, join_clip
from vidsr.errors import InputError, ProofError
from vidsr.video.payload import frame_samples, payload
from vidsr.video.proof import prove

Change = Callable[[int, "Packet[Any]"], "Packet[Any] | None"]  # (number within its stream, packet)
Setup = Callable[[InputContainer, OutputContainer], None]

VIDEO, OTHER, AUDIO, TEXT = 0, 1, 2, 3


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Joined:
    """A source with two videos, sound, text, chapters and tags, joined into an MP4 and right."""
    folder = tmp_path_factory.mktemp("proof")
    source = make_video(
        folder / "in.mp4",
        frames=20,
        audio=["eng"],
        subtitles=["eng"],
        chapters=[(0.0, 0.3, "One"), (0.3, 0.8, "Two")],
        metadata={"title": "A film"},
        extra_videos=[6],
        sar=Fraction(4, 3),
        rotation=90,
    )
    return join_clip(source, folder / "out.mp4")


def rewrite(
    joined: Joined,
    path: Path,
    *,
    index: int = VIDEO,
    change: Change | None = None,
    leave_out: int | None = None,
    setup: Setup | None = None,
    last_first: bool = False,
) -> Path:
    """A copy of the joined file, in which one stream's packets or one thing of its header differ."""
    with (
        av.open(str(joined.result)) as old,
        av.open(
            str(path),
            "w",
            container_options={"avoid_negative_ts": "disabled", "movie_timescale": "48000"},
        ) as new,
    ):
        copies = {}
        for stream in old.streams:
            if stream.type != "data" and stream.index != leave_out:
                copy = new.add_stream_from_template(stream, opaque=True)
                copy.metadata.update(stream.metadata)
                copy.disposition = stream.disposition
                copies[stream.index] = copy
        new.metadata.update(title=old.metadata["title"])
        new.set_chapters(old.chapters())
        if setup is not None:
            setup(old, new)
        numbers = dict.fromkeys(copies, -1)
        for packet in old.demux([old.streams[number] for number in copies]):
            number = packet.stream.index
            if packet.size == 0:
                continue
            numbers[number] += 1
            kept: Packet[Any] | None = packet
            if change is not None and number == index:
                kept = change(numbers[number], packet)
            if kept is not None:
                kept.stream = copies[number]
                new.mux(kept)
    return path


def late(seconds: Fraction, first: int = 0) -> Change:
    def change(number: int, packet: Packet[Any]) -> Packet[Any]:
        if number >= first and packet.pts is not None and packet.dts is not None:
            ticks = round(seconds / (packet.time_base or 1))
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
        return packet

    return change


def without(*places: int) -> Change:
    return lambda number, packet: None if number in places else packet


def other_bytes(place: int) -> Change:
    def change(number: int, packet: Packet[Any]) -> Packet[Any]:
        if number != place:
            return packet
        data = bytearray(bytes(packet))
        data[-1] ^= 1
        copy: Packet[Any] = Packet(bytes(data))
        copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
        copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
        return copy

    return change


def refused(joined: Joined, path: Path, reason: str) -> None:
    with pytest.raises(ProofError, match=reason) as refusal:
        joined.prove(path)
    assert str(path) in str(refusal.value)


def test_a_right_file_is_proven_with_numbers(joined: Joined) -> None:
    report = joined.prove()
    assert (report.frames, report.missing_frames, report.streams, report.chapters) == (20, 0, 3, 2)
    assert report.time_error_s == 0
    assert report.sync_error_s < 0.0001
    assert report.duration_s == pytest.approx(0.8)
    assert report.packets > 6 + 30
    assert len(report.checks) == 9


def test_a_copy_of_a_right_file_is_right(joined: Joined, tmp_path: Path) -> None:
    # Else every refusal below could be the copying's own fault.
    assert joined.prove(rewrite(joined, tmp_path / "same.mp4")).frames == 20


@pytest.mark.parametrize(
    ("name", "index", "change", "reason"),
    [
        ("last frame gone", VIDEO, without(19), "19 frames, not 20"),
        ("a frame in the middle gone", VIDEO, without(9), "19 frames, not 20"),
        ("frames late", VIDEO, late(Fraction(1, 50), first=15), "frame 1[0-9] is shown at"),
        ("sound 2 ms late", AUDIO, late(Fraction(2, 1000)), "2.000 ms off against the video"),
        ("sound 2 ms early", AUDIO, late(Fraction(-2, 1000)), "2.000 ms off against the video"),
        ("sound late in the middle", AUDIO, late(Fraction(3, 1000), 20), "first in packet 20"),
        ("last sound gone", AUDIO, without(38), "audio stream 2 .*packets of .* in the source these"),
        ("a sound in the middle gone", AUDIO, without(10), "audio stream 2 .*packets of"),
        ("other sound", AUDIO, other_bytes(10), "does not hold the same bytes"),
        ("a frame of the other video gone", OTHER, without(5), "video stream 1 .*packets of"),
        ("other video late", OTHER, late(Fraction(1, 25)), "video stream 1 .* 40.000 ms off"),
        ("a text gone", TEXT, without(0), "subtitle stream 3 .*packets"),
        ("another text", TEXT, other_bytes(0), "subtitle stream 3 .*same bytes"),
        ("text late", TEXT, late(Fraction(1, 10)), "subtitle stream 3 .* 100.000 ms off"),
    ],
)
def test_a_change_of_packets_is_found(
    joined: Joined, tmp_path: Path, name: str, index: int, change: Change, reason: str
) -> None:
    path = rewrite(joined, tmp_path / f"{name}.mp4", index=index, change=change)
    refused(joined, path, reason)


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (TEXT, "subtitle stream 3 .* is missing"),
        (AUDIO, r"audio stream 2 \(aac, eng\) is subtitle"),
        (OTHER, r"video stream 1 \(mpeg4\) is audio"),
    ],
)
def test_a_stream_that_is_gone_is_found(joined: Joined, tmp_path: Path, index: int, reason: str) -> None:
    refused(joined, rewrite(joined, tmp_path / "less.mp4", leave_out=index), reason)


def test_a_stream_that_nobody_planned_is_found(joined: Joined) -> None:
    plan = dataclasses.replace(joined.plan, streams=joined.plan.streams[:TEXT])
    refused(dataclasses.replace(joined, plan=plan), joined.result, "1 streams too many, first subtitle")


def one_chapter(old: InputContainer, new: OutputContainer) -> None:
    new.set_chapters(old.chapters()[:1])


def late_chapter(old: InputContainer, new: OutputContainer) -> None:
    first, second = old.chapters()
    new.set_chapters([first, {**second, "start": second["start"] + 20}])


def renamed_chapter(old: InputContainer, new: OutputContainer) -> None:
    first, second = old.chapters()
    new.set_chapters([first, {**second, "metadata": {"title": "Deux"}}])


def other_language(old: InputContainer, new: OutputContainer) -> None:
    new.streams[AUDIO].metadata["language"] = "fra"


def other_title(old: InputContainer, new: OutputContainer) -> None:
    new.metadata["title"] = "Another film"


def other_mark(old: InputContainer, new: OutputContainer) -> None:
    new.streams[AUDIO].disposition = Disposition.default | Disposition.hearing_impaired


def upright(old: InputContainer, new: OutputContainer) -> None:
    new.streams.video[0].set_display_rotation(0)


@pytest.mark.parametrize(
    ("setup", "reason"),
    [
        (one_chapter, "1 chapters, not 2"),
        (late_chapter, "chapter 1 begins at 0.320 s, not 0.300 s"),
        (renamed_chapter, "chapter 1 is called 'Deux', not 'Two'"),
        (other_language, "stream 2 has lost the tag language='eng'"),
        (other_title, "file has lost the tag title='A film'"),
        (other_mark, "audio stream 2 .* is marked default.hearing_impaired.*, not default"),
        (upright, "turned by the matrix"),
    ],
)
def test_a_change_of_the_header_is_found(
    joined: Joined, tmp_path: Path, setup: Setup, reason: str
) -> None:
    refused(joined, rewrite(joined, tmp_path / "header.mp4", setup=setup), reason)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("width", 128, "frames are 64x48, not 128x48"),
        ("sample_aspect_ratio", Fraction(1), "pixels are 4/3, not 1"),
        ("display_matrix", None, "turned by the matrix"),
        ("video_codec", "hevc", ""),
        ("shift", Fraction(1, 1000), "frame 0 is shown at 0.000000 s, not at 0.001000 s"),
    ],
)
def test_a_picture_that_was_not_planned_is_found(
    joined: Joined, field: str, value: object, reason: str
) -> None:
    change: dict[str, Any] = {field: value}
    if field == "video_codec":
        streams = (dataclasses.replace(joined.plan.main, target_codec="hevc"), *joined.plan.streams[1:])
        change, reason = {"streams": streams}, r"video stream 0 .* is video \(h264\), not hevc"
    other = dataclasses.replace(joined, plan=dataclasses.replace(joined.plan, **change))
    refused(other, joined.result, reason)


def test_another_colour_is_found(joined: Joined) -> None:
    color = joined.plan.color._replace(transfer=16)
    plan = dataclasses.replace(joined.plan, color=color)
    refused(dataclasses.replace(joined, plan=plan), joined.result, "the colour is tagged .*transfer=16")


def test_a_last_frame_that_does_not_decode_is_found(joined: Joined, tmp_path: Path) -> None:
    def ruin(number: int, packet: Packet[Any]) -> Packet[Any]:
        if number < 15:
            return packet
        copy: Packet[Any] = Packet(b"\0\0\0\x05" + b"\xff" * 5)
        copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
        copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
        return copy

    path = rewrite(joined, tmp_path / "ruined.mp4", change=ruin)
    refused(joined, path, "last frame does not decode|cannot be read back")


def test_a_file_that_cannot_be_opened_is_no_proof(joined: Joined, tmp_path: Path) -> None:
    path = tmp_path / "words.mp4"
    path.write_text("This was to be a film.")
    refused(joined, path, "not a video file|not a media file")
    refused(joined, tmp_path / "nothing.mp4", "no such file")


def test_a_source_that_went_away_is_an_input_error(joined: Joined, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.mp4: no such file"):
        dataclasses.replace(joined, source=tmp_path / "gone.mp4").prove()


def test_two_frames_at_one_time_are_found(tmp_path: Path) -> None:
    joined = join_clip(make_video(tmp_path / "in.mkv", frames=6), tmp_path / "out.mkv")
    doubled = tmp_path / "doubled.mkv"
    with av.open(str(joined.result)) as old, av.open(str(doubled), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0], opaque=True)
        copy.disposition = Disposition.default
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.pts = packet.dts = 80 if packet.pts == 120 else packet.pts
                packet.stream = copy
                packet.dts = None
                new.mux(packet)
    refused(joined, doubled, r"two frames are shown at 0\.080000 s")


def against(joined: Joined, source_pts: list[int], errors: int) -> int:
    report = prove(
        joined.source,
        joined.result,
        joined.plan,
        joined.pts,
        joined.time_base,
        source_pts=source_pts,
        decode_errors=errors,
    )
    return report.missing_frames


def test_frames_of_the_source_may_be_missing_only_where_decoding_failed(joined: Joined) -> None:
    promised = [*joined.pts, joined.pts[-1] + 512, joined.pts[-1] + 1024]
    assert against(joined, promised, errors=2) == 2
    assert against(joined, promised, errors=1) == 2  # one packet may take its whole group along
    with pytest.raises(
        ProofError, match="2 frames of the source are missing, and only 0 decoding errors"
    ):
        against(joined, promised, errors=0)
    lost = [*joined.pts, *(joined.pts[-1] + 512 * i for i in range(1, 302))]
    with pytest.raises(ProofError, match="301 frames of the source are missing"):
        against(joined, lost, errors=1)
    fewer = [pts for pts in joined.pts if pts != 512]
    assert against(joined, fewer, errors=1) == 0
    with pytest.raises(ProofError, match="1 frames at times the source does not have, first 512"):
        against(joined, fewer, errors=0)


@pytest.mark.parametrize("wrong", ["font", "name", "none"])
def test_attached_files_are_compared_byte_by_byte(tmp_path: Path, wrong: str) -> None:
    def source(name: str, font: tuple[str, str, bytes] | None) -> Path:
        return make_video(tmp_path / name, frames=6, attachments=[font] if font else [])

    joined = join_clip(source("in.mkv", ("f.ttf", "font/ttf", b"abcdef")), tmp_path / "out.mkv")
    assert joined.prove().attachments == 1
    other, reason = {
        "font": (("f.ttf", "font/ttf", b"abcdeX"), "'f.ttf' does not hold the same bytes"),
        "name": (("g.ttf", "font/ttf", b"abcdef"), "'f.ttf' is missing"),
        "none": (None, "'f.ttf' is missing"),
    }[wrong]
    forged = join_clip(source("other.mkv", other), tmp_path / "other_out.mkv")
    refused(joined, forged.result, reason)


def test_converted_text_must_say_the_same(tmp_path: Path) -> None:
    joined = join_clip(
        make_video(tmp_path / "in.mkv", subtitles=["eng"], frames=6), tmp_path / "out.mp4"
    )
    joined.prove()
    other = join_clip(
        make_video(tmp_path / "other.mkv", subtitles=["deu"], frames=6), tmp_path / "other.mp4"
    )
    words = dataclasses.replace(
        joined,
        plan=dataclasses.replace(joined.plan, lost=("stream 1: language",), streams=joined.plan.streams),
    )
    refused(words, other.result, "subtitle stream 1 .*does not say the same any more, from text 0 on")


def test_sound_that_goes_on_behind_its_end_is_found(tmp_path: Path) -> None:
    # 31 frames are 58.125 AAC packets: Matroska says how much of the last one is not to be heard.
    joined = join_clip(make_video(tmp_path / "in.mp4", audio=1, frames=31), tmp_path / "out.mkv")
    joined.prove()
    longer = tmp_path / "longer.mkv"
    options = {"avoid_negative_ts": "disabled", "default_mode": "passthrough"}
    with (
        av.open(str(joined.result)) as old,
        av.open(str(longer), "w", container_options=options) as new,
    ):
        copies = [new.add_stream_from_template(stream, opaque=True) for stream in old.streams]
        for stream, copy in zip(old.streams, copies, strict=True):
            copy.metadata.update(stream.metadata)
            copy.disposition = stream.disposition
        for packet in old.demux():
            if packet.size and (packet.pts or 0) <= 0:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)  # with the side data that says how the stream begins
            elif packet.size:
                bare: Packet[Any] = Packet(bytes(packet))
                bare.pts, bare.dts, bare.duration = packet.pts, packet.dts, packet.duration
                bare.time_base, bare.is_keyframe = packet.time_base, packet.is_keyframe
                bare.stream = copies[packet.stream.index]
                new.mux(bare)
    refused(joined, longer, r"audio stream 1 \(aac\) ends (18|19)\.\d+ ms off")


def test_aac_is_compared_without_its_wrapping(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.ts", audio=1, audio_codec="aac", frames=6)
    joined = join_clip(source, tmp_path / "out.mp4", encode=FAST)
    said = []
    for path in (source, joined.result):
        with av.open(str(path)) as file:
            stream = file.streams.audio[0]
            datas = [bytes(packet) for packet in file.demux(stream) if packet.size]
            said.append([payload(stream, data) for data in datas])
            assert frame_samples(stream, datas[0]) == 1024
    assert said[0] == said[1]


def test_video_is_compared_without_its_wrapping(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=6)
    wrapped = tmp_path / "out.ts"
    with av.open(str(source)) as old, av.open(str(wrapped), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = copy
                new.mux(packet)
    said = []
    for path in (source, wrapped):
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            said.append([payload(stream, bytes(packet)) for packet in file.demux(stream) if packet.size])
    assert said[0] == said[1]
    assert all(said[0])
