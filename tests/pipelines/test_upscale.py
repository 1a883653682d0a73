"""Whole runs over real files, with the one fake: a backend that repeats pixels."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from tests.inference.nearest import NearestBackend
from tests.synthetic import corrupt, decoded_numbers, make_video, truncate
from vidsr.arrays import HOST, Array
from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.errors import (
    IncompatibleStreams,
    InputError,
    JobError,
    OutputError,
    ProofError,
    UsageError,
)
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.pipelines import upscale as module
from vidsr.pipelines.upscale import UpscaleReport, upscale_video
from vidsr.progress import Advanced, Event, Finished, Notice, Started, silent
from vidsr.video.reader import VideoReader
from vidsr.video.sequences import numbered
from vidsr.video.stills import write_still

LOSSLESS = EncodeConfig(codec="ffv1")
FAST = EncodeConfig(preset="ultrafast")


def run(source: Path, target: Path, progress=silent, **values) -> UpscaleReport:
    values.setdefault("encode", FAST if target.suffix == ".mp4" else LOSSLESS)
    values.setdefault("scale", 2)
    config = UpscaleConfig(source, target, **values)
    return upscale_video(
        config, progress, opener=lambda weights, config, progress: NearestBackend(weights.scale)
    )


def times(path: Path, stream: int = 0) -> list[Fraction]:
    """Presentation times of a file's frames in seconds, from its packets."""
    with av.open(str(path)) as container:
        video = container.streams.video[stream]
        assert video.time_base is not None
        packets = [p for p in container.demux(video) if p.size and not p.is_discard]
        return sorted(p.pts * video.time_base for p in packets if p.pts is not None)


def digest(path: Path) -> str:
    """Of every decoded frame and its time."""
    total = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            total.update(f"{frame.pts} {frame.time_base} {frame.format.name}".encode())
            for plane in frame.planes:
                rows = memoryview(plane)
                for y in range(plane.height):
                    total.update(rows[y * plane.line_size : y * plane.line_size + plane.width])
    return total.hexdigest()


def assert_same_times(source: Path, target: Path) -> None:
    """Every frame at its own time, to half a tick of the target, but for one common shift."""
    before, after = times(source), times(target)
    assert len(after) == len(before)
    with av.open(str(target)) as container:
        tick = container.streams.video[0].time_base
    assert tick is not None
    shift = after[0] - before[0]
    assert all(abs(b + shift - a) <= tick / 2 for b, a in zip(before, after, strict=True))
    if min(before) >= 0 or target.suffix == ".mp4":
        assert abs(shift) <= tick / 2


VFR = [0, 1, 2, 5, 6, 12, 13, 14, 30, 31, 33, 50]

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one frame": {"frames": 1},
    "b-frames": {"frames": 40, "bframes": 3, "gop": 15},
    "29.97": {"rate": Fraction(30000, 1001), "frames": 20},
    "variable rate": {"pts": VFR, "time_base": Fraction(1, 50)},
    "late start": {"start": 40, "audio": 1},
    "audio and chapters": {"audio": ["eng", "deu"], "chapters": [(0.0, 0.2, "one"), (0.2, 0.48, "two")]},
    "subtitles": {"subtitles": ["eng", "fra"], "frames": 30},
    "rotated": {"rotation": 90.0},
    "anamorphic": {"sar": Fraction(16, 11)},
    "bt2020 pq 10 bit": {
        "codec": "libx265",
        "pix_fmt": "yuv420p10le",
        "matrix": 9,
        "primaries": 9,
        "transfer": 16,
        "range": 1,
    },
    "hlg 10 bit": {
        "codec": "libx265",
        "pix_fmt": "yuv420p10le",
        "matrix": 9,
        "primaries": 9,
        "transfer": 18,
        "range": 1,
    },
    "full range": {"pix_fmt": "yuv420p", "range": 2, "matrix": 1},
    "4:2:2": {"pix_fmt": "yuv422p"},
    "4:4:4 odd": {"pix_fmt": "yuv444p", "size": (37, 51)},
    "interlaced": {"interlaced": True, "frames": 16},
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_frame_at_its_own_time(tmp_path: Path, name: str, suffix: str) -> None:
    source = make_video(tmp_path / f"in{suffix}", **VARIANTS[name])
    target = tmp_path / f"out{suffix}"
    report = run(source, target, segment_frames=7)
    assert_same_times(source, target)
    assert decoded_numbers(target) == decoded_numbers(source)
    assert report.frames == len(times(source))
    with av.open(str(source)) as before, av.open(str(target)) as after:
        old, new = before.streams.video[0], after.streams.video[0]
        assert (new.width, new.height) == (2 * old.width, 2 * old.height)
        assert (old.sample_aspect_ratio or 1) == (new.sample_aspect_ratio or 1)
        assert [s.type for s in before.streams] == [s.type for s in after.streams]
        assert before.chapters() == after.chapters() or len(before.chapters()) == len(after.chapters())
        assert after.streams.video[0].format.components[0].bits == old.format.components[0].bits
        first_before, first_after = next(before.decode(video=0)), next(after.decode(video=0))
        assert first_before.rotation == first_after.rotation
        if first_before.color_trc != 2:
            assert first_before.color_trc == first_after.color_trc
        assert first_after.colorspace != 2
        assert not first_after.interlaced_frame
    assert not list(tmp_path.glob("*.vidsr"))


