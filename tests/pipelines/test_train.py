"""Training from end to end, on synthetic videos and tiny networks."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.pictures import panned, textured, write_still, write_video
from tests.waiting import started
from vidsr.errors import TrainingError, UsageError, VidsrError, WeightsError
from vidsr.models.weights import USUAL_DETAIL, find_weights, load_generator
from vidsr.models.weights_file import read_header
from vidsr.pipelines.run_folder import TrainReport
from vidsr.pipelines.train import train
from vidsr.progress import Advanced, Event, Finished, Notice, Started
from vidsr.train_config import TrainConfig
from vidsr.training.gan_step import StageName
from vidsr.training.stage import new_generator

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(3):
        write_video(folder / f"{seed}.mp4", panned(10, 96, 128, seed))
    write_still(folder / "still.png", textured(96, 96, 9))
    return folder


@dataclass(frozen=True)
class Run:
    """A training that was never stopped, which others are compared with."""

    config: TrainConfig
    report: TrainReport
    heard: list[Event]


@pytest.fixture(scope="module")
def straight(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = TrainConfig(
        videos=videos,
        output=tmp_path_factory.mktemp("straight") / "run",
        cache=tmp_path_factory.mktemp("cache"),
        scale=2,
        preset="tiny",
        warm_up=2,
        blocks=1,
        channels=8,
        patch=12,
        batch=4,
        updates=12,
        adversarial_updates=4,
        clip_frames=2,
        versions=2,
        precision="fp32",
        device="cpu",
        validate_every=6,
        log_every=2,
        threads=1,
        tensorboard=False,
    )
    heard: list[Event] = []
    with torch.random.fork_rng(devices=[]):
        return Run(config, train(config, heard.append), heard)


@pytest.fixture
def config(straight: Run, tmp_path: Path) -> TrainConfig:
    """The settings of that run, for another."""
    return replace(straight.config, output=tmp_path / "run")


def test_one_command_runs_both_stages_to_usable_weights(straight: Run) -> None:
    config, report, heard = straight.config, straight.report, straight.heard
    assert {"pixel", "adversarial"} <= {e.task for e in heard if isinstance(e, Finished)}
    assert report.stages["pixel"]["updates"] == 12
    assert report.stages["adversarial"]["patches"] == 16
    assert {"psnr", "ssim"} == set(report.scores)
    assert {"lanczos psnr", "bicubic ssim"} <= set(report.baselines)
    losses = [e.values for e in heard if isinstance(e, Advanced) and e.task == "adversarial"]
    assert {"discriminator", "real", "made", "adversarial", "pixel", "patches/s"} <= set(losses[0])
    assert "perceptual" not in losses[0]  # the presets for processors need no VGG
    weights = find_weights(str(report.weights), 2)
    generator = load_generator(weights, torch.device("cpu"))
    assert generator(torch.rand(1, 3, 9, 7)).shape == (1, 3, 18, 14)
    header = read_header(report.weights)
    assert header["degradation"] == "video"
    assert header["objective"] == "adversarial"
    assert json.loads(header["stages"])["pixel"]["updates"] == 12
    assert json.loads(header["scores"]) == pytest.approx(dict(report.scores))
    assert report.to_json()["weights"] == str(report.weights)
    assert f"--model {config.output} IN OUT" in report.summary()
    assert find_weights(str(config.output), 2).detail == USUAL_DETAIL
    names = {path.name for path in config.output.iterdir()}
    assert {"pixel.safetensors", "adversarial.safetensors", "best-psnr.safetensors"} <= names
    assert not [name for name in names if name.endswith(".partial")]
    page = (config.output / "report.html").read_text()
    assert "data:image/png;base64" in page and "<polyline" in page and "http" not in page


def test_training_beats_its_beginning(config: TrainConfig) -> None:
    report = train(replace(config, stage="pixel", updates=300, learning_rate=2e-3, validate_every=300))
    start = train(replace(config, stage="pixel", updates=1, output=config.output.with_name("start")))
    assert report.scores["psnr"] > start.scores["psnr"] + 0.3


def test_a_finished_run_is_not_run_again(straight: Run) -> None:
    content = load_file(straight.report.weights)
    heard: list[Event] = []
    again = train(straight.config, heard.append)
    assert not [e for e in heard if isinstance(e, Advanced) and e.task != "cache"]
    assert again.stages["pixel"]["updates"] == 12
    assert all(torch.equal(content[name], tensor) for name, tensor in load_file(again.weights).items())


def test_more_updates_prolong_a_run(config: TrainConfig) -> None:
    train(replace(config, stage="pixel"))
    heard: list[Event] = []
    report = train(replace(config, stage="pixel", updates=16), heard.append)
    assert [e.done for e in heard if isinstance(e, Started) and e.task == "pixel"] == [12]
    assert report.stages["pixel"]["updates"] == 16


def test_hours_end_a_stage_by_the_clock(config: TrainConfig) -> None:
    report = train(replace(config, stage="pixel", hours=1.0 / 3600, updates=None))
    assert 1.0 <= report.stages["pixel"]["seconds"] < 6
    assert report.stages["pixel"]["updates"] > 2


def test_fine_tuning_keeps_the_shape_of_the_weights_given(config: TrainConfig) -> None:
    first = train(replace(config, stage="pixel"))
    output = config.output.with_name("fine")
    tuned = train(
        replace(config, stage="adversarial", init=str(first.weights), output=output, channels=16)
    )
    before, after = load_file(first.weights), load_file(tuned.weights)
    settings = json.loads(read_header(tuned.weights)["settings"])
    assert settings["init"] == first.weights.name  # weights are handed on: no folders in them
    assert {name: t.shape for name, t in before.items()} == {name: t.shape for name, t in after.items()}
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_run_goes_on_with_its_own_weights_and_says_so_where_those_of_init_changed(
    straight: Run, config: TrainConfig, tmp_path: Path
) -> None:
    given = tmp_path / "given.safetensors"
    given.write_bytes((straight.config.output / "pixel.safetensors").read_bytes())
    config = replace(config, stage="pixel", init=str(given))
    made = load_file(train(config).weights)

    def words_of_going_on() -> list[str]:
        heard: list[Event] = []
        again = load_file(train(config, heard.append).weights)
        assert all(torch.equal(made[name], tensor) for name, tensor in again.items())
        return [e.text for e in heard if isinstance(e, Notice) and e.level == "warning"]

    assert words_of_going_on() == []
    given.write_bytes((straight.config.output / "adversarial.safetensors").read_bytes())
    (warning,) = words_of_going_on()
    assert str(given) in warning
    assert "--restart" in warning
    given.unlink()  # a run that goes on does not need it
    assert words_of_going_on() == []


def test_of_a_model_with_two_sets_training_goes_on_from_the_pixel_set(
    straight: Run, config: TrainConfig
) -> None:
    begun = new_generator(replace(config, init=str(straight.config.output))).state_dict()
    pixel = load_file(straight.config.output / "pixel.safetensors")
    assert all(torch.equal(begun[name], tensor.float()) for name, tensor in pixel.items())


@pytest.mark.parametrize("stage", ["pixel", "adversarial"])
def test_without_updates_a_network_is_written_in_the_larger_form(
    straight: Run, config: TrainConfig, stage: StageName
) -> None:
    given = straight.config.output / f"{stage}.safetensors"
    width = load_file(given)["head.weight"].shape[0]
    grown = train(
        replace(
            config,
            stage=stage,
            init=str(given),
            grow=True,
            channels=2 * width,
            updates=0,
            adversarial_updates=0,
        )
    )
    assert load_file(grown.weights)["head.weight"].shape[0] == 2 * width
    assert grown.stages[stage]["updates"] == 0
    header = json.loads(read_header(given)["scores"])
    assert grown.scores["psnr"] == pytest.approx(header["psnr"], abs=0.01)
    with pytest.raises(UsageError, match="--updates must be at least 1"):
        replace(config, updates=0)  # nothing would have been done


def test_weights_of_another_scale_cannot_begin_a_training(config: TrainConfig) -> None:
    first = train(replace(config, stage="pixel"))
    with pytest.raises(VidsrError, match="enlarges by 2"):
        train(replace(config, scale=4, init=str(first.weights), output=config.output / "x4"))


def test_other_settings_in_the_same_folder_are_refused(config: TrainConfig) -> None:
    train(replace(config, stage="pixel"))
    with pytest.raises(TrainingError, match=r"patch was 12.*--restart"):
        train(replace(config, stage="pixel", patch=16))
    report = train(replace(config, stage="pixel", patch=16, restart=True))
    assert report.stages["pixel"]["updates"] == 12


def test_a_run_of_a_version_that_did_not_know_a_setting_goes_on(config: TrainConfig) -> None:
    train(replace(config, stage="pixel", updates=2))
    path = config.output / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    del content["settings"]["variation_weight"]
    torch.save(content, path)
    report = train(replace(config, stage="pixel", updates=4))
    assert report.stages["pixel"]["updates"] == 4
    torch.save(content, path)
    with pytest.raises(TrainingError, match=r"variation_weight was 0\.0"):
        train(replace(config, stage="pixel", updates=6, variation_weight=1.0))


def test_bicubic_degradation_and_given_validation(config: TrainConfig, tmp_path: Path) -> None:
    held = write_video(tmp_path / "held.mp4", panned(10, 96, 128, 20))
    heard: list[Event] = []
    train(replace(config, stage="pixel", degradation="bicubic", validation=held), heard.append)
    assert any("4 files, 1 held out" in e.text for e in heard if isinstance(e, Notice))


def test_one_file_trains_without_validation(config: TrainConfig, videos: Path) -> None:
    heard: list[Event] = []
    report = train(replace(config, stage="pixel", videos=videos / "0.mp4"), heard.append)
    assert report.scores == {}
    assert any("nothing is held out" in e.text for e in heard if isinstance(e, Notice))


def test_impossible_wishes_are_refused(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="smaller --patch"):
        train(replace(config, patch=100))
    with pytest.raises(VidsrError, match="no such folder"):
        train(replace(config, videos=tmp_path / "gone"))
    with pytest.raises(UsageError, match="--init"):
        replace(config, stage="adversarial")
    with pytest.raises(UsageError, match="--grow"):
        replace(config, grow=True)
    with pytest.raises(UsageError, match="--preset"):
        replace(config, preset="huge")  # type: ignore[arg-type]
    vgg = {"vgg_weights": tmp_path / "gone.safetensors", "perceptual_layers": (("relu1_1", 1.0),)}
    with pytest.raises(WeightsError, match=r"gone\.safetensors"):
        train(replace(config, **vgg))  # type: ignore[arg-type]


def test_losses_that_are_not_numbers_end_the_training_and_keep_the_checkpoint(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidsr.training import stage

    train(replace(config, stage="pixel"))
    kept = (config.output / "checkpoint.pt").read_bytes()
    monkeypatch.setitem(stage.PIXEL_LOSSES, "l1", lambda sr, hr: (sr - hr).mean() * float("nan"))
    with pytest.raises(TrainingError, match="not numbers any more"):
        train(replace(config, stage="pixel", updates=100))
    assert (config.output / "checkpoint.pt").read_bytes() == kept


RUN = """
import sys
from pathlib import Path
from dataclasses import dataclass, replace
from vidsr.train_config import TrainConfig
from vidsr.training.gan_step import StageName
from vidsr.pipelines.run_folder import TrainReport
from vidsr.pipelines.train import train
from vidsr.progress import Advanced
def listen(event):
    if isinstance(event, Advanced) and event.task != "cache":
        print(event.task, event.done, flush=True)
