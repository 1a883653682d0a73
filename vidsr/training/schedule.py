"""The learning rate over a stage, and how far a stage has come."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

FLOOR = 0.005
"""Share of the learning rate that is left at the end of the cosine."""
STEPS = (0.5, 0.75, 0.875)
"""Where the stepped schedule halves. The paper (arXiv:1609.04802, section 3.2) divides by ten, once,
in mid-course; halving more often is what EDSR and ESRGAN do."""


@dataclass(frozen=True)
class Schedule:
    """A stage's length, in updates or in seconds of wall time, and its learning rate."""

    learning_rate: float
    warm_up: int  # updates until the full learning rate
    updates: int | None  # length; exactly one of the two is given
    seconds: float | None
    kind: Literal["cosine", "step"] = "cosine"

    def __post_init__(self) -> None:
        if (self.updates is None) == (self.seconds is None):
            raise ValueError("a stage has a length in updates or in seconds, not both")

    def progress(self, step: int, used_s: float) -> float:
        """How much of the stage is done after `step` updates and `used_s` seconds: 0 to 1."""
        if self.updates is not None:
            return min(1.0, step / self.updates) if self.updates else 1.0
        assert self.seconds is not None
        return min(1.0, used_s / self.seconds)

    @property
    def extent(self) -> tuple[int, str]:
        """The whole length and its unit, for progress: updates or seconds."""
        if self.updates is not None:
            return self.updates, "updates"
        assert self.seconds is not None
        return math.ceil(self.seconds), "s"

    def done(self, step: int, used_s: float) -> int:
        """How much of the extent is behind."""
        return step if self.updates is not None else int(used_s)

    def rate(self, step: int, used_s: float) -> float:
        """The learning rate of the update that follows `step` others."""
        warm = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        progress = self.progress(step, used_s)
        if self.kind == "step":
            return self.learning_rate * warm * 0.5 ** sum(progress >= at for at in STEPS)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))  # I. Loshchilov, F. Hutter, arXiv:1608.03983
        return self.learning_rate * warm * (FLOOR + (1 - FLOOR) * cosine)
