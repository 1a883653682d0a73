"""TensorRT in small, in main memory: what a call reads and writes is decided by addresses alone."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vidsr.inference import engine_runner
from vidsr.inference.engine_builder import INPUT, OUTPUT
from vidsr.inference.engine_key import Flavour, ShapeRange
from vidsr.inference.engine_runner import EngineRunner

SCALE = 2
ACTIVATION_BYTES = 640


class DataType(Enum):
    UINT8, HALF, FLOAT = 1, 2, 3


NUMPY = {DataType.UINT8: np.uint8, DataType.HALF: np.float16, DataType.FLOAT: np.float32}


class Engine:
    """Repeats pixels; `faults` names what fails, and is asked at each step."""

    def __init__(self, shapes: ShapeRange, dtype: DataType, log: Any, faults: set[str]) -> None:
        self.shapes, self.dtype, self.log, self.faults = shapes, dtype, log, faults

    def get_tensor_dtype(self, name: str) -> DataType:
        assert name in (INPUT, OUTPUT)
        return self.dtype

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert (name, profile) == (INPUT, 0)
        shapes = self.shapes
        return [(*shape, 3) for shape in (shapes.least, shapes.best, shapes.greatest)]

    def get_device_memory_size_for_profile_v2(self, profile: int) -> int:
        return ACTIVATION_BYTES

    def create_runtime_config(self) -> SimpleNamespace:
        config = SimpleNamespace(strategy=None)
        config.set_execution_context_allocation_strategy = lambda strategy: setattr(
            config, "strategy", strategy
        )
        return config

    def create_execution_context(self, config: SimpleNamespace) -> Context:
        assert config.strategy == "user managed"
        return Context(self)


class Context:
    """Counts its calls; refuses what TensorRT refuses."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] | None = None
        self.scratch = 0
        self.calls = 0

    def fails(self, step: str) -> bool:
        if step in self.engine.faults:
            self.engine.log.errors.append(f"[x.cpp::{step}::1] Error Code 2: OutOfMemory (of the GPU)")
        return step in self.engine.faults

    def set_device_memory(self, address: int, size: int) -> None:
        assert address and size >= ACTIVATION_BYTES
        self.scratch = size

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        ranges = zip(self.engine.shapes.least, shape, self.engine.shapes.greatest, strict=False)
        inside = all(least <= length <= most for least, length, most in ranges)
        if not inside:
            self.engine.log.errors.append("[x.cpp] Error Code 3: API Usage Error (not in the profile)")
            return False
        self.shape = shape
        return True

    def infer_shapes(self) -> list[str]:
        return []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert self.shape is not None and name == OUTPUT
        count, height, width, channels = self.shape
        return count, SCALE * height, SCALE * width, channels

    def set_tensor_address(self, name: str, address: int) -> bool:
        if self.fails(f"address of {name}"):
            return False
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert self.scratch and self.shape is not None
        if self.fails("call"):
            return False
        self.calls += 1
        lr = self._at(INPUT, self.shape)
        self._at(OUTPUT, self.get_tensor_shape(OUTPUT))[:] = lr.repeat(SCALE, 1).repeat(SCALE, 2)
        return True

    def _at(self, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        dtype = np.dtype(NUMPY[self.engine.dtype])
        size = int(np.prod(shape)) * dtype.itemsize
        memory = (ctypes.c_uint8 * size).from_address(self.addresses[name])
        return np.frombuffer(memory, dtype).reshape(shape)


class HostStream:
    """In place of a stream: everything is done when it returns. Counts its recordings."""

    handle = 0

    def __init__(self, device: torch.device) -> None:
        self.recorded = 0
        self.fault: RuntimeError | None = None

    def run(self, work: Callable[[Tensor], Tensor], lr: Tensor) -> Tensor:
        return work(lr)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        if self.fault is not None:
            raise self.fault
        self.recorded += 1
        return work

    def finish(self) -> None:
        pass


def open_runner(
    monkeypatch: pytest.MonkeyPatch,
    shapes: ShapeRange,
    flavour: Flavour = "tensorrt",
    dtype: DataType = DataType.UINT8,
    faults: set[str] | None = None,
) -> EngineRunner:
    """An EngineRunner over this module in TensorRT's place; `faults` may be changed later."""

    class Log:
        ERROR, INTERNAL_ERROR = 1, 0

        def __init__(self) -> None:
            pass

    def deserialize(log: Any, plan: bytes) -> Engine:
        return Engine(shapes, dtype, log, set() if faults is None else faults)

    trt = SimpleNamespace(
        ILogger=Log,
        Runtime=lambda log: SimpleNamespace(deserialize_cuda_engine=lambda plan: deserialize(log, plan)),
        DataType=DataType,
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="user managed"),
        CudaGraphStrategy=SimpleNamespace(WHOLE_GRAPH_CAPTURE=1),
        DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER=1),
    )
    monkeypatch.setattr(engine_runner, "load_flavour", lambda flavour: trt)
    monkeypatch.setattr(engine_runner, "SideStream", HostStream)
    return EngineRunner(flavour, b"plan", torch.device("cpu"))
