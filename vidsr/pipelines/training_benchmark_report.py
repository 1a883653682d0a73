"""What a benchmark of training found: numbers for programs, tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from vidsr.pipelines.benchmark_report import Machine

PARTS = ("data", "forward", "backward", "optimiser", "other")
"""Of an update, in the order of their work; the last is reading losses and telling of progress."""


@dataclass(frozen=True)
class TrainingBenchmarkReport:
    """Updates of the pixel stage, where their time went, and what the machine could do at best."""

    preset: str
    stage: str  # "pixel": the generator alone
    scale: int
    blocks: int
    channels: int
    patch: int  # side in LR pixels
    batch: int  # patches an update
    device: str
    precision: str  # what convolutions compute in
    compiled: bool
    # Of a patch: three times the generator's convolutions forward, see `operations_a_patch`.
    operations_a_patch: int
    updates_s: tuple[Mapping[str, float], ...]  # seconds of each part, update by update
    peak_gflops: float  # of matrix products in the same precision on the same device
    machine: Machine

    @property
    def updates(self) -> int:
        """How many were measured."""
        return len(self.updates_s)

    @property
    def wall_s(self) -> float:
        """Time of all updates."""
        return sum(self._each_s)

    @property
    def updates_per_s(self) -> float:
        """Over all updates."""
        return self.updates / self.wall_s

    @property
    def patches_per_s(self) -> float:
        """Over all updates."""
        return self.batch * self.updates_per_s

    @property
    def shares(self) -> dict[str, float]:
        """Of the wall time, by part; together 1."""
        return {part: sum(update[part] for update in self.updates_s) / self.wall_s for part in PARTS}

    @property
    def gflops(self) -> float:
        """Billions of operations a second, over all updates."""
        return self.patches_per_s * self.operations_a_patch / 1e9

    @property
    def share_of_peak(self) -> float:
        """Of the peak of matrix products, over all updates."""
        return self.gflops / self.peak_gflops

    @property
    def best_share_of_peak(self) -> float:
        """The same of the quietest update, as the peak is that of the quietest product."""
        return self.batch * self.operations_a_patch / 1e9 / min(self._each_s) / self.peak_gflops

    @property
    def _each_s(self) -> list[float]:
        return [sum(update.values()) for update in self.updates_s]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = asdict(self)
        del plain["updates_s"]  # their sums are enough
        return {
            **plain,
            "updates": self.updates,
            "wall_s": round(self.wall_s, 4),
            "update_ms": {
                "median": round(1000 * median(self._each_s), 3),
                "least": round(1000 * min(self._each_s), 3),
            },
            "updates_per_s": round(self.updates_per_s, 4),
            "patches_per_s": round(self.patches_per_s, 3),
            "shares": {part: round(share, 5) for part, share in self.shares.items()},
            "gflops": round(self.gflops, 3),
            "share_of_peak": round(self.share_of_peak, 4),
            "best_share_of_peak": round(self.best_share_of_peak, 4),
        }

    def to_markdown(self) -> str:
        """The same in tables."""
        machine = self.machine
        load = "" if machine.load is None else f", load {machine.load:.1f} at the start"
        gpu = f", {machine.gpu}" if machine.gpu else ""
        compiled = ", compiled" if self.compiled else ""
        shares = self.shares
        network = shares["forward"] + shares["backward"]
        lines = [
            f"{self.preset} x{self.scale}, {self.stage} stage: {self.blocks} blocks, {self.channels} "
            f"channels; {self.updates} updates of {self.batch} patches of {self.patch}x{self.patch} LR "
            f"pixels on {self.device} {self.precision}{compiled}",
            "",
            f"{machine.processor}, {machine.cores} cores, {machine.threads} threads{load}{gpu}",
            f"at best: {self.peak_gflops:.0f} GFLOP/s {self.precision} (matrix products)",
            "",
            "| part of an update | ms, mean | of wall time |",
            "| --- | ---: | ---: |",
            *(
                f"| {part} | {1000 * share / self.updates_per_s:.2f} | {100 * share:.1f} % |"
                for part, share in shares.items()
            ),
            "",
            f"**{self.patches_per_s:.1f} patches/s**, {self.updates_per_s:.2f} updates/s, "
            f"{median(self._each_s):.3f} s an update (least {min(self._each_s):.3f}); "
            f"{100 * network:.1f} % of the time in forward and backward",
            "",
            f"{self.operations_a_patch / 1e9:.3f} GFLOP a patch (three times the convolutions forward): "
            f"{self.gflops:.0f} GFLOP/s, {100 * self.share_of_peak:.0f} % of the peak; the quietest "
            f"update {100 * self.best_share_of_peak:.0f} %",
        ]
        return "\n".join(lines) + "\n"