ALIKE = ("plain", "bt2020 pq 10 bit", "full range", "4:2:2", "4:4:4 odd", "interlaced")
FEW = 1e-3
"""Of all codes, so many may be one apart between arrays and tensors, by the last bit of a sum."""


@pytest.mark.parametrize(("scale", "width"), [(2, None), (None, 100)])
@pytest.mark.parametrize("name", ALIKE)
def test_frames_are_the_same_in_arrays_and_in_tensors(
    tmp_path: Path, name: str, scale: int | None, width: int | None
) -> None:
    source = make_video(tmp_path / "in.mkv", **VARIANTS[name])
    config = UpscaleConfig(
        source, tmp_path / "out.mkv", scale=scale, width=width, encode=LOSSLESS, overwrite=True
    )
    made = {}
    for device in (HOST, torch.device("cpu")):
        backend = NearestBackend(2, device=device)
        report = upscale_video(config, opener=lambda *_, given=backend: given)
        assert report.frames == len(times(source)) and backend.calls
        with VideoReader(config.output) as reader:
            made[device] = [plane for batch in reader.batches(7) for plane in batch.planes]
    pairs = zip(*made.values(), strict=True)
    apart = np.concatenate([np.abs(one.astype(int) - other).ravel() for one, other in pairs])
    assert apart.max() <= 1 and apart.mean() < FEW


