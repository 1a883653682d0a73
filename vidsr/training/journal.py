"""What a training writes down of itself: curves, scores, best scores. Lives in the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOWER_IS_BETTER = frozenset({"lpips"})
CURVE_POINTS = 2000
"""Points of a curve above which every second is dropped: enough for any screen."""


@dataclass
class Journal:
    """Curves by name, points (update over all stages, value); scores of the averaged weights."""

    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    finished: dict[str, dict[str, float]] = field(default_factory=dict)  # by stage: updates, seconds
    baselines: dict[str, float] = field(default_factory=dict)  # scores of bicubic and Lanczos
    dtype: str = ""  # what the first process computed in: a resumed run keeps to it
    init_sha256: str = ""  # of the weights that the run began with; empty where it began with none

    def note(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each of the named curves."""
        for name, value in values.items():
            curve = self.curves.setdefault(name, [])
            curve.append((step, value))
            if len(curve) > CURVE_POINTS:
                del curve[1:-1:2]

    def score(self, step: int, scores: Mapping[str, float]) -> list[str]:
        """Add scores to their curves; the names of those that are the best so far."""
        self.note(step, scores)
        better = []
        for name, value in scores.items():
            so_far = self.best.get(name)
            if so_far is None or (value < so_far if name in LOWER_IS_BETTER else value > so_far):
                self.best[name] = value
                better.append(name)
        return better

    def last(self, name: str) -> float | None:
        """The latest value of a curve."""
        curve = self.curves.get(name)
        return curve[-1][1] if curve else None

    def finish(self, stage: str, updates: int, seconds: float, patches: int) -> None:
        """Write down how long a stage took."""
        self.finished[stage] = {"updates": updates, "seconds": seconds, "patches": patches}

    def updates_before(self, stage: str) -> int:
        """Updates of the other stages, which are finished."""
        return int(sum(past["updates"] for name, past in self.finished.items() if name != stage))

    def in_words(self, scores: Mapping[str, float]) -> str:
        """Scores beside those of Lanczos."""
        return ", ".join(
            f"{name.upper()} {value:.4g} (Lanczos {self.baselines[f'lanczos {name}']:.4g})"
            for name, value in scores.items()
        )

    def to_plain(self) -> dict[str, Any]:
        """As dicts, lists, strings and numbers."""
        return {
            "curves": {name: [list(point) for point in curve] for name, curve in self.curves.items()},
            "best": dict(self.best),
            "finished": {name: dict(stage) for name, stage in self.finished.items()},
            "baselines": dict(self.baselines),
            "dtype": self.dtype,
            "init_sha256": self.init_sha256,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Journal:
        """What `to_plain` gave."""
        curves = {
            name: [(int(step), float(value)) for step, value in curve]
            for name, curve in plain["curves"].items()
        }
        return cls(
            curves=curves,
            best=dict(plain["best"]),
            finished=dict(plain["finished"]),
            baselines=dict(plain["baselines"]),
            dtype=plain["dtype"],
            init_sha256=plain.get("init_sha256", ""),  # an earlier version did not write it down
        )
