"""What a plan found: numbers for programs, tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vidsr.network_name import network_name
from vidsr.pipelines.info import Description


@dataclass(frozen=True)
class Way:
    """One model on one backend, measured on samples of the video."""

    model: str
    scale: int  # the network's own factor
    detail: float | None  # where two sets of weights are blended
    backend: str
    precision: str
    chosen: bool  # by the options as they were given
    frames: int  # that were enlarged for it
    network_s: float  # a frame that is computed whole, alone
    network_share: float  # of the network's work that is done; the rest is as in the frame before
    seconds_a_frame: float  # all stages together
    seconds: float  # the whole file
    output_bytes: int  # the enlarged video and all that is copied
    disk_bytes: int  # segments and joined file, while the job runs
    memory_bytes: int | None  # most that the process held
    memory_whole: bool  # False: its encoder was not full yet, a job takes more
    device_bytes: int | None  # GPU memory
    notices: tuple[str, ...]  # what the backend had to say

    @property
    def fps(self) -> float:
        """Source frames a second."""
        return 1 / self.seconds_a_frame

    def row(self, *, with_detail: bool) -> tuple[str, ...]:
        """Of the table; the name with the detail or without."""
        memory = "" if self.memory_bytes is None else size(self.memory_bytes)
        if self.device_bytes is not None:
            memory += f" + {size(self.device_bytes)} GPU"
        return (
            network_name(self.model, self.detail if with_detail else None, self.scale),
            f"{self.backend}, {self.precision}",
            f"{self.fps:.3g}",
            duration(self.seconds),
            f"{'' if self.memory_whole else '> '}{memory}",
            size(self.output_bytes),
            "chosen" if self.chosen else "",
        )


WAY_TITLES = ("model", "backend", "frames/s", "whole file", "memory", "output", "")


@dataclass(frozen=True)
class Forecast:
    """A file, what would become of it, and what that takes."""

    description: Description
    ways: tuple[Way, ...]  # as measured, the ladder's order for each model
    refusals: Mapping[str, str]  # by backend, or model and backend: why it was not measured
    frames: int  # of the whole file
    sampled: int  # frames that were looked at
    places: int  # that they lie in
    unchanged: float  # share of them equal to the one before, 0 to 1
    decode_s: float  # a frame, alone
    free_bytes: int  # where the output goes
    folder: str  # there

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """Of the table; the detail, which `facts` tell, is there where it differs."""
        differs = len({way.detail for way in self.ways}) > 1
        return [way.row(with_detail=differs) for way in self.ways]

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What holds for all ways, for a person."""
        chosen = next((way for way in self.ways if way.chosen), None)
        need = "" if chosen is None else f"{size(chosen.disk_bytes)} while the job runs, "
        share = 1.0 if chosen is None else chosen.network_share
        return (
            (
                "looked at",
                f"{self.sampled} frames at {self.places} places, decoded at {1 / self.decode_s:.0f} "
                "frames/s",
            ),
            (
                "unchanged",
                f"{100 * self.unchanged:.0f} % of them are equal to the one before; "
                f"{100 * (1 - share):.0f} % of the network's work is skipped",
            ),
            ("disk", f"{need}{size(self.free_bytes)} free in {self.folder}"),
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know."""
        said = [f"{name}: {reason}" for name, reason in self.refusals.items()]
        said += dict.fromkeys(text for way in self.ways for text in way.notices)
        if any(way.chosen and way.disk_bytes > self.free_bytes for way in self.ways):
            said.append(f"{self.folder}: has not enough free space for this job")
        return tuple(said)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        ways = [{**asdict(way), "fps": round(way.fps, 4)} for way in self.ways]
        return {**asdict(self), "description": self.description.to_json(), "ways": ways}


def size(count: float) -> str:
    """Bytes in words of three digits: 618 MB; powers of ten, as disks are sold."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """Seconds in words of two units: 3 h 12 min."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest and minutes < 10 else "")
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours / 24:.3g} days"
