"""`vidsr build-engine` from end to end, with TensorRT-RTX and no card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.synthetic import make_video
from vidsr.config import BuildEngineConfig, size_of
from vidsr.errors import EngineError, UsageError
from vidsr.inference.engine_files import Seal
from vidsr.inference.engine_key import Machine
from vidsr.inference.engine_sizes import COMMON_SIZES
from vidsr.inference.engines import ROW_TITLES, EngineStore
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights_file import save_weights
from vidsr.pipelines.build_engine import build_engine
from vidsr.progress import Advanced, Event, Notice

CLIP = Path(__file__).parents[1] / "data" / "bunny_320x180_h264_aac.mp4"


@pytest.fixture(scope="module")
def rtx() -> Machine:
    """A machine with TensorRT-RTX and no card, whatever this one has."""
    module = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    pytest.importorskip("onnx", reason="the onnx package is not installed")
    return Machine({"tensorrt_rtx": module.__version__})


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines", Seal(tmp_path / "seal" / "secret"))


@pytest.fixture
def model(tmp_path: Path) -> str:
    torch.manual_seed(3)
    path = tmp_path / "tiny.safetensors"
    save_weights(path, Generator(GeneratorConfig(blocks=1, channels=8, scale=2)), metadata={})
    return str(path)


def test_a_size_becomes_an_engine_and_is_found_the_next_time(rtx: Machine, store: EngineStore) -> None:
    config = BuildEngineConfig(sizes=(size_of("320x180"),))
    events: list[Event] = []
    report = build_engine(config, events.append, store=store, machine=rtx)
    (engine,) = report.engines
    assert engine.shapes == "1x180x320"
    assert engine.computes_in == "fp16"
    assert engine.size == (store.folder / engine.file).stat().st_size
    assert not engine.found
    assert engine.self_check is None  # and it is said, not hidden:
    assert "not checked" in report.summary()
    assert any(event.level == "warning" for event in events if isinstance(event, Notice))
    assert any(isinstance(event, Advanced) for event in events)
    (again,) = build_engine(config, store=store, machine=rtx).engines
    assert again.found
    assert again.file == engine.file
    json.dumps(report.to_json())


def test_the_store_lists_what_was_built(rtx: Machine, store: EngineStore, model: str) -> None:
    config = BuildEngineConfig(model=model, scale=2, sizes=((24, 32),), batch=2, targets=("8.9",))
    build_engine(config, store=store, machine=rtx)
    (entry,) = store.entries()
    assert len(entry.row()) == len(ROW_TITLES)
    assert entry.row()[:2] == ("tiny x2", "1-2x24x32")
    listed = json.loads(json.dumps(entry.to_json()))
    assert listed["gpu"] == "8.9"
    assert listed["self_check"] is None
    assert listed["layers"]["CONVOLUTION"] == 6
    assert store.verify() == [(entry.path.name, None)]
    assert store.prune(rtx) == []


def test_size_and_depth_come_from_a_file(rtx: Machine, store: EngineStore, model: str) -> None:
    config = BuildEngineConfig(model=model, scale=2, input=CLIP)
    report = build_engine(config, store=store, machine=rtx)
    assert [engine.shapes for engine in report.engines] == ["1x180x320"]
    assert report.depth == "bytes"


def test_deep_video_gets_an_engine_of_floats(
    rtx: Machine, store: EngineStore, model: str, tmp_path: Path
) -> None:
    clip = make_video(
        tmp_path / "deep.mkv", size=(32, 48), frames=1, codec="ffv1", pix_fmt="yuv420p10le"
    )
    config = BuildEngineConfig(model=model, scale=2, input=clip)
    report = build_engine(config, store=store, machine=rtx)
    assert [engine.shapes for engine in report.engines] == ["1x32x48"]
    assert report.depth == "floats"
    (entry,) = store.entries()
    assert {tensor["dtype"] for tensor in entry.facts["tensors"]} == {"HALF"}


def test_common_sizes_dynamic_and_deep(rtx: Machine, store: EngineStore, model: str) -> None:
    config = BuildEngineConfig(
        model=model,
        scale=2,
        all_common_sizes=True,
        sizes=((180, 320), (20, 30)),
        dynamic=True,
        deep=True,
    )
    report = build_engine(config, store=store, machine=rtx)
    assert len(report.engines) == len(COMMON_SIZES) + 1
    assert report.depth == "floats"
    assert report.engines[1].shapes == "1x20x30"  # below what a dynamic engine begins with


def test_rebuilding_and_other_weights(
    rtx: Machine, store: EngineStore, model: str, tmp_path: Path
) -> None:
    config = BuildEngineConfig(model=model, scale=2, sizes=((24, 32),))
    (first,) = build_engine(config, store=store, machine=rtx).engines
    (second,) = build_engine(
        BuildEngineConfig(model=model, scale=2, sizes=((24, 32),), rebuild=True),
        store=store,
        machine=rtx,
    ).engines
    assert second.file == first.file
    assert not second.found
    torch.manual_seed(4)
    generator = Generator(GeneratorConfig(blocks=1, channels=8, scale=2))
    save_weights(Path(model), generator, metadata={})  # retrained under the same name
    (third,) = build_engine(config, store=store, machine=rtx).engines
    assert third.file != first.file


def test_what_is_missing_is_named(store: EngineStore, model: str) -> None:
    config = BuildEngineConfig(model=model, scale=2, sizes=((24, 32),))
    with pytest.raises(EngineError, match=r"vidsr-cli\[rtx\]"):
        build_engine(config, store=store, machine=Machine({}))
    with pytest.raises(EngineError, match="no NVIDIA GPU"):
        build_engine(config, store=store, machine=Machine({"tensorrt": "11.4"}))


@pytest.mark.parametrize(
    ("targets", "reason"), [(("9.0",), "does not build for"), (("7.5", "8.6"), "serves no other")]
)
def test_impossible_targets(
    rtx: Machine, store: EngineStore, model: str, targets: tuple[str, ...], reason: str
) -> None:
    config = BuildEngineConfig(model=model, scale=2, sizes=((24, 32),), targets=targets)
    with pytest.raises(EngineError, match=reason):
        build_engine(config, store=store, machine=rtx)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sizes": ((0, 10),)},
        {"sizes": ((10, 10),), "scale": 3},
        {"sizes": ((10, 10),), "batch": 0},
        {"sizes": ((10, 10),), "precision": "bf16"},
        {"sizes": ((10, 10),), "workspace_mib": 0},
    ],
)
def test_impossible_options(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        BuildEngineConfig(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "320", "320x", "x180", "320x-1", "a x b", "320*180"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--size"):
        size_of(text)


def test_a_size_is_width_by_height() -> None:
    assert size_of("1280x720") == (720, 1280)
