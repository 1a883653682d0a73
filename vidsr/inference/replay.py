"""A network recorded once for one shape and played back: CUDA graphs with buffers of their own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UPS = 2
"""Calls before the recording, in which libraries choose kernels and take their workspaces: what is
recorded must not allocate through anything but PyTorch's own allocator."""


class Replay:
    """Plays a network back for inputs of one shape, all its kernels launched at once.

    Launching a kernel costs the host some microseconds, as long as small frames keep a large card busy
    with it; a graph is one launch. It works on fixed addresses, so the input is copied in and the
    result copied out, at memory speed. PyTorch, "CUDA semantics", section "CUDA Graphs".
    """

    def __init__(self, network: Callable[[Tensor], Tensor], lr: Tensor) -> None:
        """Record `network` for inputs of the shape, dtype and device of `lr`.

        Raises torch.OutOfMemoryError; the recording keeps the memory of one call for as long as it
        lives.
        """
        self.kind = lr.shape, lr.dtype
        with torch.inference_mode():
            self._lr = lr.clone()
            aside = torch.cuda.Stream(lr.device)  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream(lr.device))
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    network(self._lr)
            torch.cuda.current_stream(lr.device).wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            # Another thread may allocate meanwhile: an engine being built, for one.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._sr = network(self._lr)
            torch.cuda.synchronize(lr.device)  # it is played back on other streams

    def __call__(self, lr: Tensor) -> Tensor:
        """The network's result for `lr`, in memory of its own; queued on the current stream."""
        self._lr.copy_(lr)
        self._graph.replay()
        return self._sr.clone()
