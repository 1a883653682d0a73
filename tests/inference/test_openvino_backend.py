"""OpenVINO beside the generator it was built from: every shape of network, every way in and out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

pytest.importorskip("vidsr.inference.openvino_graph", exc_type=ImportError, reason="no OpenVINO here")

from vidsr.config import UpscaleConfig
from vidsr.errors import BackendUnavailable
from vidsr.inference import openvino_backend
from vidsr.inference.backend import open_backend
from vidsr.inference.calibration import Calibration, calibration_path
from vidsr.inference.openvino_backend import OpenvinoBackend
from vidsr.inference.quantisation import measure_ranges
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import Weights, find_weights, load_generator, save_weights
from vidsr.progress import Event, Notice

SMALL = GeneratorConfig(
    scale=2, blocks=2, channels=16, activation="leaky_relu", upsampler="single", tail_kernel=3
)

SHAPES = {
    "single": SMALL,
    "single x4, skip": replace(SMALL, scale=4, input_skip=True, head_kernel=3),
    "plain": replace(SMALL, body="plain", activation="relu"),
    "plain, batch norm": replace(SMALL, body="plain", batch_norm=True),
    "paper x4": GeneratorConfig(blocks=2, channels=16),
    "paper x2, batch norm": GeneratorConfig(scale=2, blocks=2, channels=16, batch_norm=True),
    "slope per channel": GeneratorConfig(blocks=1, channels=16, channel_slopes=True),
    "staged, tanh": GeneratorConfig(scale=2, blocks=1, channels=16, output="tanh"),
    "staged x4, skip": GeneratorConfig(blocks=1, channels=16, input_skip=True),
}


def saved(folder: Path, config: GeneratorConfig) -> Weights:
    """Random weights whose output spreads over the whole range, slopes and batch norm included."""
    torch.manual_seed(5)
    generator = Generator(config)
    for name, tensor in generator.state_dict().items():
        slope_or_norm = any(part in name for part in ("act.weight", "bn", "running"))
        if slope_or_norm and tensor.is_floating_point():
            tensor.uniform_(0.2, 0.8)
    path = folder / "random.safetensors"
    save_weights(path, generator, metadata={})
    return find_weights(str(path), config.scale)


def picture(height: int = 20, width: int = 26) -> Tensor:
    return torch.randint(
        0, 256, (1, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2)
    )


def expected(weights: Weights, lr: Tensor) -> Tensor:
    """What PyTorch makes of (N, h, w, 3) in [0, 1]: the same, enlarged, clamped."""
    with torch.inference_mode():
        sr: Tensor = load_generator(weights, torch.device("cpu"))(lr.permute(0, 3, 1, 2))
    return sr.clamp(0, 1).permute(0, 2, 3, 1)


def calibrated(weights: Weights) -> Calibration:
    lr = (picture(48, 48).permute(0, 3, 1, 2) / 255).contiguous()
    ranges = measure_ranges(load_generator(weights, torch.device("cpu")), [lr])
    return Calibration(weights.sha256, ranges, 1, 0, 0.0, 0.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_network_is_the_same_in_fp32(shape: str, tmp_path: Path) -> None:
    weights = saved(tmp_path, SHAPES[shape])
    lr = picture() / 255
    want = expected(weights, lr)
    assert float(((want > 0) & (want < 1)).float().mean()) > 0.05  # or clamping would hide all
    with OpenvinoBackend(weights, "fp32") as backend:
        torch.testing.assert_close(backend(lr), want, atol=2e-6, rtol=0)
        levels = backend(picture()).float()
        # Sums in another order: a value half-way between two levels may go to the other one.
        assert float((levels - want * 255).abs().max()) < 0.5 + 1e-3


@pytest.mark.parametrize("shape", ["single", "single x4, skip", "paper x4"])
def test_eight_bits_are_close(shape: str, tmp_path: Path) -> None:
    weights = saved(tmp_path, SHAPES[shape])
    with OpenvinoBackend(weights, "int8", calibrated(weights)) as backend:
        error = backend(picture() / 255) - expected(weights, picture() / 255)
    spread = float(expected(weights, picture() / 255).std())
    assert 0 < float(error.square().mean().sqrt()) < 0.05 * spread


def test_floats_pass_no_eight_bit_step(tmp_path: Path) -> None:
    # The input is added at the end: a ramp of 10-bit steps must come out with every step, in int8 too.
    weights = saved(tmp_path, replace(SMALL, input_skip=True))
    generator = load_generator(weights, torch.device("cpu"))
    torch.nn.init.zeros_(generator.tail.weight)
    torch.nn.init.zeros_(generator.tail.bias)
    save_weights(weights.path, generator, metadata={})
    weights = find_weights(str(weights.path), 2)
    ramp = (torch.arange(1024) / 1023)[None, None, :, None].expand(1, 8, 1024, 3)
    with OpenvinoBackend(weights, "int8", calibrated(weights)) as backend:
        sr = backend(ramp)
    assert torch.equal((sr * 1023).round()[0, 0, ::2, 0], torch.arange(1024.0))


def test_auto_is_int8_only_with_a_calibration_of_these_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_backend, "bytes_pay", lambda *arguments: True)
    weights = saved(tmp_path, SMALL)
    assert OpenvinoBackend(weights).precision == "fp32"
    with pytest.raises(BackendUnavailable, match="vidsr export"):
        OpenvinoBackend(weights, "int8")
    calibration = calibrated(weights)
    calibration_path(weights.path).write_text(json.dumps(calibration.to_json()))
    backend = OpenvinoBackend(weights)
    assert backend.precision == "int8" and calibration.digest in backend.runtime
    assert OpenvinoBackend(weights, "fp32").precision == "fp32"
    stale = replace(calibration, weights_sha256="0" * 64)
    calibration_path(weights.path).write_text(json.dumps(stale.to_json()))
    assert OpenvinoBackend(weights).precision == "fp32"


def test_a_processor_slow_with_bytes_stays_with_fp32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def ask(subject: str, measure: object, memory: Path) -> bool:
        assert callable(measure)
        asked.append(measure())
        return False

    monkeypatch.setattr(openvino_backend, "bytes_pay", ask)
    weights = saved(tmp_path, SMALL)
    assert OpenvinoBackend(weights, "auto", calibrated(weights)).precision == "fp32"
    assert len(asked) == 1 and asked[0] > 0


def test_without_openvino_auto_goes_on_and_a_name_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, so auto stops before")
    monkeypatch.setitem(sys.modules, "vidsr.inference.openvino_backend", None)
    weights = saved(tmp_path, SMALL)
    events: list[Event] = []
    config = UpscaleConfig(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert open_backend(weights, config, events.append).name == "cpu"
    assert any(isinstance(e, Notice) and "OpenVINO is not installed" in e.text for e in events)
    with pytest.raises(BackendUnavailable, match="OpenVINO is not installed"):
        open_backend(weights, replace(config, backend="openvino"), events.append)


def test_a_lack_of_memory_is_told_apart(tmp_path: Path) -> None:
    weights = saved(tmp_path, SMALL)
    program = f"""
