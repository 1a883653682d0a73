"""The generator in OpenVINO: the fast way on a CPU, in 8 bits where these weights are calibrated."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

# The graph first: it keeps OpenVINO from reporting its use.
from vidsr.inference.openvino_graph import VERSION, Ranges, build_graph, last_shuffle  # isort: split

import openvino

from vidsr.config import UpscalePrecision
from vidsr.errors import BackendUnavailable, OutOfMemory
from vidsr.inference.backend import SizeLimits
from vidsr.inference.calibration import Calibration, find_calibration
from vidsr.inference.engine_files import user_cache
from vidsr.inference.processor import bytes_pay
from vidsr.inference.shuffle import spread
from vidsr.inference.torch_backend import working_bytes_per_pixel
from vidsr.models.generator import Generator
from vidsr.models.weights import Weights, load_generator

SHAPES_KEPT = 3
"""Compiled shapes kept ready: the frames', a shorter last batch's, and the warm-up's."""

STREAMS = 2
"""Small frames computed at once, each by its share of the threads: threads that work on one small frame
wait for each other at every layer, 41 CPU ms instead of 35 for 320x180 with `srgan-fast`."""

STREAM_BYTES = 96 << 20
"""Working memory of a frame up to which another is computed beside it: 320x180 with `srgan-fast` x4, but
not with `srgan-lite` x4, whose job would be an eighth faster and take 700 MB and more."""

SMALL_PX = 1 << 18
"""LR pixels up to which one frame is in the network while another is in the colour conversion."""

TRIAL_SHAPE = torch.Size((1, 96, 96, 3))
TRIALS = 5
"""What 8 bits are tried on where the processor's instructions do not tell: half a second in all."""


@cache
def _core() -> Any:
    """OpenVINO's core, one for the process and never let go.

    With its first inference the calling thread gets an alternate signal stack from OpenVINO, which is
    unmapped together with the core, on whichever thread that happens: the next Ctrl-C would then end the
    process with a segmentation fault.
    """
    return openvino.Core()


@dataclass
class _Shape:
    """A graph compiled for one shape, and its requests that nobody uses at the moment."""

    graph: Any
    idle: list[openvino.InferRequest]


