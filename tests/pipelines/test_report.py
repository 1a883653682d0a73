"""The record of a run: whole, truthful about what was resumed, with its score over time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from tests.inference.nearest import NearestBackend
from tests.pipelines.test_upscale import FAST, LOSSLESS, Stop, digest, stopping_after
from tests.synthetic import make_video
from vidsr.arrays import Array
from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.errors import OutputError, UsageError
from vidsr.pipelines.report import UpscaleReport
from vidsr.pipelines.score_report import Moment, ScoreReport, clock
from vidsr.pipelines.upscale import upscale_video
from vidsr.progress import silent
from vidsr.video.frame_score import FrameScore


class InventingBackend(NearestBackend):
    """Paints a white square of 16x16 input pixels into the frames with these numbers."""

    def __init__(self, scale: int, lies: Sequence[int]) -> None:
        super().__init__(scale)
        self._lies, self._seen = lies, 0

    def __call__(self, lr: Array) -> Array:
        sr = super().__call__(lr)
        for index in range(lr.shape[0]):
            if self._seen + index in self._lies:
                sr[index, 16 * self.scale : 32 * self.scale, 32 * self.scale : 48 * self.scale] = (
                    255 if sr.dtype == torch.uint8 else 1.0
                )
        self._seen += lr.shape[0]
        return sr


def run(
    source: Path, target: Path, lies: Sequence[int] = (), progress=silent, **values
) -> UpscaleReport:
    values.setdefault("encode", LOSSLESS if target.suffix == ".mkv" else FAST)
    config = UpscaleConfig(source, target, scale=2, batch=1, **values)
    return upscale_video(
        config, progress, opener=lambda weights, config, progress: InventingBackend(2, lies)
    )


def test_what_contradicts_the_footage_shows_where_it_happens(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=30, rate=Fraction(10))
    honest = run(source, tmp_path / "a.mp4", segment_frames=10).to_json()["faithfulness"]
    report = run(source, tmp_path / "b.mp4", [17], segment_frames=10)
    found = report.to_json()["faithfulness"]
    assert found["measured_frames"] == 30
    assert (found["worst"]["frame"], found["worst"]["time_s"]) == (17, 1.7)
    assert found["worst"]["luma_db"] < honest["worst"]["luma_db"] - 3
    area = found["worst_area"]
    assert (area["frame"], area["x"], area["y"], area["width"], area["height"]) == (17, 64, 32, 32, 32)
    assert area["luma_db"] < honest["worst_area"]["luma_db"] - 3
    worst = [segment["worst"]["luma_db"] for segment in found["segments"]]
    before = [segment["worst"]["luma_db"] for segment in honest["segments"]]
    assert worst[1] < before[1] - 3
    assert (worst[0], worst[2]) == (before[0], before[2])
    assert [segment["start_s"] for segment in found["segments"]] == [0, 1, 2]
    assert found["over_time"]["frame"] == list(range(30))
    assert "dB at worst, at 0:01.70" in report.summary()


CASES = {
    "constant rate": (
        {"frames": 8, "pts": [0, 1, 2, 5, 6, 12, 13, 20], "time_base": Fraction(1, 50)},
        {"fps": 50},
    ),
    "interlaced": ({"interlaced": True, "frames": 12}, {}),
    "rotated": ({"rotation": 90.0}, {}),
    "anamorphic": ({"sar": Fraction(16, 11)}, {}),
    "10 bit": ({"codec": "libx265", "pix_fmt": "yuv420p10le"}, {}),
    "odd 4:4:4": ({"pix_fmt": "yuv444p", "size": (37, 51)}, {}),
    "late start": ({"start": 40}, {}),
    "full range": ({"range": 2, "matrix": 1}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_input_is_measured_against_itself(tmp_path: Path, name: str) -> None:
    video, settings = CASES[name]
    source = make_video(tmp_path / "in.mp4", **video)
    settings = {key: Fraction(value) for key, value in settings.items()}
    report = run(source, tmp_path / "out.mkv", segment_frames=5, **settings)
    found = report.to_json()["faithfulness"]
    assert found["measured_frames"] == report.frames
    assert found["luma_db"] > 28  # its own frame, not a neighbour: the texture of the next differs
    lying = run(source, tmp_path / "lie.mkv", [4], segment_frames=5, **settings)
    assert lying.to_json()["faithfulness"]["worst"]["luma_db"] < found["worst"]["luma_db"] - 1


def test_a_resumed_run_reports_the_whole_and_says_what_it_found(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=40, bframes=2)
    whole = run(source, tmp_path / "whole.mp4", segment_frames=8)
    target = tmp_path / "out.mp4"
    with pytest.raises(Stop):
        run(source, target, progress=stopping_after(20), segment_frames=8)
    report = run(source, target, segment_frames=8, report=tmp_path / "out.json")
    record = json.loads((tmp_path / "out.json").read_text())
    assert record == json.loads(json.dumps(report.to_json()))
    assert record["faithfulness"] == whole.to_json()["faithfulness"]
    assert (record["frames"], record["input_frames"]) == (40, 40)
    assert record["resumed_frames"] == 16
    assert any("going on after 16 finished frames" in text for text in record["notices"])


def test_the_record_is_whole(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=6, audio=1)
    run(source, tmp_path / "out.mp4", report=tmp_path / "r.json", encode=EncodeConfig(crf=20))
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["settings"]["scale"] == 2
    assert record["settings"]["encode"]["crf"] == 20
    assert record["settings"]["input"] == str(source)
    assert len(record["weights"]["sha256"]) == 64
    assert (record["weights"]["name"], record["backend"]) == (record["model"], "nearest")
    assert record["encoding"]["encoder"] == "libx264"
    assert record["encoding"]["threads"] >= 1
    assert {"vidsr", "torch", "numpy", "backend", "codecs"} == set(record["versions"])
    assert set(record["stage_seconds"]) == {"decode", "network", "encode"}
    assert record["proof"]["frames"] == 6
    assert record["decode_errors"] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "r.json"]


def test_pictures_are_measured_as_they_are_on_the_disk(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=8)
    target = tmp_path / "%02d.png"
    with pytest.raises(Stop):
        run(source, target, progress=stopping_after(4))
    report = run(source, target, [2])  # the third of those that are left
    found = report.to_json()["faithfulness"]
    assert found["measured_frames"] == 8
    assert found["worst"]["frame"] == report.resumed_frames + 2
    assert f"in picture {report.resumed_frames + 3}" in report.summary()
    jpeg = run(source, tmp_path / "%02d.jpg").to_json()["faithfulness"]
    assert jpeg["worst"]["luma_db"] > found["worst"]["luma_db"]


def test_without_a_score_the_output_is_the_same_and_nothing_is_claimed(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=5)
    run(source, tmp_path / "a.mkv")
    report = run(source, tmp_path / "b.mkv", score=False)
    assert digest(tmp_path / "a.mkv") == digest(tmp_path / "b.mkv")
    assert report.to_json()["faithfulness"]["measured_frames"] == 0
    assert "faithful" not in report.summary()
    pictures = run(source, tmp_path / "%02d.png", score=False)
    assert pictures.to_json()["faithfulness"]["measured_frames"] == 0
    assert pictures.checks == ("5 pictures read back whole",)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("in.mp4", UsageError, "is the input itself"),
        ("out.mp4", UsageError, "is the output itself"),
        ("folder", OutputError, "is a directory"),
        ("none/r.json", OutputError, "no such directory"),
        ("there.json", OutputError, "exists already"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, name: str, kind: type[Exception], words: str
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    (tmp_path / "folder").mkdir()
    (tmp_path / "there.json").write_text("precious")
    with pytest.raises(kind, match=words):
        run(source, tmp_path / "out.mp4", report=tmp_path / name)
    assert not (tmp_path / "out.mp4").exists()
    assert (tmp_path / "there.json").read_text() == "precious"


def test_the_same_command_replaces_its_own_report(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    target, path = tmp_path / "out.mp4", tmp_path / "r.json"
    run(source, target, report=path)
    target.unlink()
    run(source, target, report=path)
    with pytest.raises(OutputError, match="exists already"):
        run(source, tmp_path / "other.mp4", report=path)
    assert json.loads(path.read_text())["output"] == str(target)


def test_overwrite_replaces_a_report(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    (tmp_path / "there.json").write_text("old")
    run(source, tmp_path / "out.mp4", report=tmp_path / "there.json", overwrite=True)
    assert json.loads((tmp_path / "there.json").read_text())["frames"] == 2


def score_of(error: float, chroma: float | None = 1.0, area: tuple[int, int] = (0, 0)) -> FrameScore:
    return FrameScore(error, chroma, 2 * error, *area)


def test_averages_are_of_errors_and_the_worst_has_its_place() -> None:
    moments = (
        (Moment(0, 0.0, score_of(0.0)), Moment(1, 0.04, score_of(8.0, area=(16, 32)))),
        (),
        (Moment(3, 61.0, score_of(4.0, chroma=3.0)),),
    )
    report = ScoreReport(5, moments, (2.0, 3.0))
    plain = report.to_json()
    assert plain["luma_db"] == 42.11  # of (0 + 8 + 4) / 3
    assert plain["chroma_db"] == 45.91  # of (1 + 1 + 3) / 3
    assert plain["worst"] == {"frame": 1, "time_s": 0.04, "luma_db": 39.1}
    assert plain["worst_chroma"] == {"frame": 3, "time_s": 61.0, "chroma_db": 43.36}
    worst_area = {
        "frame": 1,
        "time_s": 0.04,
        "luma_db": 36.09,
        "x": 96,
        "y": 32,
        "width": 48,
        "height": 32,
    }
    assert plain["worst_area"] == worst_area
    assert len(plain["segments"]) == 2
    assert plain["over_time"]["luma_db"] == [100.0, 39.1, 42.11]
    assert report.summary() == (
        "faithful to the input: 42.1 dB, 39.1 dB at worst, at 0:00.04 (3 frames measured)"
    )


def test_nothing_measured_is_not_reported_as_perfect() -> None:
    report = ScoreReport(5, ((), ()), (2.0, 2.0))
    assert report.summary() is None
    assert report.to_json()["measured_frames"] == 0
    assert "luma_db" not in report.to_json()
    gray = ScoreReport(1, ((Moment(0, 0.0, score_of(4.0, chroma=None)),),), (2.0, 2.0), pictures=True)
    assert gray.to_json()["chroma_db"] is None
    assert gray.summary() == "faithful to the input: 42.1 dB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00.00"),
        (61.239, "1:01.24"),
        (3599.999, "1:00:00.00"),
        (3723.5, "1:02:03.50"),
        (-1, "-0:01.00"),
    ],
)
def test_times_read_as_players_show_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text
