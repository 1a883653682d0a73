"""The generator in OpenVINO: the fast way on a CPU, in 8 bits where these weights are calibrated."""

from __future__ import annotations

from collections import OrderedDict
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

# The graph first: it keeps OpenVINO from reporting its use.
from vidsr.inference.openvino_graph import VERSION, build_graph  # isort: split

import openvino

from vidsr.config import UpscalePrecision
from vidsr.errors import BackendUnavailable, OutOfMemory
from vidsr.inference.backend import SizeLimits
from vidsr.inference.calibration import Calibration, find_calibration
from vidsr.inference.processor import multiplies_bytes
from vidsr.inference.torch_backend import working_bytes_per_pixel
from vidsr.models.weights import Weights, load_generator

SHAPES_KEPT = 3
"""Compiled shapes kept ready: the frames', a shorter last batch's, and the warm-up's."""

_HINTS = {"fp32": "f32", "int8": "f32", "bf16": "bf16"}


class OpenvinoBackend:
    """Runs a generator on the CPU: any weights in fp32, calibrated ones in int8.

    A graph is compiled for each shape when it first comes (about 0.1 s, and faster to run than one of
    dynamic shape), and the last few are kept. With the same shape and number of threads the result is
    the same to the bit; the number is PyTorch's, so that one setting rules both.
    """

    name = "openvino"
    device = torch.device("cpu")
    limits = SizeLimits()

    def __init__(
        self,
        weights: Weights,
        precision: UpscalePrecision = "auto",
        calibration: Calibration | None = None,
    ) -> None:
        """`calibration` None looks for the one beside the weights. Raises BackendUnavailable."""
        self._core = openvino.Core()
        if precision == "fp16":
            raise BackendUnavailable(
                "half precision is slower than single on a CPU: use --precision fp32"
            )
        if precision == "bf16" and "BF16" not in self._capabilities():
            raise BackendUnavailable("this processor has no bfloat16 arithmetic: use --precision fp32")
        if precision in ("auto", "int8"):
            calibration = calibration or find_calibration(weights)
            if precision == "int8" and calibration is None:
                raise BackendUnavailable(
                    f"{weights.path.name} has no calibration for 8 bits: make one with vidsr export"
                )
            use_int8 = calibration is not None and (precision == "int8" or multiplies_bytes())
            precision = "int8" if use_int8 else "fp32"
        self.precision: str = precision
        self.scale = weights.scale
        self.runtime = f"openvino {VERSION}"
        self._ranges = None
        if precision == "int8" and calibration is not None:
            self._ranges = calibration.ranges
            self.runtime += f" calibration {calibration.digest}"
        generator = load_generator(weights, self.device)
        self.receptive_radius = generator.config.receptive_radius
        self.bytes_per_pixel = working_bytes_per_pixel(generator.config, torch.float32.itemsize)
        self._graphs = {
            dtype: build_graph(generator, dtype, self._ranges) for dtype in (torch.uint8, torch.float32)
        }
        self._requests: OrderedDict[tuple[Any, ...], openvino.InferRequest] = OrderedDict()
        self._closed = False

    def __call__(self, lr: Tensor) -> Tensor:
        """Enlarge (N, h, w, 3) RGB, uint8 or floating in [0, 1], by the scale; clamped, same dtype."""
        if self._closed:
            raise ValueError("the backend is closed")
        pixels = lr if lr.dtype == torch.uint8 else lr.float()
        pixels = pixels.contiguous()
        count, height, width, _ = lr.shape
        size = count, height * self.scale, width * self.scale, 3
        try:
            request = self._request(pixels)
            sr = torch.empty(size, dtype=pixels.dtype)
            # Both tensors share the memory of PyTorch's: nothing is copied.
            request.set_input_tensor(openvino.Tensor(pixels.numpy(), shared_memory=True))
            request.set_output_tensor(openvino.Tensor(sr.numpy(), shared_memory=True))
            request.infer()
        except (RuntimeError, MemoryError) as error:
            if not _lacks_memory(error):
                raise
            self._requests.clear()
            raise OutOfMemory(f"{self.name}: {count} frames at once do not fit") from error
        return sr.to(lr.dtype)

    def _request(self, pixels: Tensor) -> openvino.InferRequest:
        """The compiled graph for this shape and type."""
        threads = torch.get_num_threads()
        key = (pixels.dtype, tuple(pixels.shape), threads)
        if key not in self._requests:
            graph = self._graphs[pixels.dtype].clone()
            graph.reshape(list(pixels.shape))
            settings = {
                "PERFORMANCE_HINT": "LATENCY",  # one stream: every frame takes all threads
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": _HINTS[self.precision],  # the default may be bfloat16
            }
            while len(self._requests) >= SHAPES_KEPT:
                self._requests.popitem(last=False)
            compiled = self._core.compile_model(graph, "CPU", settings)
            self._requests[key] = compiled.create_infer_request()
        self._requests.move_to_end(key)
        return self._requests[key]

    def _capabilities(self) -> list[str]:
        return list(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._requests.clear()
        self._graphs.clear()


def _lacks_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch's or OpenVINO's allocator, neither of which has a type, is meant."""
    text = str(error)
    return isinstance(error, MemoryError) or any(
        words in text for words in ("bad_alloc", "can't allocate memory", "llocat")
    )
