"""OpenVINO beside the generator it was built from: every shape of network, every way in and out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("vidsr.inference.openvino_graph", exc_type=ImportError, reason="no OpenVINO here")

from tests.blends import SMALL, calibrate_sets, save_sets
from vidsr.config import UpscaleConfig
from vidsr.cores import usable_cores, use_threads
from vidsr.errors import BackendUnavailable
from vidsr.inference import openvino_backend
from vidsr.inference.backend import WARM_UP, Call, Expectant, open_backend
from vidsr.inference.calibration import Calibration, calibration_path
from vidsr.inference.openvino_backend import OpenvinoBackend
from vidsr.inference.quantisation import measure_ranges
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import Weights, find_weights, load_generator
from vidsr.models.weights_file import save_weights
from vidsr.progress import Event, Notice

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


Floats = NDArray[np.float32]


def picture(height: int = 20, width: int = 26) -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, (1, height, width, 3), np.uint8)


def floats(height: int = 20, width: int = 26) -> Floats:
    """The same picture in [0, 1]."""
    return picture(height, width).astype(np.float32) / np.float32(255)


def expected(weights: Weights, lr: Floats) -> Floats:
    """What PyTorch makes of (N, h, w, 3) in [0, 1]: the same, enlarged, clamped."""
    generator = load_generator(weights, torch.device("cpu"))
    with torch.inference_mode():
        sr = generator(torch.from_numpy(lr.transpose(0, 3, 1, 2).copy()))
    pixels: Floats = sr.clamp(0, 1).permute(0, 2, 3, 1).numpy()
    return pixels


def calibrated(weights: Weights) -> Calibration:
    lr = torch.from_numpy(floats(48, 48)).permute(0, 3, 1, 2).contiguous()
    ranges = measure_ranges(load_generator(weights, torch.device("cpu")), [lr])
    return Calibration(weights.sha256, ranges, 1, 0, 0.0, 0.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_network_is_the_same_in_fp32(shape: str, tmp_path: Path) -> None:
    weights = saved(tmp_path, SHAPES[shape])
    want = expected(weights, floats())
    assert ((want > 0) & (want < 1)).mean() > 0.05  # or clamping would hide all
    with OpenvinoBackend(weights, "fp32") as backend:
        np.testing.assert_allclose(backend(floats()), want, atol=2e-6, rtol=0)
        # Sums in another order: a value half-way between two levels may go to the other one.
        assert np.abs(backend(picture()) - want * 255).max() < 0.5 + 1e-3


@pytest.mark.parametrize("shape", ["single", "single x4, skip", "paper x4"])
def test_eight_bits_are_close(shape: str, tmp_path: Path) -> None:
    weights = saved(tmp_path, SHAPES[shape])
    with OpenvinoBackend(weights, "int8", calibrated(weights)) as backend:
        error = backend(floats()) - expected(weights, floats())
    assert 0 < np.sqrt(np.square(error).mean()) < 0.05 * expected(weights, floats()).std()


def test_floats_pass_no_eight_bit_step(tmp_path: Path) -> None:
    # The input is added at the end: a ramp of 10-bit steps must come out with every step, in int8 too.
    weights = saved(tmp_path, replace(SMALL, input_skip=True))
    generator = load_generator(weights, torch.device("cpu"))
    torch.nn.init.zeros_(generator.tail.weight)
    assert generator.tail.bias is not None
    torch.nn.init.zeros_(generator.tail.bias)
    save_weights(weights.path, generator, metadata={})
    weights = find_weights(str(weights.path), 2)
    steps = np.arange(1024, dtype=np.float32)
    ramp = np.broadcast_to((steps / 1023)[:, None], (1, 8, 1024, 3))
    with OpenvinoBackend(weights, "int8", calibrated(weights)) as backend:
        sr = backend(ramp)
    assert np.array_equal((sr * 1023).round()[0, 0, ::2, 0], steps)


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


def test_a_blend_is_int8_where_both_its_sets_are_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_backend, "bytes_pay", lambda *arguments: True)
    model = str(save_sets(tmp_path / "run"))
    blends = [find_weights(model, 2, detail=detail) for detail in (0.25, 0.5, 0.75)]
    assert {OpenvinoBackend(weights).precision for weights in blends} == {"fp32"}
    with pytest.raises(
        BackendUnavailable, match=r"pixel\.safetensors or adversarial\.safetensors has no"
    ):
        OpenvinoBackend(blends[0], "int8")
    calibrate_sets(model)
    kept = set()
    for weights in blends:
        with OpenvinoBackend(weights) as backend:
            assert backend.precision == "int8"
            kept.add(backend._identity)  # graphs are kept by it
            error = backend(floats()) - expected(weights, floats())
        assert 0 < np.sqrt(np.square(error).mean()) < 0.05 * expected(weights, floats()).std()
    assert len(kept) == len(blends)
    (tmp_path / "run" / "adversarial.int8.json").unlink()
    assert OpenvinoBackend(blends[0]).precision == "fp32"
    assert OpenvinoBackend(find_weights(model, 2, detail=0)).precision == "int8"


def test_a_blend_of_the_paper_s_network_runs_in_fp32(tmp_path: Path) -> None:
    model = str(save_sets(tmp_path / "run", SHAPES["paper x4"]))
    weights = find_weights(model, 4)
    with OpenvinoBackend(weights) as backend:
        assert backend.precision == "fp32"
        np.testing.assert_allclose(backend(floats()), expected(weights, floats()), atol=2e-6, rtol=0)


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
import resource, numpy as np
from vidsr.config import UpscaleConfig
from vidsr.cores import usable_cores, use_threads
from vidsr.errors import OutOfMemory
from vidsr.inference.openvino_backend import OpenvinoBackend
from vidsr.models.weights import find_weights
backend = OpenvinoBackend(find_weights({str(weights.path)!r}, 2), "fp32")
small = np.zeros((1, 32, 32, 3), np.uint8)
backend(small)
held = int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (held + 200 * 2**20,) * 2)
try:
    backend(np.zeros((1, 3000, 3000, 3), np.uint8))
except OutOfMemory:
    print("refused", tuple(backend(small).shape))
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("limits of memory are tested on Linux")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "refused (1, 64, 64, 3)", done.stderr


def test_nothing_is_reported_to_anyone(tmp_path: Path) -> None:
    program = (
        "import sys, vidsr.inference.openvino_backend, openvino.tools.ovc.telemetry_utils as t;"
        "print(t.tm.__name__, [m for m in sys.modules if 'openvino_telemetry.' in m])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment["HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub []"
    assert not list(tmp_path.iterdir())


def test_shapes_are_compiled_once_and_few_are_kept(tmp_path: Path) -> None:
    backend = OpenvinoBackend(saved(tmp_path, SMALL), "fp32")
    for side in (8, 9, 8, 10, 11, 8):
        assert backend(picture(side, side)).shape == (1, 2 * side, 2 * side, 3)
    assert len(backend._shapes) == openvino_backend.SHAPES_KEPT


def test_small_frames_find_their_shape_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_threads: None
) -> None:
    use_threads(2)
    with OpenvinoBackend(saved(tmp_path, SMALL), "fp32") as backend:
        assert isinstance(backend, Expectant)
        backend.expect(Call(1, 20, 26, "uint8"))
        monkeypatch.setattr(backend, "_compile", lambda *arguments: pytest.fail("compiled again"))
        with backend.abreast():
            assert backend(picture()).shape == (1, 40, 52, 3)
        assert len(backend._shapes) == 1


def test_large_frames_are_expected_by_a_small_call(tmp_path: Path) -> None:
    with OpenvinoBackend(saved(tmp_path, SMALL), "fp32") as backend:
        backend.expect(Call(1, 2000, 3000, "uint8"))
        assert [shape for _, shape, _ in backend._shapes] == [WARM_UP]


@pytest.mark.usefixtures("own_threads")
@pytest.mark.parametrize("count", [1, 2, 8])
def test_it_takes_the_threads_there_are_and_leaves_pytorch_s_alone(count: int, tmp_path: Path) -> None:
    use_threads(count)
    with OpenvinoBackend(saved(tmp_path, SMALL), "fp32") as backend:
        backend(picture())
        assert torch.get_num_threads() == count
        (compiled,) = (shape.graph for shape in backend._shapes.values())
        taken = compiled.get_property("INFERENCE_NUM_THREADS")
        assert taken == min(count, usable_cores())  # OpenVINO has no more than that
    assert torch.get_num_threads() == count


def without_pytorch(program: str) -> None:
    """Run it in a process of its own, at whose end PyTorch must not have been loaded."""
    ending = "\nimport sys\nassert 'torch' not in sys.modules, 'PyTorch was loaded'"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program + ending],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_it_computes_without_loading_pytorch(tmp_path: Path) -> None:
    weights = saved(tmp_path, replace(SMALL, batch_norm=True))
    calibration_path(weights.path).write_text(json.dumps(calibrated(weights).to_json()))
    without_pytorch(f"""
