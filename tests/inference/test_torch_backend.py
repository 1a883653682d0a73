"""PyTorch's backend chooses how it computes once, keeps to it, and refuses what it cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.gpu import require_gpu
from vidsr.arrays import DType
from vidsr.config import UpscalePrecision
from vidsr.errors import BackendUnavailable
from vidsr.inference import torch_backend, tuning
from vidsr.inference.backend import Call, Tunable
from vidsr.inference.rewrites import Depth
from vidsr.inference.torch_backend import TorchBackend
from vidsr.inference.variants import Form, Variant, build_network
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import Weights, find_weights
from vidsr.models.weights_file import save_weights

CALL = Call(2, 20, 24, "uint8")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, Generator(GeneratorConfig(blocks=1, channels=8, scale=2)), metadata={})
    return find_weights(str(path), 2)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDSR_CACHE", str(tmp_path))
    monkeypatch.setattr(tuning, "TRIAL_S", 0.01)
    return tmp_path / "variants.json"


def test_the_choice_is_the_caches_and_is_measured_once(
    weights: Weights, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TorchBackend(weights, torch.device("cpu")) as backend:
        assert isinstance(backend, Tunable)
        chosen = backend.tune(CALL)
        (times,) = json.loads(cache.read_text()).values()
        assert list(times) == ["rewritten", "plain"]
        assert chosen == tuning.fastest(times)
        monkeypatch.setattr(TorchBackend, "try_ways", lambda self, call: pytest.fail("tried again"))
        assert backend.tune(CALL) == chosen
        # Another shape is no other question on a processor; what is cached decides.
        (subject,) = json.loads(cache.read_text())
        cache.write_text(json.dumps({subject: {"rewritten": 5.0, "plain": 1.0}}))
        assert backend.tune(Call(1, 300, 300, "uint8")) == "plain"


def test_other_weights_and_kinds_of_frames_are_tried_anew(weights: Weights, cache: Path) -> None:
    with TorchBackend(weights, torch.device("cpu")) as backend:
        backend.tune(CALL)
        backend.tune(Call(2, 20, 24, "float32"))
    with TorchBackend(weights, torch.device("cpu"), "bf16") as backend:
        backend.tune(CALL)
    assert len(json.loads(cache.read_text())) == 3


def test_what_is_used_computes(weights: Weights) -> None:
    lr = torch.randint(0, 256, (2, 20, 24, 3), dtype=torch.uint8)
    with TorchBackend(weights, torch.device("cpu")) as backend:
        for form in ("plain", "rewritten"):
            backend.use(form, CALL)
            generator = backend._generator
            assert generator is not None
            direct = build_network(generator, form, torch.float32, "bytes")(lr)
            assert torch.equal(backend(lr), direct)


def test_a_variant_that_computes_something_else_is_never_taken(
    weights: Weights, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(generator: Generator, form: Form, dtype: torch.dtype, depth: Depth) -> nn.Module:
        network = build_network(generator, form, dtype, depth)
        if form == "rewritten":
            network.register_forward_hook(lambda module, inputs, sr: sr.flip(-1))
        return network

    monkeypatch.setattr(torch_backend, "build_network", wrong)
    with TorchBackend(weights, torch.device("cpu")) as backend:
        trial = backend.try_ways(CALL)
        assert "differs from PyTorch" in trial.refused[Variant("rewritten")]
        assert backend.tune(CALL) == "plain"


@pytest.mark.parametrize("way", ["fast", "plain, as a graph", "fused"])
def test_a_way_that_cannot_be_had_says_so(way: str, weights: Weights) -> None:
    with (
        TorchBackend(weights, torch.device("cpu")) as backend,
        pytest.raises(BackendUnavailable, match=r"as it was before.*--restart"),
    ):
        backend.use(way, CALL)


def test_compiled_is_tried_where_asked_for(
    weights: Weights, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, dynamic: asked.append(dynamic))
    with TorchBackend(weights, torch.device("cpu"), compiled=True) as backend:
        assert set(backend.try_ways(CALL).times_ms) == set(map(Variant, torch_forms()))
        backend.use("compiled", CALL)
        assert asked == [True]  # one program for all shapes


def torch_forms() -> list[Form]:
    return ["rewritten", "plain", "compiled"]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp32"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_way_works_on_a_card(
    weights: Weights, cache: Path, precision: UpscalePrecision, dtype: DType
) -> None:
    call = Call(2, 90, 122, dtype)
    with TorchBackend(weights, require_gpu(), precision) as backend:
        trial = backend.try_ways(call)
        assert not trial.refused  # each was compared with the generator, and each graph with itself
        assert backend.tune(call) in map(str, trial.times_ms)
        lr = torch.rand(2, 90, 122, 3, device="cuda")
        lr = (lr * 255).to(torch.uint8) if dtype == "uint8" else lr
        for variant in trial.times_ms:
            backend.use(str(variant), call)
            assert torch.equal(backend(lr), backend(lr.clone()))
            backend(lr[:1].contiguous())  # a short last batch: the same kernels, one by one


@pytest.mark.gpu
def test_compiled_works_on_a_card(weights: Weights, cache: Path) -> None:
    call = Call(1, 64, 64, "uint8")
    with TorchBackend(weights, require_gpu(), compiled=True) as backend:
        assert not backend.try_ways(call).refused