class OpenvinoBackend:
    """Runs a generator on the CPU: any weights in fp32, calibrated ones in int8.

    A graph is compiled for each shape when it first comes (about 0.1 s, and faster to run than one of
    dynamic shape), and the last few are kept. The number of threads is what PyTorch's was when the
    backend was made; the result is the same to the bit with any. It may be called from several threads.

    While it is entered, PyTorch itself works with a quarter of them. Its threads spin at the end of
    each small step of the colour conversion until all are there, and where OpenVINO's and the encoder's
    want the same cores that takes longer than the step: on two busy cores 40 to 450 ms a frame of
    1280x720 instead of 6.
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
        self._core = _core()
        self._threads = torch.get_num_threads()
        self._threads_before: int | None = None
        self.scale = weights.scale
        generator = load_generator(weights, self.device)
        self.receptive_radius = generator.config.receptive_radius
        self._shuffle = last_shuffle(generator.config)
        self.bytes_per_pixel = working_bytes_per_pixel(generator.config, torch.float32.itemsize)
        if precision in ("auto", "int8") and calibration is None:
            calibration = find_calibration(weights)
        self.precision = self._choose(precision, weights, generator, calibration)
        self.runtime = f"openvino {VERSION}"
        ranges: Ranges | None = None
        if self.precision == "int8" and calibration is not None:
            ranges = calibration.ranges
            self.runtime += f", calibration {calibration.digest}"
        self._graphs = {
            dtype: build_graph(generator, dtype, ranges) for dtype in (torch.uint8, torch.float32)
        }
        self._shapes: OrderedDict[tuple[Any, ...], _Shape] = OrderedDict()
        self._lock = threading.Lock()
        self._abreast = False
        self._closed = False

    def _choose(
        self,
        asked: UpscalePrecision,
        weights: Weights,
        generator: Generator,
        calibration: Calibration | None,
    ) -> str:
        """The precision that what was asked for comes to on this machine."""
        if asked == "fp16":
            raise BackendUnavailable(
                "half precision is slower than single on a CPU: use --precision fp32"
            )
        if asked == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise BackendUnavailable("this processor has no bfloat16 arithmetic: use --precision fp32")
        if asked == "int8" and calibration is None:
            raise BackendUnavailable(
                f"{weights.path.name} has no calibration for 8 bits: make one with vidsr export"
            )
        if asked != "auto":
            return asked
        pays = calibration is not None and bytes_pay(
            f"{weights.name} {weights.sha256[:8]}, OpenVINO {VERSION}",
            lambda: self._share_of_time(generator, calibration.ranges),
            user_cache() / "int8.json",
        )
        return "int8" if pays else "fp32"

    def __call__(self, lr: Tensor) -> Tensor:
        """Enlarge (N, h, w, 3) RGB, uint8 or floating in [0, 1], by the scale; clamped, same dtype."""
        if self._closed:
            raise ValueError("the backend is closed")
        pixels = lr if lr.dtype == torch.uint8 else lr.float()
        pixels = pixels.contiguous()
        try:
            with self._request(pixels) as request:
                # It shares the memory of PyTorch's: nothing is copied.
                request.set_input_tensor(openvino.Tensor(pixels.numpy(), shared_memory=True))
                request.infer()
                # The request keeps the cells and overwrites them with the next call.
                sr = spread(torch.from_numpy(request.get_output_tensor().data), self._shuffle)
        except (RuntimeError, MemoryError) as error:
            if not _lacks_memory(error):
                raise
            with self._lock:  # another call may be looking its shape up
                self._shapes.clear()
            raise OutOfMemory(f"{self.name}: {len(lr)} frames at once do not fit") from error
        return sr.to(lr.dtype)

    def calls_at_once(self, pixels: int) -> int:
        """How many calls of so many LR pixels each are worth making at once."""
        if self._threads == 1 or pixels > SMALL_PX:
            return 1
        return self._streams(pixels) + 1  # the last one is in the colour conversion

    def _streams(self, pixels: int) -> int:
        return STREAMS if pixels * self.bytes_per_pixel <= STREAM_BYTES else 1

    @contextmanager
    def abreast(self) -> Iterator[None]:
        """Within it calls come from several threads at once, of small frames."""
        self._abreast = True
        try:
            yield
        finally:
            self._abreast = False

    @contextmanager
    def _request(self, pixels: Tensor) -> Iterator[openvino.InferRequest]:
        """A request of the graph for this shape and type, for the caller alone."""
        with self._lock:
            shape = self._shape(pixels)
            request = shape.idle.pop() if shape.idle else shape.graph.create_infer_request()
        try:
            yield request
        finally:
            with self._lock:
                shape.idle.append(request)

    def _shape(self, pixels: Tensor) -> _Shape:
        """The compiled graph for this shape and type."""
        streams = self._streams(pixels.shape[:3].numel()) if self._abreast else 1
        key = (pixels.dtype, pixels.shape, streams)
        if key not in self._shapes:
            while len(self._shapes) >= SHAPES_KEPT:
                self._shapes.popitem(last=False)
            hint = "bf16" if self.precision == "bf16" else "f32"
            graph = self._compile(self._graphs[pixels.dtype], pixels.shape, streams, hint)
            self._shapes[key] = _Shape(graph, [])
        self._shapes.move_to_end(key)
        return self._shapes[key]

    def _compile(
        self, graph: openvino.Model, shape: torch.Size, streams: int = 1, hint: str = "f32"
    ) -> Any:
        """A graph for one shape, that shares the threads among so many calls."""
        graph = graph.clone()
        graph.reshape(list(shape))
        settings = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": self._threads,
            # Decoder and encoder want the cores too: bound to one that is taken, a thread would wait
            # for it while another is free, and all others wait for that thread.
            "ENABLE_CPU_PINNING": False,
            # Left alone, it computes in bfloat16 where the processor can.
            "INFERENCE_PRECISION_HINT": hint,
        }
        return self._core.compile_model(graph, "CPU", settings)

    def _share_of_time(self, generator: Generator, ranges: Ranges) -> float:
        """Time of a small picture in 8 bits over its time in fp32."""
        least_s: list[float] = []
        for chosen in (ranges, None):
            graph = build_graph(generator, torch.uint8, chosen)
            request = self._compile(graph, TRIAL_SHAPE).create_infer_request()
            request.infer()  # the first one still allocates
            times = []
            for _ in range(TRIALS):
                began = time.perf_counter()
                request.infer()
                times.append(time.perf_counter() - began)
            least_s.append(min(times))
        return least_s[0] / least_s[1]

    def __enter__(self) -> Self:
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(max(1, self._threads // 4))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._threads_before is not None:
            torch.set_num_threads(self._threads_before)
            self._threads_before = None
        self._closed = True
        self._shapes.clear()
        self._graphs.clear()


def _lacks_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch's or OpenVINO's allocator, neither of which has a type, is meant."""
    text = str(error)
    return isinstance(error, MemoryError) or "bad_alloc" in text or "can't allocate memory" in text
