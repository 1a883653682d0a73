"""A plan of a real clip: measured in a process apart, the sums right, nothing left behind."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.synthetic import make_video
from vidsr.config import EncodeConfig, ForecastConfig, UpscaleConfig
from vidsr.errors import InputError, UsageError, VidsrError
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights_file import save_weights
from vidsr.pipelines import forecast as pipeline
from vidsr.pipelines.forecast import forecast
from vidsr.pipelines.forecast_report import Forecast, duration, size
from vidsr.pipelines.trial import LEAST_FRAMES
from vidsr.progress import Advanced, Event, Finished, Started

CLIP = Path(__file__).parents[1] / "data" / "bunny_320x180_h264_aac.mp4"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(3)
    config = GeneratorConfig(
        scale=2, blocks=1, channels=16, activation="relu", upsampler="single", tail_kernel=3
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, Generator(config), metadata={})
    return str(path)


@pytest.fixture(scope="module")
def found(model: str, tmp_path_factory: pytest.TempPathFactory) -> Forecast:
    folder, events = tmp_path_factory.mktemp("plan"), list[Event]()
    job = UpscaleConfig(
        CLIP,
        folder / "out.mp4",
        scale=2,
        model=model,
        backend="cpu",
        encode=EncodeConfig(preset="ultrafast"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        found = forecast(ForecastConfig(job, seconds=0.3), events.append)
    assert not list(folder.iterdir())
    assert events == [Started("plan", 1, "trials"), Advanced("plan", 1), Finished("plan")]
    return found


def test_one_way_is_measured_and_chosen(found: Forecast) -> None:
    (way,) = found.ways
    assert (way.model, way.backend, way.precision, way.scale) == ("tiny", "cpu", "fp32", 2)
    assert way.chosen and not found.refusals
    assert way.frames >= LEAST_FRAMES
    assert 0 < way.network_s * way.network_share <= way.seconds_a_frame
    assert way.seconds >= 132 * way.seconds_a_frame
    assert found.frames == 132 and 0 <= found.unchanged < 0.1


def test_size_and_disk_come_from_a_real_encode(found: Forecast) -> None:
    (way,) = found.ways
    audio = 65214
    assert way.output_bytes > audio + 132 * 100  # not one frame of this clip is as cheap as that
    # Segments and joined file are there at once, the sound once.
    others = 2 * way.output_bytes - way.disk_bytes
    assert audio < others < audio + 10_000
    assert found.free_bytes > 0


def test_memory_is_that_of_the_trial_s_own_process(found: Forecast) -> None:
    (way,) = found.ways
    assert way.memory_bytes is None or 50 << 20 < way.memory_bytes < 4 << 30
    assert way.device_bytes is None


def test_json_and_words_say_the_same(found: Forecast) -> None:
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["ways"][0]["fps"] == round(found.ways[0].fps, 4)
    assert [row[1] for row in plain["description"]["streams"]] == ["video", "audio"]
    assert found.rows[0][0] == "tiny x2" and found.rows[0][-1] == "chosen"
    blended = replace(found.ways[0], detail=0.75)
    assert [row[0] for row in replace(found, ways=(blended, blended)).rows] == ["tiny x2"] * 2
    differing = replace(found, ways=(found.ways[0], blended)).rows
    assert [row[0] for row in differing] == ["tiny x2", "tiny x2, detail 0.75"]
    assert dict(found.facts)["unchanged"].startswith("0 % of them are equal to the one before; ")
    assert found.notices == ()
    tight = replace(found, free_bytes=1000)
    assert "not enough free space" in tight.notices[-1]


def test_a_way_that_takes_too_long_is_said_not_hidden(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "LEAST_PATIENCE_S", 0.1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    job = UpscaleConfig(CLIP, tmp_path / "out.mp4", scale=2, model=model, backend="cpu")
    with pytest.raises(VidsrError, match="tiny on cpu: took more than"):
        forecast(ForecastConfig(job, seconds=0.001))
    assert not list(tmp_path.iterdir())


def test_a_backend_that_is_not_here_is_said_with_its_reason(model: str, tmp_path: Path) -> None:
    job = UpscaleConfig(CLIP, tmp_path / "o.mp4", scale=2, model=model, backend="cpu", precision="int8")
    with pytest.raises(VidsrError, match="cpu: 8 bits are for --backend openvino"):
        forecast(ForecastConfig(job))


def test_what_cannot_be_planned_is_refused(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", frames=2)
    with pytest.raises(UsageError, match="plan is about videos"):
        forecast(ForecastConfig(UpscaleConfig(tmp_path / "in.mp4", tmp_path / "%05d.png")))
    with pytest.raises(InputError, match=r"none\.mp4"):
        forecast(ForecastConfig(UpscaleConfig(tmp_path / "none.mp4", tmp_path / "out.mp4")))
    with pytest.raises(UsageError, match="--seconds"):
        ForecastConfig(UpscaleConfig(CLIP, tmp_path / "out.mp4"), seconds=0)


def test_words_for_sizes_and_times() -> None:
    assert [size(n) for n in (0, 999, 1000, 618_000_000, 2.5e12)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "618 MB",
        "2.5 TB",
    ]
    assert [duration(s) for s in (0.2, 59, 61, 600, 3600, 11520, 432_000)] == [
        "1 s",
        "59 s",
        "1 min 1 s",
        "10 min",
        "1 h",
        "3 h 12 min",
        "5 days",
    ]


def test_a_folder_that_is_not_there_yet_is_no_hindrance(model: str, tmp_path: Path) -> None:
    job = UpscaleConfig(CLIP, tmp_path / "new" / "out.mp4", scale=2, model=model, backend="cpu")
    found = forecast(ForecastConfig(job, seconds=0.05))
    assert found.folder == str(tmp_path) and found.free_bytes > 0
    assert not (tmp_path / "new").exists()


def test_what_did_not_change_costs_no_network(model: str, tmp_path: Path) -> None:
    still = [0] * 20 + [1] * 20
    make_video(tmp_path / "in.mkv", frames=still, size=(96, 128), codec="ffv1")
    job = UpscaleConfig(tmp_path / "in.mkv", tmp_path / "out.mkv", scale=2, model=model, backend="cpu")
    found = forecast(ForecastConfig(job, seconds=0.05))
    assert found.unchanged > 0.9
    share = found.ways[0].network_share
    assert 0 <= share < 0.1
    said = dict(found.facts)["unchanged"]
    assert said.endswith(f"; {100 * (1 - share):.0f} % of the network's work is skipped")
    computed = forecast(ForecastConfig(replace(job, skip=False), seconds=0.05))
    assert computed.ways[0].network_share == 1