import numpy as np
from vidsr.inference.openvino_backend import OpenvinoBackend
from vidsr.models.weights import find_weights
weights = find_weights({str(weights.path)!r}, 2)
for precision in ("fp32", "int8", "auto"):
    with OpenvinoBackend(weights, precision) as backend, backend.abreast():
        for dtype in ("uint8", "float32"):
            sr = backend(np.ones((2, 12, 10, 3), dtype))
            assert sr.shape == (2, 24, 20, 3) and sr.dtype == dtype
""")


@pytest.mark.parametrize("backend", ["auto", "openvino"])
def test_without_a_driver_the_ladder_ends_here_and_pytorch_is_not_loaded(
    backend: str, tmp_path: Path
) -> None:
    weights = saved(tmp_path, SMALL)
    without_pytorch(f"""
from pathlib import Path
import numpy as np
from vidsr.config import UpscaleConfig
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference import backend as ladder, card_driver
from vidsr.inference.upscaler import Upscaler, WorkPlan
from vidsr.models.weights import find_weights
ladder.has_driver = card_driver.has_driver = lambda: False
config = UpscaleConfig(Path("a.mp4"), Path("b.mp4"), backend={backend!r})
told = []
with ladder.open_backend(find_weights({str(weights.path)!r}, 2), config, told.append) as backend:
    assert backend.name == "openvino", backend.name
    planes = tuple(np.zeros((2, side, side), np.uint8) for side in (64, 32, 32))
    batch = FrameBatch(planes, ColorSpec(), (0, 1), 1)
    for skip in (False, True):
        upscaler = Upscaler(backend, WorkPlan(1, 48), ColorSpec(), skip=skip)
        assert [frames.size for frames in upscaler.stream([batch, batch])] == [(128, 128)] * 2
