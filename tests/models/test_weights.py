from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vidsr.errors import UsageError, WeightsError
from vidsr.models import weights as module
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import find_weights, load_generator, read_header, registry, save_weights

CPU = torch.device("cpu")


def small(seed: int = 0, **values) -> Generator:
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
def test_paper_style_pth_gives_its_own_result(tmp_path: Path, values, wrapped) -> None:
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
    for detail, expected in ((0.0, pixel), (1.0, adversarial), (None, adversarial)):
        blended = load_generator(find_weights("m", 4, detail=detail), CPU)
        torch.testing.assert_close(blended(lr), expected(lr), atol=0, rtol=0)
    half = load_generator(find_weights("m", 4, detail=0.5), CPU)
    mean = (pixel.head.weight + adversarial.head.weight) / 2
    torch.testing.assert_close(half.head.weight, mean)
    digests = {find_weights("m", 4, detail=d).sha256 for d in (0.0, 0.3, 0.5, 1.0)}
    assert len(digests) == 4


def test_the_folder_of_a_training_has_a_detail_of_its_own(tmp_path: Path) -> None:
    pixel, adversarial = small(1), small(2)
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(WeightsError, match="holds no weights of a training"):
        find_weights(str(run), 4)
    save_weights(run / "pixel.safetensors", pixel, metadata={}, dtype=torch.float32)
    assert find_weights(str(run), 4).name == "run"
    with pytest.raises(UsageError, match="two sets"):
        find_weights(str(run), 4, detail=0.5)
    save_weights(run / "adversarial.safetensors", adversarial, metadata={}, dtype=torch.float32)
    half = load_generator(find_weights(str(run), 4, detail=0.5), CPU)
    torch.testing.assert_close(half.head.weight, (pixel.head.weight + adversarial.head.weight) / 2)
    with pytest.raises(UsageError, match="4 at most"):
        find_weights(str(run), 5)


def test_the_smallest_native_scale_that_reaches_is_taken(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    for scale in (2, 4):
        save_weights(tmp_path / f"m_x{scale}_pixel.safetensors", small(scale=scale), metadata={})
    assert [find_weights("m", factor).scale for factor in (1, 1.5, 2, 2.01, 3, 4)] == [2, 2, 2, 4, 4, 4]
    with pytest.raises(UsageError, match="4 at most"):
        find_weights("m", 4.5)
    with pytest.raises(UsageError, match="two sets"):
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
        sr = load_generator(find_weights(entry.name, entry.scale), CPU)(lr)
        # Trained weights leave a flat grey about as it is; random ones do not.
        assert (sr - 0.5).abs().max() < 0.1
