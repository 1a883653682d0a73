"""One contract for everything that runs a generator."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.inference.nearest import NearestBackend
from vidsr.config import UpscaleConfig, UpscalePrecision
from vidsr.errors import BackendUnavailable, UsageError
from vidsr.inference.backend import Backend, Call, open_backend
from vidsr.inference.calibration import Calibration
from vidsr.inference.engines import EngineStore
from vidsr.inference.quantisation import measure_ranges
from vidsr.inference.tensorrt_backend import open_tensorrt
from vidsr.inference.torch_backend import TorchBackend
from vidsr.inference.variants import offered
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import Weights, find_weights, load_generator, save_weights
from vidsr.progress import Event, Notice, silent


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, Generator(GeneratorConfig(blocks=2, channels=16, scale=2)), metadata={})
    return find_weights(str(path), 2)


def in_variant(weights: Weights, device: str, variant: str) -> Backend:
    backend = TorchBackend(weights, torch.device(device))
    backend.use(variant, Call(1, 24, 24, torch.uint8))
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
    backend(torch.zeros(1, 32, 32, 3, dtype=torch.uint8, device=backend.device))
    refusals = [event.text for event in events if isinstance(event, Notice) and event.level == "warning"]
    assert not refusals, refusals  # else PyTorch would pass these tests in its place
    return backend


CUDA_VARIANTS = offered(torch.device("cuda"), compiled=False)

BACKENDS: dict[str, Callable[[Weights], Backend]] = {
    "nearest": lambda weights: NearestBackend(weights.scale),
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


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 17, 23), (1, 1, 1)])
def test_shape_dtype_and_range(
    backend: Backend, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    lr = torch.rand(*shape, 3, generator=torch.Generator().manual_seed(0))
    lr = (lr * 255).to(dtype) if dtype == torch.uint8 else lr
    sr = backend(lr.to(backend.device))
    assert sr.shape == (shape[0], 2 * shape[1], 2 * shape[2], 3)
    assert sr.dtype == dtype
    assert sr.device.type == backend.device.type
    assert sr.is_contiguous() or sr.permute(0, 3, 1, 2).is_contiguous()
    if dtype != torch.uint8:
        assert float(sr.min()) >= 0 and float(sr.max()) <= 1


def test_same_input_same_output(backend: Backend) -> None:
    lr = torch.randint(0, 256, (2, 24, 24, 3), dtype=torch.uint8).to(backend.device)
    assert torch.equal(backend(lr), backend(lr.clone()))


def test_a_result_is_the_caller_s_own(backend: Backend) -> None:
    lr = torch.randint(0, 256, (1, 24, 24, 3), dtype=torch.uint8).to(backend.device)
    first = backend(lr)
    kept = first.clone()
    backend(255 - lr)
    assert torch.equal(first, kept)
    with torch.inference_mode():
        first.zero_()
    assert torch.equal(backend(lr), kept)


def test_frames_of_a_batch_do_not_mix(backend: Backend) -> None:
    lr = torch.randint(0, 256, (2, 24, 24, 3), dtype=torch.uint8).to(backend.device)
    alone = backend(lr[1:].contiguous())
    assert (backend(lr)[1:].int() - alone.int()).abs().max() <= 1  # another blocking, another rounding


def test_closing_twice_is_fine(backend: Backend) -> None:
    backend.__exit__(None, None, None)
    backend.__exit__(None, None, None)


def test_the_input_is_left_alone(backend: Backend) -> None:
    lr = torch.rand(1, 16, 16, 3).to(backend.device)
    before = lr.clone()
    backend(lr)
    assert torch.equal(lr, before)


@pytest.mark.parametrize("name", ["cpu", "cpu-plain", "cpu-bf16", "openvino", "openvino-int8", *MARKS])
def test_network_backends_agree_with_the_generator(name: str, weights: Weights) -> None:
    backend = BACKENDS[name](weights)
    lr = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    plain = load_generator(weights, torch.device("cpu"))(lr.permute(0, 3, 1, 2) / 255)
    expected = plain.mul(255).round().clamp(0, 255).permute(0, 2, 3, 1)
    # bf16 has 8 bits of mantissa: two levels of 255 near white. fp16 and fp32 must round alike; another
    # order of sums may turn a value that lies between two levels. 8 bits: some steps of 1/256.
    tolerance = {"cpu-plain": 0, "cpu-bf16": 3, "openvino-int8": 6}.get(name, 1)
    difference = (backend(lr.to(backend.device)).cpu().float() - expected).abs().max()
    assert difference <= tolerance


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
    with pytest.raises(BackendUnavailable, match="CUDA"):
        open_backend(weights, config, silent)


def test_half_precision_on_a_cpu_is_refused(weights: Weights) -> None:
    with pytest.raises((BackendUnavailable, UsageError), match="fp32"):
        TorchBackend(weights, torch.device("cpu"), "fp16")
