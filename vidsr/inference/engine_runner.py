"""One engine ready to run on torch tensors: buffers, addresses, CUDA graph.

Made only where CUDA is there: without a driver, constructing a TensorRT runtime may end the process.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from vidsr.errors import EngineError
from vidsr.inference.engine_builder import INPUT, OUTPUT, load_flavour
from vidsr.inference.engine_key import Flavour, ShapeRange
from vidsr.inference.engine_monitor import make_log
from vidsr.inference.side_stream import SideStream

WARM_UPS = 2
"""Calls before a graph is recorded: the first loads kernels, which a recording forbids."""


class EngineRunner:
    """Runs a deserialised engine on a stream of its own; a context manager, for one thread at a time.

    Memory for activations comes from PyTorch's allocator, which so knows of it. For one size of input
    the buffers stay where they are and the work is one CUDA graph; another size prepares anew.
    """

    def __init__(self, flavour: Flavour, plan: bytes, device: torch.device) -> None:
        """Deserialise an engine. Raises EngineError where TensorRT refuses it, and
        torch.OutOfMemoryError where its activations do not fit.
        """
        trt = load_flavour(flavour)
        self.device = device
        self.digest = hashlib.sha256(plan).hexdigest()[:16]
        self._log = make_log(trt)
        self._runtime = trt.Runtime(self._log)
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(f"TensorRT refuses the engine: {self._log.complaint()}")
        self._engine = engine
        self.dtype = _torch_dtype(trt, engine.get_tensor_dtype(INPUT))
        profile = [tuple(shape)[:3] for shape in engine.get_tensor_profile_shape(INPUT, 0)]
        self.shapes = ShapeRange(*profile)

        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(
            trt.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        # TensorRT-RTX compiles while it runs, so it must record by itself; and it may go on compiling
        # behind the first calls and then compute with other kernels, unless told to be done at once.
        self._records_itself = flavour == "tensorrt_rtx"
        if self._records_itself:
            config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
            config.dynamic_shapes_kernel_specialization_strategy = eager
        context = engine.create_execution_context(config)
        if context is None:
            raise EngineError(f"TensorRT cannot prepare the engine: {self._log.complaint()}")
        self._context = context
        activation_bytes = max(1, engine.get_device_memory_size_for_profile_v2(0))
        self._activations = torch.empty(activation_bytes, dtype=torch.uint8, device=device)
        context.set_device_memory(self._activations.data_ptr(), activation_bytes)

        self._stream = SideStream(device)
        self._launch: Callable[[], None] = self._enqueue
        self._let_go()

    def __call__(self, lr: Tensor) -> Tensor:
        """Enlarge (N, h, w, 3) of `dtype`, of a shape within `shapes`, on the device.

        Raises torch.OutOfMemoryError, after which a smaller shape may be tried.
        """
        # The buffers are made in inference mode or not, and must be written in the same.
        with torch.inference_mode():
            return self._stream.run(self._work, lr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of everything, in the one order TensorRT allows: context, engine, runtime."""
        self._stream.finish()
        self._let_go()
        self._context = None
        self._engine = None
        self._runtime = None
        self._activations = self._lr

    def _work(self, lr: Tensor) -> Tensor:
        if lr.shape != self._lr.shape:
            self._let_go()  # first: there may not be room for both
            try:
                self._prepare(lr.shape)
            except BaseException:
                self._let_go()  # else the next call of this shape would find it half prepared
                raise
        self._lr.copy_(lr, non_blocking=True)
        self._launch()
        return self._sr.clone()  # the buffer itself is overwritten by the next call

    def _prepare(self, shape: torch.Size) -> None:
        """Buffers and graph for one shape of input."""
        context = self._context
        self._must(context.set_input_shape(INPUT, tuple(shape)), f"the shape {tuple(shape)}")
        self._must(not context.infer_shapes(), f"the shape {tuple(shape)}")
        self._lr = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self._sr = torch.empty(
            tuple(context.get_tensor_shape(OUTPUT)), dtype=self.dtype, device=self.device
        )
        self._must(context.set_tensor_address(INPUT, self._lr.data_ptr()), "its input")
        self._must(context.set_tensor_address(OUTPUT, self._sr.data_ptr()), "its output")
        for _ in range(WARM_UPS):
            self._enqueue()
        if not self._records_itself:
            with suppress(RuntimeError):  # launched one by one then: the same kernels, a little later
                self._launch = self._stream.record(self._enqueue)

    def _let_go(self) -> None:
        """Forget buffers and graph; the graph holds the buffers' addresses."""
        self._launch = self._enqueue
        self._lr = self._sr = torch.empty(0, dtype=self.dtype, device=self.device)

    def _enqueue(self) -> None:
        self._must(self._context.execute_async_v3(self._stream.handle), "a call")

    def _must(self, success: bool, what: str) -> None:
        if success:
            return
        said = self._log.complaint()
        self._log.errors.clear()
        if re.search(r"out.?of.?memory", said, re.IGNORECASE):
            raise torch.OutOfMemoryError(f"TensorRT: {said}")
        raise EngineError(f"TensorRT refuses {what}: {said}")


def _torch_dtype(trt: Any, dtype: Any) -> torch.dtype:
    if dtype == trt.DataType.UINT8:
        return torch.uint8
    return torch.float16 if dtype == trt.DataType.HALF else torch.float32
