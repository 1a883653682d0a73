"""A card's lanes: planes up, its own work, planes down, all at the same time.

A GPU copies in both directions while it computes, if three things hold: each direction has a stream of
its own, the host's memory is pinned (the copy engines cannot be interrupted by paging), and the host
does not wait in between. What is queued on a lane therefore returns at once; only `Arrival.wait` waits.
CUDA C++ Programming Guide, sections "Asynchronous Concurrent Execution" and "Page-Locked Host Memory".
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from vidsr.arrays import to_host
from vidsr.inference.lanes import Arrival, Planes

CUDA_SLOTS = 3
"""Batches on their way at once: one goes down, one is computed, one is queued behind it."""


@dataclass(frozen=True)
class Landing:
    """Planes on the way down, and the event that marks their arrival."""

    here: Planes  # PyTorch's, in pinned memory
    there: Planes  # kept, so that their memory is not given to other work before they are read
    landed: torch.cuda.Event

    def wait(self) -> Planes:
        self.landed.synchronize()  # releases the interpreter's lock
        return tuple(map(to_host, self.here))


class CardLanes:
    """An NVIDIA card's: one stream for each direction and one for the work.

    Pinned memory comes from PyTorch's cache of it, which takes a block back only when the copies that
    use it are done; so results may be kept for as long as an encoder likes.
    """

    slots = CUDA_SLOTS

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._uploads, self._work, self._downloads = (
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            for _ in range(3)
        )

    def up(self, planes: Planes) -> Planes:
        with torch.cuda.stream(self._uploads):
            there = tuple(
                torch.from_numpy(plane).pin_memory().to(self._device, non_blocking=True)
                for plane in planes
            )
        self._work.wait_stream(self._uploads)
        for plane in there:
            plane.record_stream(self._work)  # made on one stream, used and let go on another
        return there

    def computing(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._work)

    def down(self, planes: Planes) -> Arrival:
        self._downloads.wait_stream(self._work)
        with torch.cuda.stream(self._downloads):
            here = tuple(
                torch.empty(plane.shape, dtype=plane.dtype, pin_memory=True).copy_(
                    plane, non_blocking=True
                )
                for plane in planes
            )
            # Blocking: the waiting thread sleeps, since the encoder wants the core it would spin on.
            landed = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            landed.record(self._downloads)
        return Landing(here, planes, landed)