def test_negative_start(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", start=-5, frames=20, audio=1)
    for suffix in (".mp4", ".mkv"):
        run(source, tmp_path / f"out{suffix}")
        assert_same_times(source, tmp_path / f"out{suffix}")


def test_constant_rate_on_request(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", pts=VFR, time_base=Fraction(1, 50))
    target = tmp_path / "out.mp4"
    run(source, target, fps=Fraction(25), segment_frames=4)
    # Source tick k of 1/50 s: the output shows at tick 2k what was on then; odd frames in between go.
    shown = [max(i for i, p in enumerate(VFR) if p <= 2 * tick) for tick in range(26)]
    assert decoded_numbers(target) == shown
    assert times(target) == [Fraction(k, 25) for k in range(26)]


def test_second_video_stream(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", frames=8, extra_videos=[6])
    target = tmp_path / "out.mkv"
    run(source, target, video_stream=1)
    assert decoded_numbers(target, 1) == decoded_numbers(source, 1)
    with av.open(str(target)) as container:
        assert [stream.width for stream in container.streams.video] == [64, 128]


@pytest.mark.parametrize(("scale", "height"), [(1.5, None), (3.0, None), (None, 100)])
def test_other_sizes(tmp_path: Path, scale: float | None, height: int | None) -> None:
    source = make_video(tmp_path / "in.mp4")
    run(source, tmp_path / "out.mp4", scale=scale, height=height)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.height == (height or round(48 * (scale or 0)))
    assert decoded_numbers(tmp_path / "out.mp4") == list(range(12))


def test_progress_counts_every_frame(tmp_path: Path) -> None:
    events: list[Event] = []
    run(
        make_video(tmp_path / "in.mp4", frames=30), tmp_path / "out.mp4", events.append, segment_frames=9
    )
    started = next(e for e in events if isinstance(e, Started) and e.task == "upscale")
    assert (started.total, started.done) == (30, 0)
    counts = [e.done for e in events if isinstance(e, Advanced) and e.task == "upscale"]
    assert counts == sorted(counts)
    assert counts[-1] == 30
    assert Finished("upscale") in events


class Stop(Exception):
    pass


def stopping_after(frames: int):
    def listen(event: Event) -> None:
        if isinstance(event, Advanced) and event.task == "upscale" and event.done >= frames:
            raise Stop

    return listen


def test_a_stopped_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=40, bframes=2, audio=1)
    run(source, tmp_path / "whole.mp4", segment_frames=8)
    target = tmp_path / "out.mp4"
    for frames in (10, 14, 30):
        with pytest.raises(Stop):
            run(source, target, stopping_after(frames), segment_frames=8)
        assert not target.exists()
    notices: list[str] = []
    report = run(
        source,
        target,
        lambda event: notices.append(event.text) if isinstance(event, Notice) else None,
        segment_frames=8,
    )
    assert report.resumed_frames >= 24
    assert any("going on after" in text for text in notices)
    assert digest(target) == digest(tmp_path / "whole.mp4")
    assert not (tmp_path / "out.mp4.vidsr").exists()


def test_changed_settings_are_refused_until_restart(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=30)
    target = tmp_path / "out.mp4"
    with pytest.raises(Stop):
        run(source, target, stopping_after(20), segment_frames=5)
    with pytest.raises(JobError, match=r"settings changed.*--restart"):
        run(source, target, segment_frames=5, encode=EncodeConfig(preset="ultrafast", crf=30))
    make_video(tmp_path / "in.mp4", frames=30, size=(48, 80))
    with pytest.raises(JobError, match="--restart"):
        run(source, target, segment_frames=5)
    run(source, target, segment_frames=5, restart=True)
    assert decoded_numbers(target) == list(range(30))


def test_an_existing_output_is_safe(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=20)
    target = tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    with pytest.raises(OutputError, match="--overwrite"):
        run(source, target)
    with pytest.raises(Stop):
        run(source, target, stopping_after(10), overwrite=True, segment_frames=5)
    assert target.read_bytes() == b"precious"
    run(source, target, overwrite=True, segment_frames=5)
    assert decoded_numbers(target) == list(range(20))


def test_a_failed_proof_leaves_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The join is sabotaged: the last segment is left out."""
    source = make_video(tmp_path / "in.mp4", frames=20)
    joined = module.join

    def short(plan, segments, target, **kwargs):
        joined(plan, segments[:-1], target, **kwargs)

    monkeypatch.setattr(module, "join", short)
    with pytest.raises(ProofError):
        run(source, tmp_path / "out.mp4", segment_frames=5)
    assert not (tmp_path / "out.mp4").exists()
    monkeypatch.undo()
    report = run(source, tmp_path / "out.mp4", segment_frames=5)
    assert report.resumed_frames == 20  # nothing was lost by it


def test_damaged_input_goes_through_as_far_as_it_decodes(tmp_path: Path) -> None:
    source = corrupt(make_video(tmp_path / "in.ts", frames=60, gop=10, format="mpegts"), length=600)
    report = run(source, tmp_path / "out.mkv")
    assert report.decode_errors > 0
    assert report.frames >= 30
    short = truncate(make_video(tmp_path / "short.mkv", frames=60, gop=10))
    report = run(short, tmp_path / "short_out.mkv")
    assert 20 <= report.frames < 60


def bad_inputs(folder: Path) -> dict[str, Path]:
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("hello, I am no video\n" * 50)
    (folder / "sub").mkdir()
    sound = folder / "sound.mkv"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="stereo", samples=800)
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    return {
        "missing": folder / "missing.mp4",
        "empty": folder / "empty.mp4",
        "text": folder / "text.mp4",
        "directory": folder / "sub",
        "sound only": sound,
        "a remote address": Path("http://127.0.0.1:9/video.mp4"),
    }


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "text", "directory", "sound only", "a remote address"]
)
def test_bad_input_is_one_line_that_names_it(tmp_path: Path, kind: str) -> None:
    source = bad_inputs(tmp_path)[kind]
    with pytest.raises(InputError) as caught:
        run(source, tmp_path / "out.mp4")
    message = str(caught.value)
    assert source.name in message
    assert "\n" not in message
    assert not (tmp_path / "out.mp4").exists()
    assert not (tmp_path / "out.mp4.vidsr").exists()


def test_a_playlist_may_not_reach_out(tmp_path: Path) -> None:
    make_video(tmp_path / "secret.ts", format="mpegts")
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.48,\nsecret.ts\n#EXT-X-ENDLIST\n")
    disguised = tmp_path / "list.mp4"
    disguised.write_text("ffconcat version 1.0\nfile secret.ts\n")
    for source in (playlist, disguised):
        with pytest.raises(InputError):
            run(source, tmp_path / "out.mp4")


def test_bad_output_is_refused_before_the_first_frame(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", attachments=[("a.ttf", "font/ttf", b"x" * 99)])
    for target, words, kind in (
        (source, "input itself", UsageError),
        (tmp_path / "no" / "out.mp4", "no such directory", OutputError),
        (tmp_path / "out.xyz", "xyz", UsageError),
        (tmp_path, "directory", OutputError),
        (tmp_path / "out.mp4", "attachment", IncompatibleStreams),
    ):
        with pytest.raises(kind, match=words):
            run(source, target)
        assert not list(tmp_path.glob("*.vidsr"))
    run(source, tmp_path / "out.mp4", drop_incompatible=True)
    run(source, tmp_path / "out.mkv")


def still_film(path: Path) -> Path:
    """Ten pictures, each shown three times, lossless: what repeats is equal to the bit."""
    numbers = [number for number in range(10) for _ in range(3)]
    return make_video(path, frames=numbers, codec="ffv1")


def test_repeated_frames_are_computed_once_and_all_are_there(tmp_path: Path) -> None:
    source = still_film(tmp_path / "in.mkv")
    skipped = run(source, tmp_path / "a.mkv", segment_frames=7)
    computed = run(source, tmp_path / "b.mkv", segment_frames=7, skip=False)
    assert digest(tmp_path / "a.mkv") == digest(tmp_path / "b.mkv")
    assert skipped.work.frames == computed.work.frames == 30
    assert (skipped.work.repeated, computed.work.repeated) == (20, 0)
    assert (skipped.work.network, computed.work.network) == (10, 30)
    assert (
        "skipped 67 % of the network's work: 20 of 30 frames equal the one before" in skipped.summary()
    )
    assert "skipped" not in computed.summary()
    assert skipped.to_json()["work"]["repeated"] == 20


def test_a_run_that_skips_goes_on_where_one_that_does_not_was_stopped(tmp_path: Path) -> None:
    source = still_film(tmp_path / "in.mkv")
    run(source, tmp_path / "whole.mkv", segment_frames=7)
    with pytest.raises(Stop):
        run(source, tmp_path / "out.mkv", stopping_after(16), segment_frames=7, skip=False)
    report = run(source, tmp_path / "out.mkv", segment_frames=7)
    assert report.resumed_frames >= 14
    assert digest(tmp_path / "out.mkv") == digest(tmp_path / "whole.mkv")
    assert report.work.frames == 30 - report.resumed_frames


def test_a_backend_that_rounds_by_size_is_told_of(tmp_path: Path) -> None:
    class Moody(NearestBackend):
        def __call__(self, lr: Array) -> Array:
            return super().__call__(lr) + lr.shape[1] % 2

    planes = [np.full(size, 90, np.uint8) for size in ((1, 151, 160), *[(1, 76, 80)] * 2)]
    for index in range(1, 3):
        planes[0][0, 0, 0] = index  # a dot that changes
        frame = FrameBatch(tuple(planes), ColorSpec(), (0,), Fraction(1, 25))
        write_still(numbered(tmp_path / "%d.png", index), frame)
    config = UpscaleConfig(tmp_path / "%d.png", tmp_path / "out.mkv", scale=2, encode=LOSSLESS)
    report = upscale_video(config, opener=lambda *_: Moody(2))
    assert report.work.inexact and report.work.partial == 0
    assert "skipped no parts of frames" in report.summary()


def test_repeats_of_a_constant_rate_are_no_extra_work(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", frames=8, rate=10, codec="ffv1")
    report = run(source, tmp_path / "out.mkv", fps=Fraction(30))
    assert report.frames == 24
    assert report.work.frames == report.work.network == 8
