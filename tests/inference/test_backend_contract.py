"""One contract for everything that runs a generator."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.inference.nearest import NearestBackend
from vidsr.arrays import (
    HOST,
    Array,
    DType,
    copy,
    device_of,
    dtype_of,
    equal,
    to_device,
    to_host,
    writing,
)
from vidsr.config import BackendName, UpscaleConfig, UpscalePrecision
from vidsr.errors import BackendUnavailable, UsageError
from vidsr.inference import backend as backend_module
from vidsr.inference.backend import Backend, Call, open_backend
from vidsr.inference.calibration import Calibration
from vidsr.inference.engines import EngineStore
from vidsr.inference.quantisation import measure_ranges
from vidsr.inference.tensorrt_backend import open_tensorrt
from vidsr.inference.torch_backend import TorchBackend
from vidsr.inference.variants import offered
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import Weights, find_weights, load_generator
from vidsr.models.weights_file import save_weights
from vidsr.progress import Event, Notice, silent


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, Generator(GeneratorConfig(blocks=2, channels=16, scale=2)), metadata={})
    return find_weights(str(path), 2)


def in_variant(weights: Weights, device: str, variant: str) -> Backend:
    backend = TorchBackend(weights, torch.device(device))
    backend.use(variant, Call(1, 24, 24, "uint8"))
    return backend


def cuda(weights: Weights, variant: str = "rewritten") -> Backend:
    try:
        return in_variant(weights, "cuda", variant)
    except BackendUnavailable as reason:
        if os.environ.get("VIDSR_REQUIRE_GPU") == "1":
            pytest.fail(f"VIDSR_REQUIRE_GPU=1, but {reason}")
        pytest.skip(str(reason))


def require_openvino() -> None:
    """Skip without OpenVINO; imported through the module that keeps it from reporting its use."""
    reason = "OpenVINO has no wheel for this machine"
    pytest.importorskip("vidsr.inference.openvino_graph", reason=reason, exc_type=ImportError)


def openvino(weights: Weights, precision: UpscalePrecision = "fp32") -> Backend:
    require_openvino()
    from vidsr.inference.openvino_backend import OpenvinoBackend

    if precision != "int8":
        return OpenvinoBackend(weights, precision)
    lr = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ranges = measure_ranges(load_generator(weights, torch.device("cpu")), [lr])
    return OpenvinoBackend(weights, "int8", Calibration(weights.sha256, ranges, 1, 0, 0.0, 0.0))


def tensorrt(weights: Weights) -> Backend:
    config = UpscaleConfig(Path("a.mp4"), Path("b.mp4"), backend="tensorrt", engine_build="wait")
    events: list[Event] = []
    try:
        store = EngineStore(weights.path.parent / "engines")
        backend = open_tensorrt(weights, config, events.append, store)
    except BackendUnavailable as reason:
        if os.environ.get("VIDSR_REQUIRE_GPU") == "1":
            pytest.fail(f"VIDSR_REQUIRE_GPU=1, but {reason}")
        pytest.skip(str(reason))
    backend(to_device(np.zeros((1, 32, 32, 3), np.uint8), backend.device))
    refusals = [event.text for event in events if isinstance(event, Notice) and event.level == "warning"]
    assert not refusals, refusals  # else PyTorch would pass these tests in its place
    return backend


CUDA_VARIANTS = offered(torch.device("cuda"), compiled=False)

BACKENDS: dict[str, Callable[[Weights], Backend]] = {
    "nearest": lambda weights: NearestBackend(weights.scale),
    "nearest-arrays": lambda weights: NearestBackend(weights.scale, device=HOST),
    "cpu": lambda weights: TorchBackend(weights, torch.device("cpu")),
    "cpu-plain": lambda weights: in_variant(weights, "cpu", "plain"),
    "cpu-bf16": lambda weights: TorchBackend(weights, torch.device("cpu"), "bf16"),
    "openvino": openvino,
    "openvino-int8": lambda weights: openvino(weights, "int8"),
    **{f"cuda-{variant}": partial(cuda, variant=str(variant)) for variant in CUDA_VARIANTS},
    "tensorrt": tensorrt,
}


MARKS = {
    **{name: [pytest.mark.gpu] for name in BACKENDS if name.startswith("cuda")},
    "tensorrt": [pytest.mark.gpu, pytest.mark.tensorrt],
}


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in BACKENDS])
def backend(request: pytest.FixtureRequest, weights: Weights) -> Backend:
    return BACKENDS[request.param](weights)


def noise(*shape: int) -> NDArray[np.uint8]:
    """Bytes (N, h, w, 3)."""
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def there(pixels: NDArray[np.generic], backend: Backend) -> Array:
    """The same as this backend takes it, in memory of its own."""
    return to_device(pixels.copy(), backend.device)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 17, 23), (1, 1, 1)])
def test_shape_dtype_and_range(backend: Backend, shape: tuple[int, int, int], dtype: DType) -> None:
    lr = noise(*shape) if dtype == "uint8" else (noise(*shape) / 255).astype(np.float32)
    sr = backend(there(lr, backend))
    assert sr.shape == (shape[0], 2 * shape[1], 2 * shape[2], 3)
    assert dtype_of(sr) == dtype
    assert isinstance(device_of(sr), type(backend.device))
    assert device_of(sr).type == backend.device.type
    here = to_host(sr)
    assert here.flags.c_contiguous or here.transpose(0, 3, 1, 2).flags.c_contiguous
    if dtype != "uint8":
        assert here.min() >= 0 and here.max() <= 1


def test_same_input_same_output(backend: Backend) -> None:
    lr = noise(2, 24, 24)
    assert equal(backend(there(lr, backend)), backend(there(lr, backend)))


@pytest.mark.parametrize("side", [24, 1])
def test_a_result_is_the_caller_s_own(backend: Backend, side: int) -> None:
    lr = there(noise(1, side, side), backend)
    first = backend(lr)
    kept = copy(first)
    backend(255 - lr)
    assert equal(first, kept)
    with writing(first):
        first[...] = 0
    assert equal(backend(lr), kept)


def test_frames_of_a_batch_do_not_mix(backend: Backend) -> None:
    lr = noise(2, 24, 24)
    alone = to_host(backend(there(lr[1:], backend)))
    together = to_host(backend(there(lr, backend)))[1:]
    # Another blocking, another rounding.
    assert np.abs(together.astype(np.int32) - alone).max() <= 1


def test_closing_twice_is_fine(backend: Backend) -> None:
    backend.__exit__(None, None, None)
    backend.__exit__(None, None, None)


def test_the_input_is_left_alone(backend: Backend) -> None:
    for pixels in (noise(1, 16, 16), noise(1, 16, 16).astype(np.float32) / 255):
        lr = there(pixels, backend)
        backend(lr)
        assert np.array_equal(to_host(lr), pixels)


@pytest.mark.parametrize("name", ["cpu", "cpu-plain", "cpu-bf16", "openvino", "openvino-int8", *MARKS])
def test_network_backends_agree_with_the_generator(name: str, weights: Weights) -> None:
    backend = BACKENDS[name](weights)
    lr = noise(1, 32, 32)
    generator = load_generator(weights, torch.device("cpu"))
    plain = generator(torch.from_numpy(lr).permute(0, 3, 1, 2) / 255)
    expected = plain.mul(255).round().clamp(0, 255).permute(0, 2, 3, 1).numpy()
    # bf16 has 8 bits of mantissa: two levels of 255 near white. fp16 and fp32 must round alike; another
    # order of sums may turn a value that lies between two levels. 8 bits: some steps of 1/256.
    tolerance = {"cpu-plain": 0, "cpu-bf16": 3, "openvino-int8": 6}.get(name, 1)
    assert np.abs(to_host(backend(there(lr, backend))) - expected).max() <= tolerance


def test_auto_falls_to_the_processor_and_says_why(weights: Weights) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, so nothing falls")
    require_openvino()
    events: list[Event] = []
    config = UpscaleConfig(Path("a.mp4"), Path("b.mp4"))
    backend = open_backend(weights, config, events.append)
    assert backend.name == "openvino"
    said = next(e.text for e in events if isinstance(e, Notice))
    assert said.startswith("computing with openvino, ")
    assert "cuda not used: " in said


def test_a_backend_asked_for_never_falls(weights: Weights) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, so nothing is refused")
    config = UpscaleConfig(Path("a.mp4"), Path("b.mp4"), backend="cuda")
    with pytest.raises(BackendUnavailable, match=r"NVIDIA driver|CUDA"):
        open_backend(weights, config, silent)


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_without_a_driver_no_card_is_asked_for(
    name: BackendName, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "has_driver", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("asked"))
    config = UpscaleConfig(Path("a.mp4"), Path("b.mp4"), backend=name)
    with pytest.raises(BackendUnavailable, match=r"^no NVIDIA driver is installed here$"):
        open_backend(weights, config, silent)


@pytest.mark.parametrize(
    ("build", "reason"), [(None, "a build without CUDA"), ("13.0", "finds no NVIDIA GPU or driver")]
)
def test_behind_a_driver_pytorch_says_what_it_lacks(
    build: str | None, reason: str, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "has_driver", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = UpscaleConfig(Path("a.mp4"), Path("b.mp4"), backend="cuda")
    with pytest.raises(BackendUnavailable, match=reason):
        open_backend(weights, config, silent)


def test_half_precision_on_a_cpu_is_refused(weights: Weights) -> None:
    with pytest.raises((BackendUnavailable, UsageError), match="fp32"):
        TorchBackend(weights, torch.device("cpu"), "fp16")
