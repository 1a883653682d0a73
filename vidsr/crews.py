"""Who computes: the part of the configuration that says on what, and on how many of it."""

from __future__ import annotations

from dataclasses import dataclass

from vidsr.errors import UsageError


@dataclass(frozen=True)
class CrewConfig:
    """Who computes. Nothing given: this process, on one device."""

    devices: tuple[str, ...] = ()  # a process for each: the number of an NVIDIA card, or "cpu"
    allow_mixed: bool = False  # devices of several kinds, whose frames may differ in the last bit

    def __post_init__(self) -> None:
        for device in self.devices:
            if device != "cpu" and not (device.isascii() and device.isdecimal()):
                raise UsageError(f"--devices takes numbers of cards and cpu, as 0,1, not {device!r}")
        cards = [device for device in self.devices if device != "cpu"]
        if len(set(cards)) < len(cards):
            raise UsageError(f"--devices {','.join(self.devices)}: names a card twice")

    @property
    def several(self) -> bool:
        """Whether other processes than this one compute."""
        return bool(self.devices)
