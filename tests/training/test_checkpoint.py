from pathlib import Path

import pytest
import torch

from tests.training.states import make_pair, make_state, same, weights_of
from vidsr.errors import TrainingError
from vidsr.recipes import OptimizerName
from vidsr.training.average import update_average
from vidsr.training.checkpoint import read_checkpoint, save_checkpoint
from vidsr.training.gan_step import StageName, TrainState, gan_step, pixel_step
from vidsr.training.losses import Losses


def advance(state: TrainState, steps: int) -> None:
    update = gan_step if state.stage == "adversarial" else pixel_step
    for _ in range(steps):
        update(state, make_pair(seed=state.step), Losses())
        update_average(state.average, state.generator, state.step, 0.9)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("stage", ["pixel", "adversarial"])
def test_going_on_equals_never_stopping_to_the_bit(
    tmp_path: Path, stage: StageName, optimizer: OptimizerName
) -> None:
    straight = make_state(stage, optimizer=optimizer)
    advance(straight, 6)
    stopped = make_state(stage, optimizer=optimizer)
    advance(stopped, 3)
    stopped.used_s = 1.5
    save_checkpoint(tmp_path / "c.pt", stopped, {"scale": 2}, {"curves": {}})
    resumed = make_state(
        stage, optimizer=optimizer, seed=9
    )  # other weights, all of which must be replaced
    kept = read_checkpoint(tmp_path / "c.pt")
    kept.restore(resumed)
    assert (kept.stage, kept.step, resumed.step, resumed.used_s) == (stage, 3, 3, 1.5)
    assert kept.settings == {"scale": 2}
    assert kept.shape == resumed.generator.config
    advance(resumed, 3)
    assert same(weights_of(straight.generator), weights_of(resumed.generator))
    assert same(weights_of(straight.average), weights_of(resumed.average))
    if straight.discriminator is not None and resumed.discriminator is not None:
        assert same(weights_of(straight.discriminator), weights_of(resumed.discriminator))


def test_random_state_is_restored(tmp_path: Path) -> None:
    state = make_state()
    save_checkpoint(tmp_path / "c.pt", state, {}, {})
    expected = torch.rand(3)
    torch.rand(100)
    read_checkpoint(tmp_path / "c.pt").restore(state)
    assert torch.equal(torch.rand(3), expected)


def test_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", make_state(), {}, {})
    other = make_state()
    other.generator = torch.nn.Conv2d(1, 1, 1)  # type: ignore[assignment]
    with pytest.raises(TrainingError, match=r"c\.pt: is of another architecture.*--restart"):
        read_checkpoint(tmp_path / "c.pt").restore(other)


def test_what_another_optimiser_holds_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", make_state(), {}, {})
    with pytest.raises(TrainingError, match=r"this run needs .*generator Muon.*--restart"):
        read_checkpoint(tmp_path / "c.pt").restore(make_state(optimizer="muon"))


def test_checkpoint_of_another_stage_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", make_state(), {}, {})
    with pytest.raises(TrainingError, match="discriminator"):
        read_checkpoint(tmp_path / "c.pt").restore(make_state("adversarial"))


def test_weights_that_are_not_finite_never_replace_sound_ones(tmp_path: Path) -> None:
    state = make_state()
    save_checkpoint(tmp_path / "c.pt", state, {}, {})
    sound = (tmp_path / "c.pt").read_bytes()
    with torch.no_grad():
        next(state.generator.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="not finite"):
        save_checkpoint(tmp_path / "c.pt", state, {}, {})
    assert (tmp_path / "c.pt").read_bytes() == sound


@pytest.mark.parametrize("damage", ["empty", "text", "half"])
def test_damaged_files_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "c.pt"
    save_checkpoint(path, make_state(), {}, {})
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"hello world", "half": whole[: len(whole) // 2]}[damage])
    with pytest.raises(TrainingError, match=r"c\.pt: not a usable checkpoint.*--restart"):
        read_checkpoint(path)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    state = make_state()
    save_checkpoint(tmp_path / "c.pt", state, {}, {})
    sound = (tmp_path / "c.pt").read_bytes()
    (tmp_path / ".c.pt.partial").mkdir()  # nothing can be written under this name
    with pytest.raises(TrainingError, match="cannot be written"):
        save_checkpoint(tmp_path / "c.pt", state, {}, {})
    assert (tmp_path / "c.pt").read_bytes() == sound
