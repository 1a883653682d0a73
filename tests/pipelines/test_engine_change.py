"""An engine that is built beside a run takes over with a segment, and a resumed run keeps it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import av
import pytest

from tests.inference.pretend_engines import BlackEngine, TwoWays, Workshop
from tests.synthetic import make_video
from vidsr.config import EncodeConfig, EngineBuild, UpscaleConfig
from vidsr.inference.engine_key import ShapeRange
from vidsr.inference.tensorrt_backend import TensorrtBackend
from vidsr.models.weights import Weights
from vidsr.pipelines.folder import upscale_folder
from vidsr.pipelines.upscale import UpscaleReport, upscale_video
from vidsr.progress import Advanced, Event, Notice, Progress, silent
from vidsr.video.job import job_folder

SEGMENT = 4


class Stopped(Exception):
    """What ends a run in its middle."""


def run(
    source: Path,
    target: Path,
    workshop: Workshop,
    stand_in: TwoWays,
    progress: Progress = silent,
    when: EngineBuild = "background",
    restart: bool = False,
) -> UpscaleReport:
    def opener(weights: Weights, config: UpscaleConfig, progress: Progress) -> TensorrtBackend:
        return workshop.backend(config.engine_build, progress, stand_in)

    config = UpscaleConfig(
        source,
        target,
        scale=2,
        segment_frames=SEGMENT,
        engine_build=when,
        skip=False,
        restart=restart,
        encode=EncodeConfig(codec="ffv1"),
    )
    return upscale_video(config, progress, opener=opener)


def black(path: Path) -> list[bool]:
    """Which frames an engine painted."""
    with av.open(str(path)) as container:
        return [
            int(frame.to_ndarray()[: frame.height].max()) <= 16 for frame in container.decode(video=0)
        ]


def on_call(number: int, action: object) -> TwoWays:
    """A stand-in that does something on its call of that number, from 1."""
    calls = 0

    def watch() -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            action()  # type: ignore[operator]

    return TwoWays(watch)


def stop_after_the_first_segment(target: Path) -> None:
    """Fail once it is on the disk; the network is some frames ahead of the encoder."""
    record = job_folder(target) / "000000.json"
    deadline = time.monotonic() + 10
    while not record.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    raise Stopped


def test_an_engine_takes_over_where_a_segment_begins(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mkv", frames=3 * SEGMENT)
    workshop = Workshop()
    stand_in = on_call(SEGMENT + 2, workshop.finish)  # in the middle of the second segment
    events: list[Event] = []
    run(source, tmp_path / "b.mkv", workshop, stand_in, events.append)
    assert black(tmp_path / "b.mkv") == [False] * 2 * SEGMENT + [True] * SEGMENT
    assert workshop.builds == 1
    assert any("takes over with the next segment" in e.text for e in events if isinstance(e, Notice))


def test_a_stopped_run_goes_on_with_the_engine_that_was_built(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mkv", frames=3 * SEGMENT)
    target = tmp_path / "b.mkv"
    workshop = Workshop()
    with pytest.raises(Stopped):
        run(source, target, workshop, on_call(SEGMENT + 2, lambda: stop_after_the_first_segment(target)))
    manifest = json.loads((job_folder(target) / "job.json").read_bytes())
    assert manifest["chosen"]["way"] == "pytorch plain, then engines"
    workshop.finish()
    run(source, target, workshop, TwoWays())
    assert black(target) == [False] * SEGMENT + [True] * 2 * SEGMENT


def test_a_job_begun_without_engines_ends_without(tmp_path: Path) -> None:
    """Whatever the later run is asked for, and has."""
    source = make_video(tmp_path / "a.mkv", frames=3 * SEGMENT)
    target = tmp_path / "b.mkv"
    workshop = Workshop()
    with pytest.raises(Stopped):
        run(
            source,
            target,
            workshop,
            on_call(SEGMENT + 2, lambda: stop_after_the_first_segment(target)),
            when="never",
        )
    workshop.go_on.set()
    run(source, target, workshop, TwoWays(), when="wait")
    assert black(target) == [False] * 3 * SEGMENT


def test_a_job_whose_engine_is_gone_does_not_stop_the_other_videos(tmp_path: Path) -> None:
    """Of a folder; and the video is done, too, once its job is begun anew."""
    tapes, large = tmp_path / "tapes", tmp_path / "large"
    tapes.mkdir()
    large.mkdir()
    for name in ("a.mkv", "b.mkv"):
        make_video(tapes / name, frames=2 * SEGMENT)
    stored = Workshop(BlackEngine(ShapeRange.fixed(48, 64, 2)))

    def stop(event: Event) -> None:
        if isinstance(event, Advanced) and event.task == "upscale":
            raise Stopped

    with pytest.raises(Stopped):
        run(tapes / "a.mkv", large / "a.mkv", stored, TwoWays(), stop)
    manifest = json.loads((job_folder(large / "a.mkv") / "job.json").read_bytes())
    assert manifest["chosen"]["way"].startswith("engine ")

    def upscale(config: UpscaleConfig, progress: Progress) -> UpscaleReport:
        empty = Workshop()
        empty.go_on.set()
        return run(config.input, config.output, empty, TwoWays(), progress, restart=config.restart)

    report = upscale_folder(UpscaleConfig(tapes, large), upscale=upscale)
    assert [one.outcome for one in report.files] == ["failed", "done"]
    assert "not in the store any more; begin anew with --restart" in report.files[0].error
    again = upscale_folder(UpscaleConfig(tapes, large, restart=True), upscale=upscale)
    assert [one.outcome for one in again.files] == ["done", "finished before"]


def test_pictures_are_wholes_of_their_own(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mkv", frames=6)
    workshop = Workshop()
    run(source, tmp_path / "%02d.png", workshop, on_call(3, workshop.finish))
    found = [black(tmp_path / f"{number:02}.png")[0] for number in range(1, 7)]
    assert found == [False] * 3 + [True] * 3