config = eval(sys.argv[1], {"TrainConfig": TrainConfig, "PosixPath": Path, "WindowsPath": Path})
train(config, listen)
"""


def start(config: TrainConfig, **environment: str) -> AbstractContextManager[subprocess.Popen[str]]:
    return started(
        [sys.executable, "-c", RUN, repr(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for found in process.stdout:
        if found.strip() == line:
            return
    assert process.stderr is not None
    pytest.fail(f"ended before {line!r}: {process.stderr.read()}")


def same_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_killed_runs_end_with_the_bits_of_one_never_stopped(straight: Run, config: TrainConfig) -> None:
    killed = replace(config, checkpoint_every_s=0.0)
    for line in ("pixel 8", "adversarial 2"):
        with start(killed) as process:
            wait_for(process, line)
            process.kill()
        assert not (killed.output / "weights.safetensors").exists()
    heard: list[Event] = []
    resumed = train(killed, heard.append)
    assert any("goes on in the adversarial stage" in e.text for e in heard if isinstance(e, Notice))
    assert same_weights(straight.report.weights, resumed.weights)
    assert same_weights(
        straight.config.output / "pixel.safetensors", killed.output / "pixel.safetensors"
    )


def test_interrupt_saves_and_the_same_command_goes_on(config: TrainConfig) -> None:
    stopped = replace(config, stage="pixel", updates=100_000)
    with start(stopped) as process:
        wait_for(process, "pixel 4")
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in words
    assert (stopped.output / "checkpoint.pt").exists()
    heard: list[Event] = []
    train(replace(stopped, updates=1), heard.append)
    assert any("goes on in the pixel stage" in e.text for e in heard if isinstance(e, Notice))


@pytest.mark.distributed
def test_two_processes_equal_one_with_their_batch(config: TrainConfig) -> None:
    config = replace(config, adversarial_loss="standard")  # relativistic means are each process's own
    alone = replace(config, output=config.output.with_name("alone"))
    report = train(alone)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with ExitStack() as ended:
        processes = [
            ended.enter_context(
                start(config, RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
            )
            for rank in range(2)
        ]
        for process in processes:
            _, errors = process.communicate()
            assert process.returncode == 0, errors
    one, other = (
        torch.load(output / "checkpoint.pt", weights_only=True)["parts"]
        for output in (alone.output, config.output)
    )
    begun = new_generator(config).state_dict()
    moved = max(float((value - begun[name]).abs().max()) for name, value in one["generator"].items())
    assert moved > 3e-3
    for network in ("generator", "average", "discriminator"):
        for name, value in one[network].items():
            # Sums in another order differ in their last bits; seen: 1.6e-6.
            torch.testing.assert_close(value, other[network][name], rtol=0, atol=2e-5)
    assert report.stages["pixel"]["patches"] == 12 * config.recipe.batch
