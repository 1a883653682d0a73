"""Who computes: the part of the configuration that says on what, and on how many of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vidsr.errors import UsageError


@dataclass(frozen=True)
class CrewConfig:
    """Who computes. Nothing given: this process, on one device."""

    devices: tuple[str, ...] = ()  # a process for each: the number of an NVIDIA card, or "cpu"
    cluster: str | None = (
        None  # auto, local, ray://HOST:PORT, or HOST:PORT of a cluster this machine is in
    )
    workers: int | None = None  # of a cluster; None: as many as it has room for
    cpus_per_worker: int | None = None  # None: all of a machine, or its share of them for each card
    shared: Path | None = None  # folder that every machine of a cluster sees: segments come back there
    allow_mixed: bool = False  # devices of several kinds, whose frames may differ in the last bit

    def __post_init__(self) -> None:
        for device in self.devices:
            if device != "cpu" and not (device.isascii() and device.isdecimal()):
                raise UsageError(f"--devices takes numbers of cards and cpu, as 0,1, not {device!r}")
        cards = [device for device in self.devices if device != "cpu"]
        if len(set(cards)) < len(cards):
            raise UsageError(f"--devices {','.join(self.devices)}: names a card twice")

        if self.cluster is None:
            if self.workers is not None or self.cpus_per_worker is not None:
                raise UsageError("--workers and --cpus-per-worker go with --cluster")
            if self.shared is not None:
                raise UsageError("--shared goes with --cluster")
            return
        if self.devices:
            raise UsageError("--devices and --cluster exclude each other: give one of them")
        for option, value in (("workers", self.workers), ("cpus-per-worker", self.cpus_per_worker)):
            if value is not None and value < 1:
                raise UsageError(f"--{option} must be at least 1, not {value}")
        if self.cluster not in ("auto", "local") and not re.fullmatch(
            r"(ray://)?[^/\s]+:\d+", self.cluster
        ):
            raise UsageError(
                f"--cluster takes auto, local, or an address as ray://HOST:PORT, not {self.cluster!r}"
            )

    @property
    def several(self) -> bool:
        """Whether other processes than this one compute."""
        return bool(self.devices) or self.cluster is not None
