"""A folder in, the same tree out: what is there is passed over, what fails does not stop the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.inference.nearest import NearestBackend
from tests.synthetic import decoded_numbers, make_video
from tests.warm import Vidsr
from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.errors import BackendUnavailable, InputError, OutputError, UsageError, VidsrError
from vidsr.pipelines.folder import FolderReport, targets_of, upscale_folder
from vidsr.pipelines.report import UpscaleReport
from vidsr.pipelines.upscale import upscale_video
from vidsr.progress import Event, Notice, Progress, silent


def upscale(config: UpscaleConfig, progress: Progress = silent) -> UpscaleReport:
    return upscale_video(
        config, progress, opener=lambda weights, config, progress: NearestBackend(weights.scale)
    )


def run(source: Path, target: Path, progress: Progress = silent, **values) -> FolderReport:
    values.setdefault("encode", EncodeConfig(preset="ultrafast"))
    return upscale_folder(UpscaleConfig(source, target, scale=2, **values), progress, upscale=upscale)


def outcomes(report: FolderReport) -> dict[str, str]:
    return {str(Path(one.input).relative_to(report.input)): one.outcome for one in report.files}


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def tapes(tmp_path: Path) -> Path:
    folder = tmp_path / "tapes"
    (folder / "1998" / "summer").mkdir(parents=True)
    make_video(folder / "1998" / "summer" / "beach.mp4", frames=4)
    make_video(folder / "1998" / "summer" / "beach.mkv", frames=5)
    make_video(folder / "1998" / "garden.mkv", frames=3, audio=1)
    (folder / "notes.txt").write_text("not a video")
    (folder / ".hidden.mp4").write_text("not looked at")
    return folder


def test_the_tree_is_kept_and_a_second_run_has_nothing_to_do(tapes: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    first = run(tapes, target)
    assert set(outcomes(first).values()) == {"done"}
    assert tree(target) == ["1998/garden.mkv", "1998/summer/beach.mkv", "1998/summer/beach.mp4"]
    assert decoded_numbers(target / "1998/summer/beach.mkv") == list(range(5))
    assert decoded_numbers(target / "1998/summer/beach.mp4") == list(range(4))
    assert first.others == 1
    assert first.failed == 0
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*.m*")}
    second = run(tapes, target)
    assert set(outcomes(second).values()) == {"finished before"}
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*.m*")} == before
    assert "3 finished before, 1 other file left alone" in second.summary()
    third = run(tapes, target, overwrite=True)
    assert set(outcomes(third).values()) == {"done"}


def test_a_folder_has_one_record_of_all_its_videos(tapes: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    (tapes / "broken.mp4").write_text("no video")
    first = run(tapes, tmp_path / "out", report=path)
    record = json.loads(path.read_text())
    assert record == json.loads(json.dumps(first.to_json()))
    outcomes = {Path(one["input"]).name: one["outcome"] for one in record["files"]}
    assert outcomes["broken.mp4"] == "failed"
    done = [one["report"] for one in record["files"] if one["outcome"] == "done"]
    assert [one["faithfulness"]["measured_frames"] for one in done] == [one["frames"] for one in done]
    run(tapes, tmp_path / "out", report=path)  # the same command again
    second = json.loads(path.read_text())
    assert {one["outcome"] for one in second["files"]} == {"finished before", "failed"}
    with pytest.raises(OutputError, match="no such directory"):
        run(tapes, tmp_path / "out", report=tmp_path / "none" / "r.json")


def test_a_video_that_fails_does_not_stop_the_others(tapes: Path, tmp_path: Path) -> None:
    (tapes / "1998" / "broken.mp4").write_bytes(b"no video at all" * 100)
    events: list[Event] = []
    report = run(tapes, tmp_path / "out", events.append)
    assert outcomes(report)["1998/broken.mp4"] == "failed"
    assert sorted(outcomes(report).values()) == ["done", "done", "done", "failed"]
    assert report.failed == 1
    warnings = [e.text for e in events if isinstance(e, Notice) and e.level == "warning"]
    assert len(warnings) == 1
    assert "broken.mp4" in warnings[0]
    row = next(row for row in report.rows() if row[0] == "1998/broken.mp4")
    assert row[1] == "failed"
    assert "not a video file" in row[3]
    make_video(tapes / "1998" / "broken.mp4", frames=2)
    assert outcomes(run(tapes, tmp_path / "out"))["1998/broken.mp4"] == "done"


def test_an_unexpected_fault_is_a_failure_of_its_file_alone(tapes: Path, tmp_path: Path) -> None:
    def faulty(config: UpscaleConfig, progress: Progress) -> UpscaleReport:
        if config.input.name == "garden.mkv":
            raise ZeroDivisionError("seven")
        return upscale(config, progress)

    config = UpscaleConfig(tapes, tmp_path / "out", scale=2, encode=EncodeConfig(preset="ultrafast"))
    report = upscale_folder(config, upscale=faulty)
    failed = next(one for one in report.files if one.outcome == "failed")
    assert "garden.mkv" in failed.input
    assert "ZeroDivisionError: seven" in failed.error
    assert report.failed == 1


def test_what_concerns_every_file_stops_at_once(tapes: Path, tmp_path: Path) -> None:
    tried = []

    def refused(config: UpscaleConfig, progress: Progress) -> UpscaleReport:
        tried.append(config.input)
        raise BackendUnavailable("no such card")

    with pytest.raises(BackendUnavailable):
        upscale_folder(UpscaleConfig(tapes, tmp_path / "out"), upscale=refused)
    assert len(tried) == 1


def test_an_interrupted_file_is_gone_on_with(tapes: Path, tmp_path: Path) -> None:
    def stopped(config: UpscaleConfig, progress: Progress) -> UpscaleReport:
        config = replace(config, segment_frames=2)

        def stop(event: Event) -> None:
            if type(event).__name__ == "Advanced" and config.input.name == "garden.mkv":
                raise KeyboardInterrupt

        return upscale(config, stop if progress is silent else progress)

    config = UpscaleConfig(tapes, tmp_path / "out", scale=2, encode=EncodeConfig(preset="ultrafast"))
    with pytest.raises(KeyboardInterrupt):
        upscale_folder(config, upscale=stopped)
    assert (tmp_path / "out/1998/garden.mkv.vidsr/job.json").exists()
    again = upscale_folder(config, lambda event: None, upscale=stopped)
    assert set(outcomes(again).values()) == {"done"}
    assert tree(tmp_path / "out") == [
        "1998/garden.mkv",
        "1998/summer/beach.mkv",
        "1998/summer/beach.mp4",
    ]


def test_the_container_is_the_source_s_own_where_it_can_be_held(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    # An MP4 with a codec that MP4 takes, asked to become one that .webm does not take.
    make_video(source / "clip.webm", frames=3, codec="libvpx")
    make_video(source / "tape.mpg", frames=3, codec="mpeg2video")
    report = run(source, target, encode=EncodeConfig(codec="h264", preset="ultrafast"))
    assert set(outcomes(report).values()) == {"done"}, report.files
    assert tree(target) == ["clip.webm.mkv", "tape.mpg.mkv"]
    assert set(outcomes(run(source, target)).values()) == {"finished before"}


def test_videos_of_one_name_stay_two() -> None:
    names = [targets_of(Path(name)) for name in ("a.mp4", "a.mkv", "a.mpg", "a.wmv", "A.MOV")]
    assert [name.name for name, *_ in names] == ["a.mp4", "a.mkv", "a.mpg.mkv", "a.wmv.mkv", "A.MOV"]
    every = [target for targets in names for target in targets]
    assert len(set(every)) == len(every)


def test_an_output_inside_of_the_input_is_not_enlarged_again(tapes: Path) -> None:
    assert len(run(tapes, tapes / "large").files) == 3
    assert set(outcomes(run(tapes, tapes / "large")).values()) == {"finished before"}


@pytest.mark.parametrize(
    ("source", "target", "error", "said"),
    [
        ("tapes", "tapes", UsageError, "holds the input"),
        ("tapes/1998", "tapes", UsageError, "holds the input"),
        ("tapes", "tapes/notes.txt", OutputError, "is a file"),
        ("tapes", "out.mp4", UsageError, "looks like a file"),
        ("nowhere", "out", InputError, "no such folder"),
        ("empty", "out", InputError, "holds no video"),
    ],
)
def test_impossible_folders(
    tapes: Path, tmp_path: Path, source: str, target: str, error: type[VidsrError], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=said):
        run(tmp_path / source, tmp_path / target)
    assert not (tmp_path / "out").exists()


def test_the_command_ends_with_a_table_and_says_that_one_failed(vidsr: Vidsr, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    make_video(source / "good.mp4", frames=2, size=(16, 16))
    (source / "bad.mp4").write_text("text")
    done = vidsr("upscale", source, tmp_path / "out", "--scale", 2, "--preset", "ultrafast")
    assert done.returncode == 1, done.stderr
    rows = [line.split()[:2] for line in done.stdout.splitlines()]
    assert ["bad.mp4", "failed"] in rows
    assert ["good.mp4", "done"] in rows
    assert "1 done, 1 failed" in done.stdout
    assert "1 of 2: bad.mp4" in done.stderr
    told = vidsr("upscale", source, tmp_path / "out", "--scale", 2, "--json")
    assert told.returncode == 1
    report = json.loads(told.stdout)
    assert report["failed"] == 1
    assert [one["outcome"] for one in report["files"]] == ["failed", "finished before"]
