"""The three lanes of a device: planes up, its own work, planes down, all at the same time.

A GPU copies in both directions while it computes, if three things hold: each direction has a stream of
its own, the host's memory is pinned (the copy engines cannot be interrupted by paging), and the host
does not wait in between. What is queued on a lane therefore returns at once; only `Arrival.wait` waits.
CUDA C++ Programming Guide, sections "Asynchronous Concurrent Execution" and "Page-Locked Host Memory".
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Planes = tuple[Tensor, ...]

CUDA_SLOTS = 3
"""Batches on their way at once: one goes down, one is computed, one is queued behind it."""


class Arrival(Protocol):
    """Planes on their way to the host."""

    def wait(self) -> Planes:
        """The planes in the host's memory, once the last byte is there."""


class Lanes(Protocol):
    """How planes get to a device and back."""

    @property
    def slots(self) -> int:
        """How many batches are worth having on their way at once."""

    def up(self, planes: Planes) -> Planes:
        """Planes of the host on the device, fit for any work queued from now on while `computing`."""

    def computing(self) -> AbstractContextManager[object]:
        """Within it, PyTorch's operations of this thread are queued on the lane of the work."""

    def down(self, planes: Planes) -> Arrival:
        """Planes of the device to the host, behind all work queued so far.

        They are read later: nobody may write into them any more.
        """


@dataclass(frozen=True)
class Arrived:
    """Planes that need not travel."""

    planes: Planes

    def wait(self) -> Planes:
        return self.planes


@dataclass(frozen=True)
class ArrivesLater:
    """Planes that another thread makes."""

    coming: Future[Planes]

    def wait(self) -> Planes:
        return self.coming.result()


class HostLanes:
    """The processor's: nothing is copied, and everything is done when it returns."""

    slots = 1

    def up(self, planes: Planes) -> Planes:
        return planes

    def computing(self) -> AbstractContextManager[object]:
        return nullcontext()

    def down(self, planes: Planes) -> Arrival:
        return Arrived(planes)


@dataclass(frozen=True)
class Landing:
    """Planes on the way down, and the event that marks their arrival."""

    here: Planes
    there: Planes  # kept, so that their memory is not given to other work before they are read
    landed: torch.cuda.Event

    def wait(self) -> Planes:
        self.landed.synchronize()  # releases the interpreter's lock
        return self.here


class CudaLanes:
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
            there = tuple(plane.pin_memory().to(self._device, non_blocking=True) for plane in planes)
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


def lanes_of(device: torch.device) -> Lanes:
    """The lanes of a device."""
    return CudaLanes(device) if device.type == "cuda" else HostLanes()
