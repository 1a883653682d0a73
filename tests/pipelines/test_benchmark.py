"""A benchmark of a real clip: the stages add up, the tables say it, nothing is left behind."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vidsr.config import BenchmarkConfig
from vidsr.errors import InputError, UsageError
from vidsr.inference.memory import peak_rss_bytes
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import Weights, find_weights
from vidsr.models.weights_file import save_weights
from vidsr.pipelines import machine
from vidsr.pipelines.benchmark import benchmark, gflop_a_frame
from vidsr.pipelines.benchmark_report import BenchmarkReport, DeviceRates, StageTime, WayTime
from vidsr.pipelines.machine import copy_gbps, look_at_machine
from vidsr.progress import Event, Finished, Progress, Started, silent

CLIP = Path(__file__).parents[1] / "data" / "bunny_320x180_h264_aac.mp4"

STAGES = ["decode", "colour in", "network", "colour out", "encode"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    torch.manual_seed(3)
    config = GeneratorConfig(
        scale=2, blocks=1, channels=16, activation="relu", upsampler="single", tail_kernel=3
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, Generator(config), metadata={})
    return find_weights(str(path), 2)


def measured(folder: Path, progress: Progress = silent, **values: Any) -> BenchmarkReport:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "PRODUCTS_S", 0.05)
        patch.setattr("vidsr.pipelines.benchmark_networks.COMPARED_S", 0.1)
        patch.setattr("vidsr.pipelines.benchmark_stages.THROUGH_S", 0.05)
        patch.setattr("vidsr.inference.tuning.TRIAL_S", 0.01)
        patch.setattr(tempfile, "tempdir", str(folder))
        return benchmark(BenchmarkConfig(CLIP, frames=6, scale=2, batch=2, **values), progress)


@pytest.fixture(scope="module")
def report(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> BenchmarkReport:
    events: list[Event] = []
    folder = tmp_path_factory.mktemp("temporary")
    found = measured(folder, events.append, model=str(weights.path))
    assert not list(folder.iterdir())
    assert Started("benchmark", None) in events and Finished("benchmark") in events
    return found


def test_every_stage_is_measured_alone(report: BenchmarkReport) -> None:
    assert [stage.name for stage in report.stages] == STAGES
    for stage in report.stages:
        assert 0 < stage.least_ms <= stage.median_ms
    assert (report.frames, report.batch) == (6, 2)
    assert (report.input_size, report.output_size) == ((320, 180), (640, 360))


def test_the_stages_together_take_at_least_their_work(report: BenchmarkReport) -> None:
    assert set(report.together_busy_s) == {"decode", "network", "encode"}
    assert 0 < report.together_busy_s["network"] <= report.together_s
    assert report.fps == pytest.approx(6 / report.together_s)
    assert 0 < report.cores_busy <= 1.2  # the clocks of processes and walls tick apart


def test_from_the_network_alone_to_the_whole_job(report: BenchmarkReport) -> None:
    assert 0 < report.through_share < 1.5  # a machine may be quieter in one of the two
    assert report.unencoded_s > 0
    # The processor copies nothing.
    assert (report.bytes_up, report.bytes_down) == (0, 0)
    assert report.device is None and report.copy_share is None and report.peak_device_bytes is None


def test_a_backend_with_several_ways_shows_them(weights: Weights, tmp_path: Path) -> None:
    report = measured(tmp_path, model=str(weights.path), backend="cpu")
    assert {way.way for way in report.ways} == {"rewritten", "plain"}
    assert [way.relative for way in report.ways if way.taken]
    assert min(way.relative for way in report.ways if way.relative is not None) == 1
    assert "| cpu fp32, computed | time |" in report.to_markdown()
    assert not measured(tmp_path, model=str(weights.path), backend="cpu", compare=False).ways


def test_a_card_is_measured_by_what_it_could_do(report: BenchmarkReport) -> None:
    on_a_card = replace(
        report,
        precision="fp16",
        stages=(*report.stages, StageTime("copy up", 0.5, 0.4, 0.1), StageTime("copy down", 2, 1, 1)),
        through_ms=4.0,
        bytes_up=1_000_000,
        bytes_down=50_000_000,
        peak_device_bytes=3 << 30,
        device=DeviceRates(gflops=700_000, up_gbps=50, down_gbps=50, memory_gbps=4000),
        ways=(
            WayTime("fused, as a graph", 1.0, True, None),
            WayTime("plain", None, False, "too far off"),
        ),
    )
    assert on_a_card.copy_share == pytest.approx(0.25)  # 50 MB at 50 GB/s are 1 ms
    assert json.loads(json.dumps(on_a_card.to_json()))["copy_share"] == 0.25
    text = on_a_card.to_markdown()
    assert "700 TFLOP/s fp16, copies 50 GB/s up and 50 down, its memory 4000 GB/s" in text
    assert "25 % of the copy rate" in text and "3072 MiB of the card's" in text
    assert "| **fused, as a graph** | 1.00 |" in text and "| plain | refused: too far off |" in text


def test_copies_are_timed() -> None:
    source = torch.ones(1 << 16, dtype=torch.uint8)
    target = torch.zeros_like(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "PRODUCTS_S", 0.01)
        assert copy_gbps(source, target) > 0
    assert torch.equal(source, target)


def test_the_other_backends_stand_beside(report: BenchmarkReport) -> None:
    ways = [(run.backend, run.precision) for run in report.networks]
    assert ways[0] == (report.backend, report.precision)
    assert ("cpu", "fp32") in ways and len(set(ways)) == len(ways)
    assert all(run.least_ms > 0 for run in report.networks)


def test_json_and_markdown_say_the_same(report: BenchmarkReport) -> None:
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["fps"] == round(report.fps, 2)
    assert [stage["name"] for stage in plain["stages"]] == STAGES
    text = report.to_markdown()
    assert f"**{report.fps:.1f} fps**" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 * 2 + len(STAGES) + len(report.networks)
    assert "None" not in text and "nan" not in text
    assert ", tiny x2 on " in text
    assert ", tiny x2, detail 0.5 on " in replace(report, detail=0.5).to_markdown()


def test_what_a_system_does_not_tell_is_left_out(report: BenchmarkReport) -> None:
    bare = replace(
        report,
        peak_rss_bytes=None,
        machine=replace(report.machine, load=None, int8_gops=None, memory_bytes=None),
        networks=(replace(report.networks[0], share_of_peak=None),),
    )
    text = bare.to_markdown()
    assert "None" not in text and "peak memory" not in text and "int8 (" not in text


def test_operations_are_counted_by_hand(weights: Weights) -> None:
    # 9x9 from 3 to 16, three 3x3 from 16 to 16 (a block, and the one before the skip), 3x3 to 12.
    products = 81 * 3 * 16 + 3 * (9 * 16 * 16) + 9 * 16 * 12
    assert gflop_a_frame(weights, 180, 320) == pytest.approx(2 * products * 180 * 320 / 1e9)


def test_a_stage_time_is_median_and_least() -> None:
    assert StageTime.of("x", [3.0, 1.0, 2.0], 4.0) == StageTime("x", 2.0, 1.0, 4.0)


def test_the_machine_knows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PRODUCTS_S", 0.02)
    found = look_at_machine()
    assert found.processor and found.cores >= 1 and found.threads == torch.get_num_threads()
    assert found.fp32_gflops > 0.1
    assert found.versions["torch"] == torch.__version__
    peak = peak_rss_bytes()
    assert peak is None or 50 << 20 < peak < 1 << 40


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(InputError, match=r"text\.mp4"):
        benchmark(BenchmarkConfig(text))
    with pytest.raises(UsageError, match="--frames"):
        BenchmarkConfig(CLIP, frames=0)
