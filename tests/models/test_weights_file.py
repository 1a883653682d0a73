from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.models.generators import same_as, small
from vidsr.errors import WeightsError
from vidsr.models.weights import (
    find_weights,
    load_generator,
    load_tensors,
)
from vidsr.models.weights_file import read_header, save_weights

CPU = torch.device("cpu")


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
