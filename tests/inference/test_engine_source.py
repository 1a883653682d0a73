"""Build, check, keep: TensorRT-RTX builds, and PyTorch runs in the built engine's place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from tests.blends import save_sets
from vidsr.errors import EngineError
from vidsr.inference.engine_files import Seal
from vidsr.inference.engine_key import Flavour, Machine, ShapeRange
from vidsr.inference.engine_source import EngineSource
from vidsr.inference.engines import EngineStore
from vidsr.inference.rewrites import FrameNetwork
from vidsr.models.weights import Weights, find_weights, load_generator
from vidsr.progress import Event, Notice, silent

SHAPES = ShapeRange.fixed(24, 32)


class TorchRunner:
    """What an engine should compute, in fp32; the first `faulty` of them compute something else."""

    opened = 0
    faulty = 0
    weights: Weights

    def __init__(self, flavour: Flavour, plan: bytes, device: torch.device) -> None:
        type(self).opened += 1
        self.dtype = torch.uint8
        self._wrong = type(self).opened <= type(self).faulty
        generator = load_generator(self.weights, device)
        self._network = FrameNetwork(generator, torch.float32, "bytes")

    def __call__(self, lr: Tensor) -> Tensor:
        sr: Tensor = self._network(lr)
        return 255 - sr if self._wrong else sr

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines", Seal(tmp_path / "seal" / "secret"))


def source(
    store: EngineStore,
    progress: Any = silent,
    faulty: int = 0,
    weights: Weights | None = None,
    **options: Any,
) -> EngineSource:
    rtx = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    pytest.importorskip("onnx", reason="the onnx package is not installed")
    weights = weights or find_weights("srgan-lite", 4)
    runner = type("Runner", (TorchRunner,), {"faulty": faulty, "weights": weights})
    machine = Machine({"tensorrt_rtx": rtx.__version__}, "RTX 4090 (8.9)", "8.9", "580.1")
    arguments = {"precision": "fp16", "depth": "bytes", **options}
    return EngineSource(
        weights,
        load_generator(weights, torch.device("cpu")),
        machine=machine,
        store=store,
        progress=progress,
        runner=runner,
        **arguments,
    )


def test_a_sound_engine_is_kept_with_what_was_measured(store: EngineStore) -> None:
    engines = source(store)
    plan = engines.get(SHAPES)
    entry = engines.entry(SHAPES)
    assert store.load(entry.key) == plan
    assert entry.facts["computes_in"] == "fp16"
    assert entry.facts["driver"] == "580.1"
    assert set(entry.facts["self_check"]) == {"black", "white", "noise", "picture"}
    assert entry.row()[-1] == "passed"
    assert entry.key.gpu == "8.9"


def test_every_detail_has_engines_of_its_own_that_say_so(store: EngineStore, tmp_path: Path) -> None:
    model = str(save_sets(tmp_path / "run"))
    sets = [find_weights(model, 2, detail=detail) for detail in (0.0, 0.5, 0.75, 1.0)]
    sources = [source(store, weights=weights) for weights in sets]
    assert [each.key(SHAPES).weights_sha for each in sources] == [each.sha256 for each in sets]
    assert len({each.key(SHAPES).text for each in sources}) == len(sets)
    named = []
    for each in sources[:2]:
        each.get(ShapeRange.fixed(24, 32))
        named.append(each.entry(SHAPES).row()[0])
    assert named == ["run x2, detail 0", "run x2, detail 0.5"]


def test_a_half_precision_engine_that_fails_is_built_in_fp32(store: EngineStore) -> None:
    events: list[Event] = []
    engines = source(store, events.append, faulty=1)
    plan = engines.get(SHAPES)
    facts = engines.entry(SHAPES).facts
    assert facts["computes_in"] == "fp32"
    assert "differs from PyTorch" in facts["fallback_reason"]
    assert facts["self_check"] is not None
    half = source(EngineStore(store.folder.parent / "half", Seal(store.folder.parent / "s"))).get(SHAPES)
    assert len(plan) > 1.5 * len(half)  # its weights have twice the bytes
    warnings = [event.text for event in events if isinstance(event, Notice)]
    assert len(warnings) == 1
    assert "building it in fp32" in warnings[0]
    assert engines.get(SHAPES) == plan  # and it stays so, unless it is asked for anew


def test_an_engine_that_is_wrong_in_fp32_too_is_not_kept(store: EngineStore) -> None:
    with pytest.raises(EngineError, match="the fp32 engine differs"):
        source(store, faulty=2).get(SHAPES)
    assert store.entries() == []
    with pytest.raises(EngineError, match="the fp32 engine differs"):
        source(store, faulty=1, precision="fp32").get(SHAPES)
    assert store.entries() == []


def test_engines_for_other_cards_are_not_run_here(store: EngineStore) -> None:
    engines = source(store, faulty=9, targets=("8.6",))
    engines.get(SHAPES)
    assert engines.entry(SHAPES).facts["self_check"] is None


def test_a_damaged_engine_is_built_anew(store: EngineStore) -> None:
    events: list[Event] = []
    engines = source(store, events.append)
    plan = engines.get(SHAPES)
    engines.entry(SHAPES).path.write_bytes(plan[:-1] + b"?")
    assert not engines.has(SHAPES)
    assert len(engines.get(SHAPES)) == pytest.approx(len(plan), rel=0.01)
    assert engines.has(SHAPES)
    assert any("built anew" in event.text for event in events if isinstance(event, Notice))


def test_only_engines_of_the_same_network_are_offered(store: EngineStore) -> None:
    source(store).get(SHAPES)
    source(store, precision="fp32").get(ShapeRange.fixed(30, 40))
    assert source(store).stored_shapes() == [SHAPES]
    assert source(store, depth="floats").stored_shapes() == []
