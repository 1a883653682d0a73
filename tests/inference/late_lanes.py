"""LateLanes: a device without a card, as unkind to mistakes as a real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.inference.nearest import CPU
from vidsr.arrays import Device, device_of, to_device, to_host
from vidsr.inference.lanes import Arrival, Planes


@dataclass(frozen=True)
class LateArrival:
    """Planes that are read only when they are waited for: whoever wrote into them meanwhile shows."""

    there: Planes
    log: list[str]

    def wait(self) -> Planes:
        self.log.append("down")
        return tuple(to_host(plane).copy() for plane in self.there)


class LateLanes:
    """Several slots on the CPU: uploads are copies, downloads happen as late as they may."""

    def __init__(self, slots: int = 3, device: Device = CPU) -> None:
        self.slots = slots
        self.log: list[str] = []
        self._device = device
        self._within = False

    def up(self, planes: Planes) -> Planes:
        assert self._within, "planes go up on behalf of work"
        self.log.append("up")
        return tuple(to_device(plane.copy(), self._device) for plane in planes)

    @contextmanager
    def computing(self) -> Iterator[None]:
        self._within = True
        yield
        self._within = False

    def down(self, planes: Planes) -> Arrival:
        assert self._within, "and down behind it"
        assert all(device_of(plane) == self._device for plane in planes)
        return LateArrival(planes, self.log)
