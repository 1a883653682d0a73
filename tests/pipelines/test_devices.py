"""Several processes on one job: the frames of one, and an end that can be gone on from."""

from __future__ import annotations

import os
import signal
from collections import deque
from pathlib import Path

import pytest

from tests.inference.nearest import NearestBackend, open_nearest
from tests.pipelines.test_upscale import digest
from tests.synthetic import make_video
from tests.waiting import until
from vidsr.arrays import Array
from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.crews import CrewConfig
from vidsr.errors import BackendUnavailable, UsageError, VidsrError
from vidsr.models.weights import Weights
from vidsr.pipelines.devices import take_block
from vidsr.pipelines.segment import Segment
from vidsr.pipelines.upscale import upscale_video
from vidsr.progress import Advanced, Event, Notice, Progress, silent
from vidsr.video.job import job_folder

TWO = CrewConfig(devices=("cpu", "cpu"))


def config(source: Path, target: Path, crew: CrewConfig = TWO, **values) -> UpscaleConfig:
    encode = EncodeConfig(preset="ultrafast")
    return UpscaleConfig(source, target, scale=2, segment_frames=5, encode=encode, crew=crew, **values)


class DyingBackend(NearestBackend):
    """Killed by the system in the middle of the second segment, when the first is on record."""

    record: Path

    def __call__(self, lr: Array) -> Array:
        if len(self.calls) == 8:
            until(self.record.exists, "the first segment is on record")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(lr)


def open_dying(weights: Weights, config: UpscaleConfig, progress: Progress) -> DyingBackend:
    backend = DyingBackend(weights.scale)
    backend.record = job_folder(config.output) / "000000.json"
    return backend


def open_none(weights: Weights, config: UpscaleConfig, progress: Progress) -> NearestBackend:
    raise BackendUnavailable("no such thing here")


@pytest.mark.distributed
def test_two_processes_give_the_frames_of_one(tmp_path: Path) -> None:
    # Open groups of pictures with B-frames, at a variable rate: whoever begins in the middle must decode
    # from the right place.
    times = [2 * i + (i % 3 == 0) for i in range(40)]
    source = make_video(tmp_path / "in.mkv", frames=40, pts=times, bframes=3, gop=12, audio=1)
    alone, together = tmp_path / "alone.mkv", tmp_path / "together.mkv"
    upscale_video(config(source, alone, CrewConfig()), opener=open_nearest)
    events: list[Event] = []
    report = upscale_video(config(source, together), events.append, opener=open_nearest)
    assert digest(together) == digest(alone)
    assert report.frames == 40
    assert report.backend == "nearest"
    assert report.work.frames == 40
    assert all(seconds > 0 for seconds in report.stage_seconds.values())
    last = [event for event in events if isinstance(event, Advanced) and event.task == "upscale"][-1]
    assert (last.done, last.values) == (40, {"workers": 2, "segments": 8})
    assert not together.with_name("together.mkv.vidsr").exists()


@pytest.mark.distributed
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL on this system")
def test_a_process_that_dies_leaves_a_job_to_go_on_with(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=40)
    target = tmp_path / "out.mp4"
    with pytest.raises(VidsrError, match=r"ended by itself \(exit code -9.*goes on"):
        upscale_video(config(source, target, CrewConfig(devices=("cpu",))), opener=open_dying)
    finished = sorted(path.name for path in tmp_path.glob("out.mp4.vidsr/*.json"))
    assert finished == ["000000.json", "job.json"]
    events: list[Event] = []
    # One process, this one, goes on with what another crew began.
    report = upscale_video(config(source, target, CrewConfig()), events.append, opener=open_nearest)
    assert report.resumed_frames == 5
    assert any(isinstance(event, Notice) and "going on after 5" in event.text for event in events)
    whole = tmp_path / "whole.mp4"
    upscale_video(config(source, whole, CrewConfig()), opener=open_nearest)
    assert digest(target) == digest(whole)


@pytest.mark.distributed
def test_what_a_process_cannot_do_is_said_here(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    with pytest.raises(BackendUnavailable, match="no such thing here"):
        upscale_video(
            config(source, tmp_path / "out.mp4", CrewConfig(devices=("cpu",))), opener=open_none
        )
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    ("devices", "said"), [(("gpu",), "numbers of cards"), (("0", "0"), "twice"), (("",), "numbers")]
)
def test_impossible_devices(devices: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        CrewConfig(devices=devices)


def test_cards_are_numbered_as_this_process_sees_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    source = make_video(tmp_path / "in.mp4", frames=2)
    with pytest.raises(UsageError, match="there is no card 2; CUDA_VISIBLE_DEVICES=4,7 leaves 2"):
        upscale_video(
            config(source, tmp_path / "out.mp4", CrewConfig(devices=("2",))), opener=open_nearest
        )


def test_pictures_are_refused(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    with pytest.raises(UsageError, match="leave out --devices"):
        upscale_video(config(source, tmp_path / "%03d.png"), silent, opener=open_nearest)


def segments(*indices: int) -> list[Segment]:
    return [Segment(index, index * 10, index * 10 + 10) for index in indices]


def test_blocks_grow_smaller_and_never_span_a_gap() -> None:
    left = deque([segments(*range(20)), segments(30, 31)])
    blocks = []
    while block := take_block(left, 2):
        blocks.append([segment.index for segment in block])
    assert [len(block) for block in blocks] == [6, 4, 3, 3, 2, 1, 1, 1, 1]
    assert [index for block in blocks for index in block] == [*range(20), 30, 31]