notices = [event.text for event in told if hasattr(event, "text")]
assert config.backend != "auto" or "no NVIDIA driver is installed here" in notices[0], notices
""")


@pytest.mark.usefixtures("own_threads")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_any_number_of_threads_gives_the_same_bits(
    precision: Literal["fp32", "int8"], tmp_path: Path
) -> None:
    # A resumed job may find itself on another machine, or in a container with fewer cores.
    weights = saved(tmp_path, SMALL)
    results = []
    for count in (1, 2, 3):
        use_threads(count)
        backend = OpenvinoBackend(weights, precision, calibrated(weights))
        results.append((backend(picture(37, 41)), backend(floats(37, 41))))
    for bytes_out, floats_out in results[1:]:
        assert np.array_equal(bytes_out, results[0][0]) and np.array_equal(floats_out, results[0][1])


def test_results_are_not_overwritten_by_the_next_call(tmp_path: Path) -> None:
    backend = OpenvinoBackend(saved(tmp_path, SMALL), "fp32")
    first = backend(picture())
    kept = first.copy()
    backend(255 - picture())
    assert np.array_equal(first, kept)


def test_other_floats_and_views_are_taken(tmp_path: Path) -> None:
    weights = saved(tmp_path, SMALL)
    backend = OpenvinoBackend(weights, "fp32")
    flipped = floats()[:, ::2, ::-1].astype(np.float16)
    sr = backend(flipped)
    assert sr.dtype == np.float16
    want = expected(weights, flipped.astype(np.float32))
    np.testing.assert_allclose(sr.astype(np.float32), want, atol=1e-3, rtol=0)
    bytes_sr = backend(picture()[:, ::2, ::-1])
    assert np.abs(bytes_sr - expected(weights, floats()[:, ::2, ::-1]) * 255).max() < 0.5 + 1e-3


def test_memory_that_may_not_be_written_is_taken(tmp_path: Path) -> None:
    backend = OpenvinoBackend(saved(tmp_path, SMALL), "fp32")
    lrs: tuple[NDArray[Any], ...] = (picture(), floats())
    for lr in lrs:
        free = backend(lr.copy())
        lr.flags.writeable = False
        assert np.array_equal(backend(lr), free)


def test_half_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="fp32"):
        OpenvinoBackend(saved(tmp_path, SMALL), "fp16")