import resource, torch
from vidsr.config import UpscaleConfig
from vidsr.errors import OutOfMemory
from vidsr.inference.openvino_backend import OpenvinoBackend
from vidsr.models.weights import find_weights
backend = OpenvinoBackend(find_weights({str(weights.path)!r}, 2), "fp32")
small = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
backend(small)
held = int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (held + 200 * 2**20,) * 2)
try:
    backend(torch.zeros(1, 3000, 3000, 3, dtype=torch.uint8))
except OutOfMemory:
    print("refused", tuple(backend(small).shape))
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("limits of memory are tested on Linux")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "refused (1, 64, 64, 3)", done.stderr


def test_nothing_is_reported_to_anyone(tmp_path: Path) -> None:
    program = (
        "import sys, vidsr.inference.openvino_backend, openvino.tools.ovc.telemetry_utils as t;"
        "print(t.tm.__name__, [m for m in sys.modules if 'openvino_telemetry.' in m])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment["HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub []"
    assert not list(tmp_path.iterdir())


def test_shapes_are_compiled_once_and_few_are_kept(tmp_path: Path) -> None:
    backend = OpenvinoBackend(saved(tmp_path, SMALL), "fp32")
    for side in (8, 9, 8, 10, 11, 8):
        assert backend(picture(side, side)).shape == (1, 2 * side, 2 * side, 3)
    assert len(backend._shapes) == openvino_backend.SHAPES_KEPT


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_pytorch_gives_way_while_it_is_entered(tmp_path: Path) -> None:
    weights = saved(tmp_path, SMALL)
    for given, left in ((1, 1), (2, 1), (3, 1), (8, 2)):
        torch.set_num_threads(given)
        with OpenvinoBackend(weights, "fp32"):
            assert torch.get_num_threads() == left
        assert torch.get_num_threads() == given


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_any_number_of_threads_gives_the_same_bits(
    precision: Literal["fp32", "int8"], tmp_path: Path
) -> None:
    # A resumed job may find itself on another machine, or in a container with fewer cores.
    weights = saved(tmp_path, SMALL)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        backend = OpenvinoBackend(weights, precision, calibrated(weights))
        results.append((backend(picture(37, 41)), backend(picture(37, 41) / 255)))
    for bytes_out, floats_out in results[1:]:
        assert torch.equal(bytes_out, results[0][0]) and torch.equal(floats_out, results[0][1])


def test_results_are_not_overwritten_by_the_next_call(tmp_path: Path) -> None:
    backend = OpenvinoBackend(saved(tmp_path, SMALL), "fp32")
    first = backend(picture())
    kept = first.clone()
    backend(255 - picture())
    assert torch.equal(first, kept)


def test_other_floats_and_views_are_taken(tmp_path: Path) -> None:
    weights = saved(tmp_path, SMALL)
    backend = OpenvinoBackend(weights, "fp32")
    flipped = (picture() / 255).flip(2)[:, ::2]
    sr = backend(flipped.half())
    assert sr.dtype == torch.float16
    want = expected(weights, flipped.half().float())
    torch.testing.assert_close(sr.float(), want, atol=1e-3, rtol=0)


def test_half_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="fp32"):
        OpenvinoBackend(saved(tmp_path, SMALL), "fp16")
