"""A stream of one's own beside the caller's: in order with it, and fit for recording graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class SideStream:
    """Work queued on it comes behind what the caller queued before, and before what comes after.

    TensorRT wants one that is not the default stream, on which it waits for the card in each call and
    records nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.handle: int = self._stream.cuda_stream  # CUDA's cudaStream_t

    def run(self, work: Callable[[Tensor], Tensor], lr: Tensor) -> Tensor:
        """The result of `work` for `lr`, queued here; both tensors are the caller's stream's."""
        caller = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(caller)
        with torch.cuda.stream(self._stream):
            result = work(lr)
        caller.wait_stream(self._stream)
        # Made on one stream and used on the other: their memory is not given away before that is done.
        lr.record_stream(self._stream)
        result.record_stream(caller)
        return result

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """What plays `work` back as one launch; it has run before, and uses the same addresses for ever.

        Raises RuntimeError where something in it cannot be recorded.
        """
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # An engine may be made ready beside a network at work, whose allocations are none of the
        # recording's business.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            work()
        return graph.replay

    def finish(self) -> None:
        """Wait until all of it is done."""
        self._stream.synchronize()
