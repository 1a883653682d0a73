from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.blends import SMALL, save_sets
from vidsr.errors import UsageError, WeightsError
from vidsr.models import weights as module
from vidsr.models.generator import Generator, fold_batch_norm
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import (
    OBJECTIVES,
    USUAL_DETAIL,
    Weights,
    find_sets,
    find_weights,
    load_generator,
    load_tensors,
    read_header,
    registry,
    save_weights,
)

CPU = torch.device("cpu")


def small(seed: int = 0, **values: Any) -> Generator:
    torch.manual_seed(seed)
    return Generator(GeneratorConfig(**{"blocks": 1, "channels": 8, **values})).eval()


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    generator = small(scale=2, upsampler="single", input_skip=True)
    path = tmp_path / "mine.safetensors"
    save_weights(path, generator, metadata={"note": "ü"}, dtype=torch.float32)
    found = find_weights(str(path), 2)
    assert (found.name, found.scale, found.header["note"]) == ("mine", 2, "ü")
    lr = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(load_generator(found, CPU)(lr), generator(lr), atol=0, rtol=0)


def test_half_precision_on_disk_is_invisible_in_bytes(tmp_path: Path) -> None:
    generator = small()
    save_weights(tmp_path / "half.safetensors", generator, metadata={})
    lr = torch.rand(1, 3, 16, 16)
    loaded = load_generator(find_weights(str(tmp_path / "half.safetensors"), 4), CPU)
    assert (loaded(lr) - generator(lr)).abs().max() < 0.5 / 255


def same_as(generator: Generator, weights: Weights, tolerance: float = 0) -> None:
    """The tensors of these weights are the generator's, its batch norm folded."""
    plain = fold_batch_norm(generator)
    config, arrays = load_tensors(weights)
    assert config == plain.config
    expected = plain.state_dict()
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert isinstance(array, np.ndarray) and array.dtype == np.float32
        assert array.flags.writeable
        np.testing.assert_allclose(array, expected[name].numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("body", ["residual", "plain"])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)]
)
def test_tensors_are_fp32_and_folded_however_they_are_stored(
    tmp_path: Path, dtype: torch.dtype, tolerance: float, batch_norm: bool, body: str
) -> None:
    generator = small(batch_norm=batch_norm, body=body)
    path = tmp_path / "stored.safetensors"
    save_weights(path, generator, metadata={}, dtype=dtype)
    same_as(generator, find_weights(str(path), 4), tolerance)


def test_rounded_tensors_are_those_on_disk_to_the_bit(tmp_path: Path) -> None:
    generator = small()
    path = tmp_path / "half.safetensors"
    save_weights(path, generator, metadata={})
    same_as(generator.half().float(), find_weights(str(path), 4))


def test_a_file_need_not_say_how_many_batches_were_seen(tmp_path: Path) -> None:
    generator = small(batch_norm=True)
    path = tmp_path / "uncounted.safetensors"
    save_weights(path, generator, metadata={})
    header = {"config": read_header(path)["config"]}
    state = generator.state_dict()
    save_file({name: state[name] for name in state if "num_batches" not in name}, path, header)
    same_as(generator, find_weights(str(path), 4), 1e-6)


@pytest.mark.parametrize("values", [{}, {"batch_norm": True, "output": "tanh"}])
@pytest.mark.parametrize("parameters", [False, True])
def test_tensors_of_other_people_s_files(
    tmp_path: Path, values: dict[str, Any], parameters: bool
) -> None:
    generator = small(**values)
    path = tmp_path / "theirs.pth"
    # Parameters are tensors that still want gradients.
    torch.save(renamed(generator.state_dict(keep_vars=parameters)), path)
    same_as(generator, find_weights(str(path), 4), 1e-6)


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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tail.weight": None}, r"tail\.weight is missing"),
        ({"fc.weight": torch.zeros(3, 4)}, r"fc\.weight is one too many"),
        ({"head.bias": torch.zeros(7)}, r"head\.bias is \(7,\), not \(8,\)"),
        (
            {"tail.weight": torch.zeros(3, 8, 3, 3)},
            r"tail\.weight is \(3, 8, 3, 3\), not \(3, 8, 9, 9\)",
        ),
    ],
)
def test_the_tensor_that_does_not_fit_is_named(
    tmp_path: Path, change: dict[str, torch.Tensor | None], said: str
) -> None:
    path = tmp_path / "wrong.safetensors"
    save_weights(path, small(), metadata={})
    state = {**small().state_dict(), **change}
    kept = {name: tensor for name, tensor in state.items() if tensor is not None}
    save_file(kept, path, {"config": read_header(path)["config"]})
    weights = find_weights(str(path), 4)
    for load in (load_tensors, lambda weights: load_generator(weights, CPU)):
        with pytest.raises(WeightsError, match=rf"wrong\.safetensors: .*do not fit .*\({said}\)"):
            load(weights)


def test_a_configuration_that_cannot_be_is_refused(tmp_path: Path) -> None:
    for config in ({"scale": 4, "blocks": 0}, {"scale": 4, "bloks": 3}):
        path = tmp_path / "odd.safetensors"
        save_file(small().state_dict(), path, {"config": json.dumps(config)})
        with pytest.raises(WeightsError, match=r"odd\.safetensors: .*do not fit its configuration"):
            load_tensors(find_weights(str(path), 4))


def test_files_of_vidsr_s_own_are_read_without_pytorch() -> None:
    program = (
        "import sys\n"
        "from vidsr.models.weights import find_weights, load_tensors, registry\n"
        "for entry in registry(): load_tensors(find_weights(entry.name, entry.scale))\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names as in other people's training code."""
    words = {
        "head.": "block1.0.",
        "head_act.": "block1.1.",
        "body_conv.": "block7.conv1.",
        "tail.": "block8.2.",
    }
    out = {}
    for name, tensor in state.items():
        for ours, theirs in words.items():
            if name.startswith(ours):
                name = theirs + name.removeprefix(ours)
        out[f"module.{name}"] = tensor
    return out


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    "values",
    [{}, {"batch_norm": True, "output": "tanh"}, {"scale": 2, "channel_slopes": True, "blocks": 3}],
)
def test_paper_style_pth_gives_its_own_result(
    tmp_path: Path, values: dict[str, Any], wrapped: bool
) -> None:
    generator = small(**values)
    state = renamed(generator.state_dict())
    path = tmp_path / "theirs.pth"
    torch.save({"epoch": 3, "state_dict": state} if wrapped else state, path)
    found = find_weights(str(path), generator.config.scale)
    lr = torch.rand(1, 3, 9, 9)
    torch.testing.assert_close(load_generator(found, CPU)(lr), generator(lr), atol=1e-5, rtol=0)


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
        assert (len(alone.files), alone.detail, alone.title) == (1, None, "m x4")
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
