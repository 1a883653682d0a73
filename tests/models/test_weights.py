from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.blends import SMALL, save_sets
from tests.models.generators import same_as, small
from vidsr.errors import UsageError, WeightsError
from vidsr.models import weights as module
from vidsr.models.weights import (
    OBJECTIVES,
    USUAL_DETAIL,
    find_sets,
    find_weights,
    load_generator,
    load_tensors,
    registry,
)
from vidsr.models.weights_file import read_header, save_weights

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("detail", [0.25, 0.5])
def test_tensors_of_a_blend_lie_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detail: float, batch_norm: bool
) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    sets = small(1, batch_norm=batch_norm), small(2, batch_norm=batch_norm)
    for objective, generator in zip(("pixel", "adversarial"), sets, strict=True):
        path = tmp_path / f"m_x4_{objective}.safetensors"
        save_weights(path, generator, metadata={}, dtype=torch.float32)
    states = [generator.state_dict() for generator in sets]
    mean = small(batch_norm=batch_norm)
    mean.load_state_dict(
        {
            name: torch.lerp(tensor, states[1][name], detail) if tensor.is_floating_point() else tensor
            for name, tensor in states[0].items()
        }
    )
    same_as(mean, find_weights("m", 4, detail=detail), 1e-6)


def test_two_sets_of_different_shapes_are_not_blended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    save_weights(tmp_path / "m_x4_pixel.safetensors", small(), metadata={})
    save_weights(tmp_path / "m_x4_adversarial.safetensors", small(blocks=2), metadata={})
    with pytest.raises(WeightsError, match=r"adversarial\.safetensors: differs in shape from .*pixel"):
        load_tensors(find_weights("m", 4, detail=0.5))


def test_detail_blends_two_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    pixel, adversarial = small(1), small(2)
    save_weights(tmp_path / "m_x4_pixel.safetensors", pixel, metadata={}, dtype=torch.float32)
    save_weights(
        tmp_path / "m_x4_adversarial.safetensors", adversarial, metadata={}, dtype=torch.float32
    )
    lr = torch.rand(1, 3, 8, 8)
    for detail, expected in ((0.0, pixel), (1.0, adversarial)):
        alone = find_weights("m", 4, detail=detail)
        assert (len(alone.files), alone.detail, alone.title) == (1, detail, f"m x4, detail {detail:g}")
        torch.testing.assert_close(load_generator(alone, CPU)(lr), expected(lr), atol=0, rtol=0)
    half = load_generator(find_weights("m", 4, detail=0.5), CPU)
    mean = (pixel.head.weight + adversarial.head.weight) / 2
    torch.testing.assert_close(half.head.weight, mean)
    digests = {find_weights("m", 4, detail=d).sha256 for d in (0.0, 0.3, 0.5, 1.0)}
    assert len(digests) == 4


def test_the_usual_detail_is_taken_where_there_are_both_sets_and_nobody_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "shipped")
    save_sets(tmp_path / "shipped", SMALL, "m_x2_")
    for model, name in (("m", "m"), (str(save_sets(tmp_path / "run")), "run")):
        usual = find_weights(model, 2)
        assert usual == find_weights(model, 2, detail=USUAL_DETAIL)
        assert (usual.label, usual.title) == (f"{name}, detail 0.75", f"{name} x2, detail 0.75")
        assert usual.to_json()["detail"] == USUAL_DETAIL and len(usual.to_json()["files"]) == 2
        assert [each.path for each in find_sets(model, 2)] == list(usual.files)


def test_a_detail_at_either_end_needs_that_set_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    for number, (objective, missing) in enumerate(zip(OBJECTIVES, OBJECTIVES[::-1], strict=True)):
        name = f"only{number}"
        path = tmp_path / f"{name}_x4_{objective}.safetensors"
        save_weights(path, small(), metadata={})
        only = find_weights(name, 4)
        assert (only.files, only.title) == ((path,), f"{name} x4")
        assert find_weights(name, 4, detail=float(number)) == only
        assert find_sets(name, 4) == (only,)
        for detail in (USUAL_DETAIL, 1.0 - number):
            with pytest.raises(UsageError) as refusal:
                find_weights(name, 4, detail=detail)
            assert str(refusal.value) == (
                f"--detail {detail:g} needs the {missing} set of weights, and {name} x4 has none: "
                f"--detail {number} does without"
            )


