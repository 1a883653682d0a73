from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import AttachmentStream, Disposition

from tests.synthetic import decoded_numbers, decoded_pts, make_video, truncate
from tests.video.joining import CLIPS, FAST, Joined, join_clip, write_segments
from vidsr.config import EncodeConfig
from vidsr.errors import IncompatibleStreams, OutputError, UsageError
from vidsr.frames import ColorSpec, VideoInfo
from vidsr.progress import Advanced, Event, Finished, Notice, Started
from vidsr.video.remux import join, plan_remux
from vidsr.video.writer import SegmentRecord, record_path

FONT = ("Font.ttf", "font/ttf", bytes(range(256)) * 5)
RICH: dict[str, Any] = {
    "audio": ["eng", "deu"],
    "subtitles": ["eng", "fra"],
    "chapters": [(0.0, 0.2, "One"), (0.2, 0.48, "Two")],
    "metadata": {"title": "A film", "artist": "Somebody", "mood": "calm"},
    "stream_metadata": {"title": "Main picture", "language": "ita"},
    "extra_videos": [6],
}
OUTPUT = VideoInfo(64, 48, Fraction(1, 25), Fraction(25), None, ColorSpec())


def packets(path: Path, index: int) -> list[Any]:
    with av.open(str(path)) as file:
        return [packet for packet in file.demux(file.streams[index]) if packet.size]


def heard(path: Path, track: int = 0) -> np.ndarray[Any, Any]:
    """All samples that a player would hear, (channels, samples)."""
    with av.open(str(path)) as file:
        return np.concatenate([frame.to_ndarray() for frame in file.decode(audio=track)], axis=1)


def times_of(joined: Joined) -> list[Fraction]:
    """When each frame of the result is shown, seconds."""
    with av.open(str(joined.result)) as file:
        base = file.streams.video[0].time_base
    assert base is not None
    return [pts * base for pts in decoded_pts(joined.result) if pts is not None]


SOURCES: Mapping[str, Mapping[str, Any]] = {
    "plain.mp4": {},
    "one_frame.mp4": {"frames": 1},
    "b_frames.mp4": {"bframes": 2, "audio": 1, "frames": 23},
    "variable.mkv": {
        "pts": [0, 1, 2, 7, 30, 31, 90, 91, 200, 201, 202, 500],
        "time_base": Fraction(1, 1000),
    },
    "late_audio.mp4": {"audio": 1, "audio_start_s": 0.4},
    "late_video.mp4": {"start": 7, "rate": 24, "audio": 1},
    "late_video.mkv": {"start": 7, "audio": 2},
    "late_both.mkv": {"start": 10, "audio": 1, "audio_start_s": 0.4},
    "transport.ts": {"audio": 1, "audio_codec": "aac"},
    "old.avi": {"audio": 1, "audio_codec": "libmp3lame"},
    "pcm.mov": {"audio": 1, "audio_codec": "pcm_s16le"},
    "opus.webm": {"audio": 1},
    "turned.mp4": {"rotation": 90},
    "anamorphic.mkv": {"sar": Fraction(16, 11)},
    "rich.mkv": RICH,
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("name", SOURCES)
def test_every_frame_keeps_its_place_and_its_time(tmp_path: Path, name: str, suffix: str) -> None:
    kind = SOURCES[name]
    source = make_video(tmp_path / name, **kind)
    joined = join_clip(source, tmp_path / f"out{suffix}", drop_incompatible=True)
    report = joined.prove()
    assert joined.plan.shift == 0
    assert decoded_numbers(joined.result) == list(range(kind.get("frames", 12)))
    due = [pts * joined.time_base for pts in joined.pts]
    tick = Fraction(1, 1000) if suffix == ".mkv" else Fraction(0)
    assert all(abs(a - b) <= tick / 2 for a, b in zip(times_of(joined), due, strict=True))
    assert report.frames == len(due)
    assert report.sync_error_s < 0.001


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    "clip",
    [
        "bunny_320x180_h264_aac.mp4",
        "flower_480x270_h264_aac_subs_chapters.mp4",
        "dog_320x180_hevc10.mp4",
        "coffee_426x240_vfr_h264_aac.mp4",
        "nasa_320x180_480x270_2video_2audio_2subs.mp4",
    ],
)
def test_real_clips_go_through_with_every_stream(tmp_path: Path, clip: str, suffix: str) -> None:
    source = CLIPS / clip
    if not source.exists():
        pytest.skip(f"{clip} lies beside the repository, not in it")
    joined = join_clip(source, tmp_path / f"out{suffix}", frames=60)
    report = joined.prove()
    with av.open(str(source)) as old, av.open(str(joined.result)) as new:
        for kind in ("video", "audio", "subtitles"):
            assert len(getattr(new.streams, kind)) == len(getattr(old.streams, kind))
        assert len(new.chapters()) == len(old.chapters())
    assert report.time_error_s <= (0.0005 if suffix == ".mkv" else 0)
    assert not any("left out" in notice for notice in joined.plan.notices)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_sound_is_the_same_sample_by_sample(tmp_path: Path, suffix: str) -> None:
    source = make_video(tmp_path / "in.mp4", audio=1, frames=31)
    joined = join_clip(source, tmp_path / f"out{suffix}")
    before, after = heard(source), heard(joined.result)
    # An AAC packet is 1024 samples; where the last one ends inside, decoders of MP4 play it out.
    assert abs(before.shape[1] - after.shape[1]) < 1024
    length = min(before.shape[1], after.shape[1])
    assert length > 48000
    assert np.array_equal(before[:, :length], after[:, :length])


