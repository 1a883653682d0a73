"""A benchmark of training: its numbers belong together, and its updates are those of training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from vidsr import cores
from vidsr.errors import UsageError
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.pipelines import machine, training_benchmark
from vidsr.pipelines.machine import product_gflops
from vidsr.pipelines.training_benchmark import benchmark_training, operations_a_patch
from vidsr.pipelines.training_benchmark_report import PARTS, TrainingBenchmarkReport
from vidsr.progress import Event, Finished, Started
from vidsr.train_config import TrainingBenchmarkConfig

TINY = TrainingBenchmarkConfig(
    preset="tiny", updates=3, warm_up=1, patch=8, batch=2, device="cpu", precision="fp32", threads=1
)


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "PRODUCTS_S", 0.02)
        yield


@pytest.fixture(scope="module")
def report() -> TrainingBenchmarkReport:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "PRODUCTS_S", 0.02)
        patch.setattr(training_benchmark, "COPIES", 1)
        events: list[Event] = []
        threads, state = torch.get_num_threads(), torch.get_rng_state()
        found = benchmark_training(TINY, events.append)
    assert Started("benchmark", 4, "updates") in events and Finished("benchmark") in events
    assert torch.get_num_threads() == threads  # the caller's settings are left as they were
    assert torch.equal(torch.get_rng_state(), state)
    return found


def test_only_what_follows_the_warm_up_is_measured(report: TrainingBenchmarkReport) -> None:
    assert report.updates == 3
    assert (report.patch, report.batch, report.device, report.precision) == (8, 2, "cpu", "fp32")
    assert report.machine.threads == 1


def test_threads_chosen_for_something_else_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(cores, "_chosen", before + 2)
    try:
        with training_benchmark._threads(before + 1):
            assert cores.threads() == torch.get_num_threads() == before + 1
        assert cores.threads() == before + 2
        with training_benchmark._threads(0):
            assert cores.threads() == torch.get_num_threads() == before + 2
    finally:
        torch.set_num_threads(before)


def test_every_part_of_every_update_takes_its_time(report: TrainingBenchmarkReport) -> None:
    for update in report.updates_s:
        assert tuple(update) == PARTS
        assert all(seconds > 0 for seconds in update.values())
    assert sum(report.shares.values()) == pytest.approx(1)


def test_the_numbers_follow_from_each_other(report: TrainingBenchmarkReport) -> None:
    made_up = replace(
        report,
        updates_s=tuple(
            {"data": 0.1, "forward": forward, "backward": 0.2, "optimiser": 0.05, "other": 0.05}
            for forward in (0.1, 0.6)
        ),
        operations_a_patch=3 * 10**9,
        peak_gflops=20.0,
    )
    assert made_up.wall_s == pytest.approx(1.5)
    assert made_up.updates_per_s == pytest.approx(2 / 1.5)
    assert made_up.patches_per_s == pytest.approx(4 / 1.5)
    assert made_up.shares == pytest.approx(
        {"data": 0.2 / 1.5, "forward": 0.7 / 1.5, "backward": 0.4 / 1.5}
        | {"optimiser": 0.1 / 1.5, "other": 0.1 / 1.5}
    )
    assert made_up.gflops == pytest.approx(8.0)
    assert made_up.share_of_peak == pytest.approx(0.4)
    assert made_up.best_share_of_peak == pytest.approx(6 / 0.5 / 20)


def test_json_and_markdown_say_the_same(report: TrainingBenchmarkReport) -> None:
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["patches_per_s"] == round(report.patches_per_s, 3)
    assert plain["update_ms"]["least"] <= plain["update_ms"]["median"]
    assert set(plain["shares"]) == set(PARTS)
    text = report.to_markdown()
    assert f"**{report.patches_per_s:.1f} patches/s**" in text
    assert all(f"| {part} |" in text for part in PARTS)
    assert "None" not in text and "nan" not in text


def test_operations_are_counted_by_hand() -> None:
    small = GeneratorConfig(scale=2, blocks=1, channels=8, head_kernel=5, tail_kernel=3)
    # 5x5 from 3 to 8; a block's two 3x3 and the one behind; 3x3 to 4*8;
    # at four times the pixels 3x3 to 3.
    products = 25 * 3 * 8 + 3 * (9 * 8 * 8) + 9 * 8 * 32 + 4 * (9 * 8 * 3)
    assert operations_a_patch(Generator(small), 10) == 3 * 2 * products * 100
    assert operations_a_patch(Generator(GeneratorConfig()), 1) / 1e6 == pytest.approx(13.3, abs=0.05)


def test_a_product_is_as_fast_as_the_machine_says() -> None:
    assert product_gflops(torch.device("cpu"), torch.bfloat16) > 0.1
    assert 0.1 < product_gflops(torch.device("cpu"), torch.float32) < 1e6


def test_the_pictures_are_textured_pairs_at_every_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_benchmark, "COPIES", 2)
    train = replace(TINY.training, crop=64)
    pictures = training_benchmark._pictures(train, torch.device("cpu"))
    assert len(pictures.table) == 2 * training_benchmark.CLIPS * training_benchmark.CLIP_FRAMES
    for row in (0, 5, len(pictures.table) - 1):
        for version in range(train.versions):
            lr, hr = pictures.frame(row, version)
            assert lr.shape == (16, 16, 3) and hr.shape == (64, 64, 3)
            means = hr.float().view(16, 4, 16, 4, 3).mean((1, 3))
            assert (means - lr.float()).abs().mean() < 25  # the same picture, reduced
            assert hr.float().std() > 12


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"updates": 0}, "--updates"),
        ({"scale": 3}, "--scale"),
        ({"patch": 4}, "--patch"),
        ({"batch": 0}, "--batch"),
        ({"threads": -1}, "--threads"),
    ],
)
def test_impossible_values_are_refused(wrong: dict[str, int], option: str) -> None:
    with pytest.raises(UsageError, match=option):
        replace(TINY, **wrong)  # type: ignore[arg-type]


def test_the_command_measures(capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from vidsr.cli import app

    words = (
        "benchmark --train --preset tiny --updates 1 --patch 8 --batch 1 --threads 1 --precision fp32"
    )
    done = CliRunner().invoke(app, [*words.split(), "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    plain = json.loads(done.stdout)
    assert plain["updates"] == 1 and plain["patch"] == 8 and plain["patches_per_s"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give a video, or --train"),
        (["--train", "film.mkv"], "give a video, or --train"),
        (["--train", "--frames", "48"], "--frames does not go with --train"),
        (["film.mkv", "--updates", "3"], "--updates does not go without --train"),
        (["--train", "--scale", "2.5"], "--scale must be 2 or 4 for training, not 2.5"),
        (["--train", "--precision", "int8"], "--precision must be one of"),
    ],
)
def test_what_makes_no_sense_together_is_refused(words: list[str], message: str) -> None:
    from typer.testing import CliRunner

    from vidsr.cli import app

    done = CliRunner().invoke(app, ["benchmark", *words])
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
