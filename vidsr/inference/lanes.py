"""How planes get from the host to where the network computes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from vidsr.arrays import HOST, Array, Device, is_card, namespace, to_device, to_host

Planes = tuple[Array, ...]


def joined(batches: Sequence[Planes]) -> Planes:
    """The planes of several batches, one behind the other."""
    if len(batches) == 1:
        return batches[0]
    return tuple(namespace(same[0]).concatenate(same) for same in zip(*batches, strict=True))


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

    def __init__(self, device: Device = HOST) -> None:
        self._device = device

    def up(self, planes: Planes) -> Planes:
        return tuple(to_device(plane, self._device) for plane in planes)

    def computing(self) -> AbstractContextManager[object]:
        return nullcontext()

    def down(self, planes: Planes) -> Arrival:
        return Arrived(tuple(map(to_host, planes)))


def lanes_of(device: Device) -> Lanes:
    """The lanes of a device."""
    if is_card(device):
        from vidsr.inference.card_lanes import CardLanes

        return CardLanes(device)
    return HostLanes(device)