def test_sets_of_a_file_are_that_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_weights(path, small(), metadata={})
    assert find_sets(str(path), 4) == (find_weights(str(path), 4),)
    with pytest.raises(UsageError, match="no model is named"):
        find_sets("nonesuch", 4)


def test_the_folder_of_a_training_has_a_detail_of_its_own(tmp_path: Path) -> None:
    pixel, adversarial = small(1), small(2)
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(WeightsError, match="holds no weights of a training"):
        find_weights(str(run), 4)
    save_weights(run / "pixel.safetensors", pixel, metadata={}, dtype=torch.float32)
    assert find_weights(str(run), 4).name == "run"
    with pytest.raises(UsageError, match="needs the adversarial set"):
        find_weights(str(run), 4, detail=0.5)
    save_weights(run / "adversarial.safetensors", adversarial, metadata={}, dtype=torch.float32)
    half = load_generator(find_weights(str(run), 4, detail=0.5), CPU)
    torch.testing.assert_close(half.head.weight, (pixel.head.weight + adversarial.head.weight) / 2)
    with pytest.raises(UsageError, match="4 at most"):
        find_weights(str(run), 5)


def test_the_smallest_native_scale_that_reaches_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    for scale in (2, 4):
        save_weights(tmp_path / f"m_x{scale}_pixel.safetensors", small(scale=scale), metadata={})
    assert [find_weights("m", factor).scale for factor in (1, 1.5, 2, 2.01, 3, 4)] == [2, 2, 2, 4, 4, 4]
    with pytest.raises(UsageError, match="4 at most"):
        find_weights("m", 4.5)
    with pytest.raises(UsageError, match="needs the adversarial set"):
        find_weights("m", 4, detail=0.5)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model is named 'nonesuch'"):
        find_weights("nonesuch", 4)
    with pytest.raises(WeightsError, match=r"absent\.safetensors: no such"):
        find_weights(str(tmp_path / "absent.safetensors"), 4)
    torn = tmp_path / "torn.safetensors"
    save_weights(torn, small(), metadata={})
    torn.write_bytes(torn.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"torn\.safetensors"):
        load_generator(find_weights(str(torn), 4), CPU)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"fc.weight": torch.zeros(3, 4)}, foreign)
    with pytest.raises(WeightsError, match="not the weights of an SRGAN"):
        find_weights(str(foreign), 4)
    wrong = tmp_path / "wrong.safetensors"
    save_file(
        small().state_dict(), wrong, {"config": json.dumps({"channels": 16, "blocks": 1, "scale": 4})}
    )
    with pytest.raises(WeightsError, match="do not fit"):
        load_generator(find_weights(str(wrong), 4), CPU)
    with pytest.raises(UsageError, match="enlarges by 2, not by 4"):
        save_weights(tmp_path / "two.safetensors", small(scale=2), metadata={})
        find_weights(str(tmp_path / "two.safetensors"), 4)


def test_everything_shipped_loads() -> None:
    entries = registry()
    assert entries, "vidsr ships no weights"
    for entry in entries:
        for path in entry.files.values():
            assert json.loads(read_header(path)["config"])["scale"] == entry.scale
        lr = torch.full((1, 3, 8, 8), 0.5)
        usual = find_weights(entry.name, entry.scale)
        for weights in {usual, *find_sets(entry.name, entry.scale)}:
            # Trained weights leave a flat grey about as it is; random ones do not.
            assert (load_generator(weights, CPU)(lr) - 0.5).abs().max() < 0.1, weights.title
