"""The generator in OpenVINO: the fast way on a CPU, in 8 bits where these weights are calibrated."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# The graph first: it keeps OpenVINO from reporting its use.
from vidsr.inference.openvino_graph import VERSION, Ranges, Tensors, build_graph, last_shuffle  # isort: split

import openvino

from vidsr.arrays import HOST, DType
from vidsr.config import UpscalePrecision
from vidsr.cores import threads
from vidsr.errors import BackendUnavailable, OutOfMemory
from vidsr.inference.backend import WARM_UP, Call, SizeLimits
from vidsr.inference.calibration import Calibration, find_calibration
from vidsr.inference.engine_files import user_cache
from vidsr.inference.kept_graphs import folder_of
from vidsr.inference.memory import working_bytes_per_pixel
from vidsr.inference.processor import bytes_pay
from vidsr.inference.shuffle import spread
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import Weights, load_tensors

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

TRIAL_SHAPE = (1, 96, 96, 3)
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
    dynamic shape), and the last few are kept. The number of threads is what `cores.threads` said when
    the backend was made; the result is the same to the bit with any. It may be called from several
    threads, and never loads PyTorch.
    """

    name = "openvino"
    device = HOST
    limits = SizeLimits()

    def __init__(
        self,
        weights: Weights,
        precision: UpscalePrecision = "auto",
        calibration: Calibration | None = None,
    ) -> None:
        """`calibration` None looks for the one beside the weights. Raises BackendUnavailable."""
        self._core = _core()
        self._threads = threads()
        self.scale = weights.scale
        network = load_tensors(weights)
        self.receptive_radius = network[0].receptive_radius
        self._shuffle = last_shuffle(network[0])
        self.bytes_per_pixel = working_bytes_per_pixel(network[0], np.dtype(np.float32).itemsize)
        if precision in ("auto", "int8") and calibration is None:
            calibration = find_calibration(weights)
        self.precision = self._choose(precision, weights, network, calibration)
        self.runtime = f"openvino {VERSION}"
        ranges: Ranges | None = None
        if self.precision == "int8" and calibration is not None:
            ranges = calibration.ranges
            self.runtime += f", calibration {calibration.digest}"
        self._build = partial(build_graph, *network, ranges=ranges)
        self._identity = f"{weights.sha256} {self.precision} {self.runtime}"
        self._shapes: OrderedDict[tuple[Any, ...], _Shape] = OrderedDict()
        self._lock = threading.Lock()
        self._abreast = False
        self._closed = False

    def _choose(
        self,
        asked: UpscalePrecision,
        weights: Weights,
        network: tuple[GeneratorConfig, Tensors],
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
                f"{' or '.join(file.name for file in weights.files)} has no calibration for 8 bits: "
                "make it with vidsr export"
            )
        if asked != "auto":
            return asked
        pays = calibration is not None and bytes_pay(
            f"{weights.name} {weights.sha256[:8]}, OpenVINO {VERSION}",
            lambda: self._share_of_time(network, calibration.ranges),
            user_cache() / "int8.json",
        )
        return "int8" if pays else "fp32"

    def __call__(self, lr: NDArray[Any]) -> NDArray[Any]:
        """Enlarge (N, h, w, 3) RGB, uint8 or floating in [0, 1], by the scale; clamped, same dtype."""
        if self._closed:
            raise ValueError("the backend is closed")
        # OpenVINO shares no memory that may not be written, though it only reads this.
        pixels = np.require(lr, None if lr.dtype == np.uint8 else np.float32, ("C", "W"))
        with self._request(pixels) as request:
            # It shares the memory of NumPy's: nothing is copied.
            request.set_input_tensor(openvino.Tensor(pixels, shared_memory=True))
            request.infer()
            # The request keeps the cells and overwrites them with the next call.
            sr = spread(request.get_output_tensor().data, self._shuffle)
        return sr.astype(lr.dtype, copy=False)

    def expect(self, call: Call) -> None:
        """Compile for small frames before they come; a call of another size would take as long.

        Only here what was compiled is kept for the next start: pieces of frames have too many sizes.
        """
        pixels = call.frames * call.height * call.width
        if self.calls_at_once(pixels) == 1:
            self(np.zeros(WARM_UP, np.uint8))  # how large the pieces will be depends on the memory
            return
        first = np.empty((call.frames, call.height, call.width, 3), call.dtype)
        with self.abreast(), self._request(first, folder_of(self._identity)):
            pass

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
    def _request(
        self, pixels: NDArray[Any], kept: Path | None = None
    ) -> Iterator[openvino.InferRequest]:
        """A request of the graph for this shape and type, for the caller alone."""
        try:
            with self._lock:
                shape = self._shape(pixels, kept)
                request = shape.idle.pop() if shape.idle else shape.graph.create_infer_request()
            try:
                yield request
            finally:
                with self._lock:
                    shape.idle.append(request)
        except (RuntimeError, MemoryError) as error:
            if not _lacks_memory(error):
                raise
            with self._lock:  # another call may be looking its shape up
                self._shapes.clear()
            raise OutOfMemory(f"{self.name}: {len(pixels)} frames at once do not fit") from error

    def _shape(self, pixels: NDArray[Any], kept: Path | None = None) -> _Shape:
        """The compiled graph for this shape and type; `kept` is where it may be found or put."""
        streams = self._streams(math.prod(pixels.shape[:3])) if self._abreast else 1
        dtype: DType = "uint8" if pixels.dtype == np.uint8 else "float32"
        key = (dtype, pixels.shape, streams)
        if key not in self._shapes:
            while len(self._shapes) >= SHAPES_KEPT:
                self._shapes.popitem(last=False)
            hint = "bf16" if self.precision == "bf16" else "f32"
            graph = self._compile(self._build(dtype), pixels.shape, streams, hint, kept)
            self._shapes[key] = _Shape(graph, [])
        self._shapes.move_to_end(key)
        return self._shapes[key]

    def _compile(
        self,
        graph: openvino.Model,
        shape: tuple[int, ...],
        streams: int = 1,
        hint: str = "f32",
        kept: Path | None = None,
    ) -> Any:
        """A graph for one shape, that shares the threads among so many calls."""
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
        if kept is not None:
            settings["CACHE_DIR"] = str(kept)
        return self._core.compile_model(graph, "CPU", settings)

    def _share_of_time(self, network: tuple[GeneratorConfig, Tensors], ranges: Ranges) -> float:
        """Time of a small picture in 8 bits over its time in fp32."""
        least_s: list[float] = []
        for chosen in (ranges, None):
            graph = build_graph(*network, "uint8", chosen)
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
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._shapes.clear()


def _lacks_memory(error: BaseException) -> bool:
    """Whether memory is what was lacking; OpenVINO's error for it has no type."""
    return isinstance(error, MemoryError) or "bad_alloc" in str(error)
