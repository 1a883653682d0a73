"""What of the TensorRT backend can be proven without a card: refusals, cutting to shapes, API names."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.inference.nearest import NearestBackend
from vidsr.config import UpscaleConfig
from vidsr.errors import BackendUnavailable
from vidsr.inference.backend import LADDER, open_backend
from vidsr.inference.engine_key import ShapeRange
from vidsr.inference.tensorrt_backend import open_tensorrt, run_in_shapes
from vidsr.inference.torch_backend import TorchBackend
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import Weights, find_weights
from vidsr.models.weights_file import save_weights
from vidsr.progress import Event, Notice, silent

ROOT = Path(__file__).parents[2]

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, Generator(GeneratorConfig(blocks=2, channels=16, scale=2)), metadata={})
    return find_weights(str(path), 2)


def config(**changes: Any) -> UpscaleConfig:
    return UpscaleConfig(Path("a.mp4"), Path("b.mp4"), **changes)


# -- Refusals ------------------------------------------------------------------------------------------


@no_gpu
def test_without_a_card_one_line_says_why(weights: Weights) -> None:
    with pytest.raises(BackendUnavailable) as refusal:
        open_backend(weights, config(backend="tensorrt"), silent)
    assert "CUDA" in str(refusal.value) or "NVIDIA" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@no_gpu
def test_auto_tries_it_first_and_goes_on(weights: Weights) -> None:
    events: list[Event] = []
    assert LADDER[0] == "tensorrt"
    assert open_backend(weights, config(), events.append).name != "tensorrt"
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert re.search(r"tensorrt( and \w+)* not used: ", notices[0])


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_other_precisions_are_refused(weights: Weights, precision: str) -> None:
    with pytest.raises(BackendUnavailable, match=precision):
        open_tensorrt(weights, config(precision=precision), silent)


# -- Any size through an engine of some ----------------------------------------------------------------


class Shaped:
    """Stands for an engine: refuses what its profile would refuse, and counts its calls."""

    def __init__(self, shapes: ShapeRange, run: Any) -> None:
        self.shapes = shapes
        self.calls = 0
        self._run = run

    def __call__(self, lr: Tensor) -> Tensor:
        assert lr.is_contiguous()
        assert self.shapes.least[0] <= lr.shape[0] <= self.shapes.greatest[0]
        assert self.shapes.takes(lr.shape[1], lr.shape[2]), lr.shape
        self.calls += 1
        sr: Tensor = self._run(lr)
        return sr


def shaped(shapes: ShapeRange, run: Any, lr: Tensor, overlap: int) -> tuple[Tensor, int]:
    engine = Shaped(shapes, run)
    return run_in_shapes(engine, shapes, lr, 2, overlap), engine.calls


@pytest.mark.parametrize(
    "shapes",
    [ShapeRange.fixed(24, 40), ShapeRange.fixed(24, 40, batch=3), ShapeRange.up_to(48, 40, batch=2)],
    ids=str,
)
@pytest.mark.parametrize("size", [(24, 40), (1, 1), (7, 90), (60, 13), (49, 77)])
@pytest.mark.parametrize("count", [1, 4])
def test_every_size_comes_out_right(shapes: ShapeRange, size: tuple[int, int], count: int) -> None:
    lr = torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8)
    nearest = NearestBackend(2)
    sr, _ = shaped(shapes, nearest, lr, overlap=3)
    assert torch.equal(sr, nearest(lr))


def test_tiles_of_an_engine_equal_the_whole_frame(weights: Weights) -> None:
    backend = TorchBackend(weights, torch.device("cpu"))
    lr = torch.rand(1, 70, 61, 3, generator=torch.Generator().manual_seed(0))
    sr, calls = shaped(ShapeRange.fixed(40, 48), backend, lr, backend.receptive_radius)
    assert calls > 1
    assert (sr - backend(lr)).abs().max() < 1e-5


def test_padding_shows_only_near_the_padded_border(weights: Weights) -> None:
    backend = TorchBackend(weights, torch.device("cpu"))
    radius = backend.receptive_radius
    lr = torch.rand(1, 40, 48, 3, generator=torch.Generator().manual_seed(0))
    sr, _ = shaped(ShapeRange.fixed(48, 48), backend, lr, radius)
    error = (sr - backend(lr)).abs()
    assert error[:, : 2 * (40 - radius)].max() < 1e-5
    assert error.max() > 1e-5


def test_frames_go_through_in_groups() -> None:
    lr = torch.randint(0, 256, (5, 8, 8, 3), dtype=torch.uint8)
    _, calls = shaped(ShapeRange.fixed(8, 8, batch=2), NearestBackend(2), lr, 0)
    assert calls == 3


# -- Names of the API ----------------------------------------------------------------------------------

MODULES = ("engine_builder.py", "engine_monitor.py", "engine_runner.py")

CLASS_OF = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "tensor": "ITensor",
    "_runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
}
"""Whose members the variables of these names have, in functions that hold the TensorRT module."""

CONFIG_OF = {"engine_builder.py": "IBuilderConfig", "engine_runner.py": "IRuntimeConfig"}

RTX_ONLY = {
    "ComputeCapability",
    "CudaGraphStrategy",
    "CudaGraphStrategy.WHOLE_GRAPH_CAPTURE",
    "DynamicShapesKernelSpecializationStrategy",
    "DynamicShapesKernelSpecializationStrategy.EAGER",
    "IBuilderConfig.num_compute_capabilities",
    "IBuilderConfig.set_compute_capability",
    "IRuntimeConfig.cuda_graph_strategy",
    "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
}
"""Names that only TensorRT-RTX has; each is used for that flavour alone."""


def chain(node: ast.Attribute) -> list[str]:
    """["trt", "DataType", "UINT8"] of `trt.DataType.UINT8`; empty where it begins with a call."""
    parts = [node.attr]
    value = node.value
    while isinstance(value, ast.Attribute):
        parts.append(value.attr)
        value = value.value
    return [*reversed([*parts, value.id])] if isinstance(value, ast.Name) else []


def names_used() -> Iterator[str]:
    """Every `Class` and `Class.member` of TensorRT that our modules name."""
    for name in MODULES:
        tree = ast.parse((ROOT / "vidsr" / "inference" / name).read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            holds_module = any(isinstance(n, ast.Name) and n.id == "trt" for n in ast.walk(function))
            for node in ast.walk(function):
                parts = chain(node) if isinstance(node, ast.Attribute) else []
                if parts[:1] == ["trt"]:
                    if not parts[1].startswith("__"):
                        yield parts[1]
                        if len(parts) > 2 and not parts[2].startswith("__"):
                            yield f"{parts[1]}.{parts[2]}"
                    continue
                if parts[:1] == ["self"]:
                    parts = parts[1:]
                elif not holds_module:
                    continue
                owner = CLASS_OF.get(parts[0]) if parts else None
                if parts and parts[0] == "config":
                    owner = CONFIG_OF.get(name)
                if owner is not None and len(parts) > 1:
                    yield f"{owner}.{parts[1]}"


def test_the_check_sees_what_is_used() -> None:
    used = set(names_used())
    assert len(used) > 40
    assert used >= {
        "Builder.build_serialized_network",
        "IExecutionContext.execute_async_v3",
        "ICudaEngine.get_device_memory_size_for_profile_v2",
        "IBuilderConfig.progress_monitor",
        "DataType.UINT8",
        "ITensor.dtype",
        *RTX_ONLY,
    }


@pytest.mark.parametrize("flavour", ["tensorrt==", "tensorrt_rtx=="])
def test_every_name_exists_in_the_flavour(flavour: str) -> None:
    lists = ROOT.parent / "shared" / "tools" / "trt_api_names.json"
    if not lists.is_file():
        pytest.skip("the lists of TensorRT's names are not beside this checkout")
    (names,) = (
        names for version, names in json.loads(lists.read_text()).items() if version.startswith(flavour)
    )
    for name in sorted(set(names_used())):
        owner, _, member = name.partition(".")
        exists = owner in names and (not member or member in names[owner])
        assert exists or (name in RTX_ONLY and flavour == "tensorrt=="), name


def test_every_name_exists_in_the_installed_rtx() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    for name in sorted(set(names_used())):
        owner, _, member = name.partition(".")
        assert hasattr(trt, owner), name
        assert not member or hasattr(getattr(trt, owner), member), name