def test_the_warm_up_of_aac_is_stated_in_matroska_and_shifts_nothing(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", audio=1)
    assert packets(source, 1)[0].pts == -1024
    joined = join_clip(source, tmp_path / "out.mkv")
    first = packets(joined.result, 1)[0]
    assert joined.plan.shift == 0
    assert first.pts * first.time_base == Fraction(-21, 1000)
    assert first.has_sidedata("skip_samples")
    assert times_of(joined)[0] == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_start_between_milliseconds_is_exact(tmp_path: Path, suffix: str) -> None:
    exact = {"movie_timescale": "24000"}  # FFmpeg's 1000 would cut the source's own start
    source = make_video(tmp_path / "in.mp4", start=7, rate=24, container_options=exact)
    joined = join_clip(source, tmp_path / f"out{suffix}")
    assert times_of(joined)[0] == Fraction(7, 24)


def test_decoding_times_rise_over_the_joints_and_never_follow_their_frame(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=24)
    joined = join_clip(source, tmp_path / "out.mp4", frames=7)
    records = [SegmentRecord.load(record_path(path)) for path in joined.segments]
    assert max(record.reorder_depth for record in records if record is not None) >= 1
    video = packets(joined.result, 0)
    assert all(a.dts < b.dts for a, b in pairwise(video))
    assert all(packet.dts <= packet.pts for packet in video)


@pytest.mark.parametrize(("suffix", "start"), [(".ts", Fraction(1)), (".nut", Fraction(1))])
def test_all_streams_move_together_where_there_is_no_time_before_zero(
    tmp_path: Path, suffix: str, start: Fraction
) -> None:
    source = make_video(tmp_path / "in.mp4", audio=1, frames=30)
    encode = dataclasses.replace(FAST, codec="h264")
    joined = join_clip(source, tmp_path / f"out{suffix}", encode=encode)
    report = joined.prove()
    assert joined.plan.shift > start
    assert any("later than in the source" in notice for notice in joined.plan.notices)
    assert report.sync_error_s < 0.001
    assert abs(times_of(joined)[0] - joined.plan.shift) <= Fraction(1, 10000)


def test_a_transport_stream_over_its_33_bits_comes_through(tmp_path: Path) -> None:
    # 2**33 ticks of 1/90000 s are 95443.7 s: the count begins anew in the middle.
    source = make_video(
        tmp_path / "in.ts",
        audio=1,
        audio_codec="aac",
        frames=40,
        container_options={"output_ts_offset": "95443.0", "mpegts_copyts": "1"},
    )
    joined = join_clip(source, tmp_path / "out.mp4")
    assert joined.prove().sync_error_s < 0.001
    assert decoded_numbers(joined.result) == list(range(40))


def test_frames_that_an_edit_list_hides_stay_out(tmp_path: Path) -> None:
    plain = make_video(tmp_path / "plain.mp4", audio=1, frames=30)
    source = tmp_path / "edited.mp4"
    with (
        av.open(str(plain)) as old,
        av.open(str(source), "w", container_options={"avoid_negative_ts": "disabled"}) as new,
    ):
        copies = [new.add_stream_from_template(stream, opaque=True) for stream in old.streams]
        for packet in old.demux():
            if packet.size and packet.pts is not None and packet.dts is not None:
                early = int(Fraction(1, 5) / (packet.time_base or 1))
                packet.pts, packet.dts = packet.pts - early, packet.dts - early
                packet.stream = copies[packet.stream.index]
                new.mux(packet)
    for suffix in (".mp4", ".mkv"):
        joined = join_clip(source, tmp_path / f"out{suffix}")
        assert joined.prove().frames == 25
        assert decoded_numbers(joined.result) == list(range(5, 30))
        assert times_of(joined)[0] == 0


def test_everything_else_of_a_matroska_file_stays(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", attachments=[FONT, ("b.otf", "font/otf", b"abc")], **RICH)
    joined = join_clip(source, tmp_path / "out.mkv")
    report = joined.prove()
    assert joined.plan.notices == ()
    with av.open(str(source)) as old, av.open(str(joined.result)) as new:
        assert [s.type for s in new.streams] == [s.type for s in old.streams]
        assert [s.language for s in new.streams] == [s.language for s in old.streams]
        assert [s.disposition for s in new.streams] == [s.disposition for s in old.streams]
        assert new.streams[0].metadata["title"] == "Main picture"
        assert new.metadata["title"] == "A film"
        assert new.metadata["MOOD"] == "calm"
        fonts = {s.name: (s.mimetype, s.data) for s in new.streams if isinstance(s, AttachmentStream)}
        assert fonts == {"Font.ttf": ("font/ttf", FONT[2]), "b.otf": ("font/otf", b"abc")}
        chapters = [(c["start"], c["end"], c["metadata"]["title"]) for c in new.chapters()]
    assert chapters == [(0, 200_000_000, "One"), (200_000_000, 480_000_000, "Two")]
    assert (report.chapters, report.attachments, report.streams) == (2, 2, 5)


def test_matroska_text_becomes_mp4_text_and_back(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", **RICH)
    there = join_clip(source, tmp_path / "there.mp4")
    there.prove()
    assert [s.target_codec for s in there.plan.streams if s.kind == "subtitle"] == ["mov_text"] * 2
    assert sum("becomes mov_text" in notice for notice in there.plan.notices) == 2
    back = join_clip(there.result, tmp_path / "back.mkv")
    back.prove()
    index = next(s.index for s in there.plan.streams if s.kind == "subtitle")
    before = [(bytes(p), p.pts, p.duration) for p in packets(source, index)]
    after = [(bytes(p), p.pts, p.duration) for p in packets(back.result, index)]
    assert before == after


def test_text_that_loses_colour_is_said_at_the_join(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", subtitles=["eng"])
    text = tmp_path / "colour.srt"
    text.write_text('1\n00:00:00,000 --> 00:00:00,300\n<font color="#ff0000">red</font>\n')
    coloured = tmp_path / "coloured.mkv"
    with av.open(str(source)) as old, av.open(str(text)) as words, av.open(str(coloured), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0], opaque=True)
        said = new.add_stream_from_template(words.streams.subtitles[0])
        for file, wanted, copy in (
            (old, old.streams.video[0], video),
            (words, words.streams.subtitles[0], said),
        ):
            for packet in file.demux(wanted):
                if packet.size:
                    packet.stream = copy
                    new.mux(packet)
    segments, info, _, encoder = write_segments(coloured, tmp_path / "job", tmp_path / "out.mp4")
    plan = plan_remux(coloured, 0, tmp_path / "out.mp4", info, encoder)
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)

    join(plan, segments, tmp_path / "out.mp4", progress=listen)
    notices = [event for event in events if isinstance(event, Notice)]
    assert [notice.level for notice in notices] == ["warning"]
    assert "1 texts lose colour" in notices[0].text


def png(tmp_path: Path) -> bytes:
    with av.open(
        str(make_video(tmp_path / "still.mov", codec="png", pix_fmt="rgb24", frames=1))
    ) as file:
        return next(bytes(packet) for packet in file.demux() if packet.size)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("origin", [".mp4", ".mkv"])
def test_cover_art_comes_along(tmp_path: Path, origin: str, suffix: str) -> None:
    art = png(tmp_path)
    where: dict[str, Any] = (
        {"cover": art} if origin == ".mp4" else {"attachments": [("cover.png", "image/png", art)]}
    )
    source = make_video(tmp_path / f"in{origin}", audio=1, **where)
    joined = join_clip(source, tmp_path / f"out{suffix}")
    assert joined.prove()
    with av.open(str(joined.result)) as file:
        covers = [s for s in file.streams.video if s.disposition & Disposition.attached_pic]
        assert len(covers) == 1
        assert [bytes(packet) for packet in file.demux(covers[0]) if packet.size] == [art]
        assert file.streams[0].disposition == Disposition.default


def test_the_rotation_stays_a_tag(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", rotation=90)
    for suffix in (".mp4", ".mov", ".mkv"):
        joined = join_clip(source, tmp_path / f"out{suffix}")
        with av.open(str(joined.result)) as file:
            frame = next(file.decode(video=0))
        assert (frame.rotation, frame.width, frame.height) == (90, 64, 48)


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_the_shape_of_pixels_is_in_the_container(tmp_path: Path, codec: str) -> None:
    # SVT-AV1 writes no shape into its stream, so this is what Matroska's header alone says.
    source = make_video(tmp_path / "in.mkv", sar=Fraction(4, 3))
    preset = "12" if codec == "av1" else "ultrafast"
    for suffix in (".mp4", ".mkv"):
        encode = EncodeConfig(codec=codec, preset=preset, threads=1)
        joined = join_clip(source, tmp_path / f"out{suffix}", encode=encode)
        with av.open(str(joined.result)) as file:
            ratio = file.streams.video[0].sample_aspect_ratio or Fraction(0)
        assert abs(ratio - Fraction(4, 3)) <= Fraction(1, 64)


def test_hevc_in_mp4_carries_the_tag_that_apple_plays(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4")
    encode = EncodeConfig(codec="hevc", preset="ultrafast", threads=1)
    joined = join_clip(source, tmp_path / "out.mp4", encode=encode)
    with av.open(str(joined.result)) as file:
        assert file.streams.video[0].codec_context.codec_tag == "hvc1"


def test_a_time_code_is_rebuilt_from_its_tag(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mov", metadata={"timecode": "01:00:00:05"})
    for suffix in (".mov", ".mp4", ".mkv"):
        joined = join_clip(source, tmp_path / f"out{suffix}")
        assert [stream.action for stream in joined.plan.streams] == ["upscale", "rebuild"]
        with av.open(str(joined.result)) as file:
            tags = {key.lower(): value for key, value in file.streams[0].metadata.items()}
            assert tags["timecode"] == "01:00:00:05"


def test_tags_of_the_old_file_are_not_claimed_of_the_new_one(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mkv",
        metadata={"title": "A film", "encoder": "Old"},
        stream_metadata={
            "BPS": "1",
            "NUMBER_OF_FRAMES-eng": "2",
            "_STATISTICS_TAGS": "BPS",
            "mood": "calm",
        },
    )
    segments, info, _, encoder = write_segments(source, tmp_path / "job", tmp_path / "out.mkv")
    plan = plan_remux(source, 0, tmp_path / "out.mkv", info, encoder)
    join(plan, segments, tmp_path / "out.mkv", metadata={"comment": "enlarged"})
    with av.open(str(tmp_path / "out.mkv")) as file:
        tags, video = file.metadata, file.streams[0].metadata
    assert tags["title"] == "A film"
    assert tags["COMMENT"] == "enlarged"
    assert tags["ENCODER"].startswith("Lavf")
    assert video["MOOD"] == "calm"
    assert not video.keys() & {"BPS", "NUMBER_OF_FRAMES-eng", "_STATISTICS_TAGS"}


def test_what_does_not_fit_is_named_before_anything_is_done(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", subtitles=["eng"], subtitle_codec="ass", attachments=[FONT])
    target = tmp_path / "out.mp4"
    with pytest.raises(IncompatibleStreams) as refusal:
        plan_remux(source, 0, target, OUTPUT, "libx264")
    text = str(refusal.value)
    assert "out.mp4" in text
    assert "subtitle stream 1 (ass, eng)" in text
    assert "attachment stream 2" in text
    assert ".mkv" in text
    assert "--drop-incompatible" in text
    plan = plan_remux(source, 0, target, OUTPUT, "libx264", drop_incompatible=True)
    assert [stream.action for stream in plan.streams] == ["upscale", "drop", "drop"]
    assert sum("left out" in notice for notice in plan.notices) == 2
    assert not target.exists()


@pytest.mark.parametrize(
    ("target", "codec", "rate", "message"),
    [
        ("out.webm", "libx264", 25, r"\.webm cannot hold h264 video: use --codec av1 or vp8 or vp9"),
        ("out.mov", "libsvtav1", 25, r"\.mov cannot hold av1"),
        ("out.mkv", "libx264", 2000, r"\.mkv tells time in steps of 1 ms.*2000 frames a second"),
    ],
)
def test_what_the_container_cannot_do_for_the_video_is_said(
    tmp_path: Path, target: str, codec: str, rate: int, message: str
) -> None:
    source = make_video(tmp_path / "in.mp4")
    output = dataclasses.replace(OUTPUT, frame_rate=Fraction(rate))
    with pytest.raises(IncompatibleStreams, match=message):
        plan_remux(source, 0, tmp_path / target, output, codec)


def test_an_unknown_ending_is_wrong_usage(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4")
    with pytest.raises(UsageError, match=r"\.xyz"):
        plan_remux(source, 0, tmp_path / "out.xyz", OUTPUT, "libx264")


def test_avi_takes_constant_rates_alone(tmp_path: Path) -> None:
    encode = EncodeConfig(codec="ffv1")
    steady = make_video(tmp_path / "steady.mkv", audio=1, audio_codec="pcm_s16le", frames=20)
    joined = join_clip(steady, tmp_path / "steady.avi", encode=encode)
    assert joined.prove().frames == 20
    assert decoded_numbers(joined.result) == list(range(20))
    varied = make_video(tmp_path / "varied.mp4", frames=5, pts=[0, 1, 2, 9, 10])
    with pytest.raises(IncompatibleStreams, match="variable frame rate"):
        join_clip(varied, tmp_path / "varied.avi", encode=encode)
    late = make_video(tmp_path / "late.mkv", frames=5, start=3)
    with pytest.raises(IncompatibleStreams, match="starts late"):
        join_clip(late, tmp_path / "late.avi", encode=encode)


def test_a_damaged_source_gives_what_is_left_of_it(tmp_path: Path) -> None:
    source = truncate(make_video(tmp_path / "in.mkv", audio=1, frames=60))
    joined = join_clip(source, tmp_path / "out.mp4")
    report = joined.prove()
    assert 20 < report.frames < 60
    assert report.packets > 20


def test_frames_closer_than_a_tick_stay_apart(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mp4", frames=6, pts=[0, 1, 2, 60, 61, 120], time_base=Fraction(1, 3000), rate=25
    )
    joined = join_clip(source, tmp_path / "out.mkv")
    joined.prove()
    shown = times_of(joined)
    assert all(a < b for a, b in pairwise(shown))
    assert decoded_numbers(joined.result) == list(range(6))


def test_the_plan_fits_into_a_manifest(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", audio=1)
    plan = plan_remux(source, 0, tmp_path / "out.mkv", OUTPUT, "libx264")
    plain = json.loads(json.dumps(plan.to_json()))
    assert plain["container"] == "matroska"
    assert plain["shift"] == "0"
    assert plain["streams"][1]["codec_delay"] == "8/375"


def test_the_join_reports_its_progress(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=9)
    segments, info, _, encoder = write_segments(source, tmp_path / "job", tmp_path / "out.mp4")
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)

    plan = plan_remux(source, 0, tmp_path / "out.mp4", info, encoder)
    join(plan, segments, tmp_path / "out.mp4", progress=listen)
    assert events == [Started("join", 9), Advanced("join", 9), Finished("join")]


@pytest.fixture
def job(tmp_path: Path) -> tuple[Any, list[Path]]:
    source = make_video(tmp_path / "in.mp4", frames=10)
    segments, info, _, encoder = write_segments(source, tmp_path / "job", tmp_path / "out.mp4")
    return plan_remux(source, 0, tmp_path / "out.mp4", info, encoder), segments


def test_an_unfinished_segment_is_refused(tmp_path: Path, job: tuple[Any, list[Path]]) -> None:
    plan, segments = job
    record_path(segments[1]).unlink()
    with pytest.raises(OutputError, match=r"000001\.nut: is not a finished segment"):
        join(plan, segments, tmp_path / "out.mp4")


def test_segments_out_of_order_are_refused(tmp_path: Path, job: tuple[Any, list[Path]]) -> None:
    plan, segments = job
    with pytest.raises(OutputError, match="begins before the segment before it ends"):
        join(plan, segments[::-1], tmp_path / "out.mp4")


def test_a_segment_with_other_headers_is_refused(tmp_path: Path, job: tuple[Any, list[Path]]) -> None:
    plan, segments = job
    other = dataclasses.replace(FAST, options=(("profile", "baseline"),))
    changed, *_ = write_segments(
        tmp_path / "in.mp4", tmp_path / "other", tmp_path / "x.mp4", encode=other
    )
    shutil.copy(changed[1], segments[1])
    with pytest.raises(OutputError, match=r"000001\.nut: its codec headers differ"):
        join(plan, segments, tmp_path / "out.mp4")


def test_a_segment_that_lost_frames_is_refused(tmp_path: Path, job: tuple[Any, list[Path]]) -> None:
    plan, segments = job
    truncate(segments[1], 0.5)
    with pytest.raises(OutputError, match=r"000001\.nut: holds \d frames, not the 5"):
        join(plan, segments, tmp_path / "out.mp4")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_said_as_such(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=10)
    segments, info, _, encoder = write_segments(source, tmp_path / "job", tmp_path / "out.mkv")
    plan = plan_remux(source, 0, tmp_path / "out.mkv", info, encoder)
    with pytest.raises(OutputError, match="no space left"):
        join(plan, segments, Path("/dev/full"))
