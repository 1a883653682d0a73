"""Who is winning: words for a discriminator that has won, or that has given up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

MEMORY = 0.98
"""Decay of the running means, per reading: about the last fifty count."""
PATIENCE = 100
"""Readings before the first judgement, and between two warnings."""
WON = 0.02
"""A discriminator that gives real and made pictures probabilities this close to 1 and 0 is certain."""
BLIND = 0.01
"""One whose probabilities for real and made differ by less than this does not tell them apart."""


@dataclass
class Balance:
    """Running means of what the discriminator believes, and the words when it is out of balance."""

    real: float = math.nan  # mean probability of being real that real pictures get
    made: float = math.nan  # the same of made ones
    readings: int = 0
    warned_at: int | None = None

    def watch(self, terms: Mapping[str, float]) -> str | None:
        """Take in one reading of a GAN step's terms; a warning in plain words, at most now and then."""
        self.readings += 1
        if self.readings == 1:
            self.real, self.made = terms["real"], terms["made"]
        self.real += (1 - MEMORY) * (terms["real"] - self.real)
        self.made += (1 - MEMORY) * (terms["made"] - self.made)
        if self.readings < PATIENCE:
            return None
        if self.warned_at is not None and self.readings - self.warned_at < PATIENCE:
            return None
        words = self._words()
        if words is not None:
            self.warned_at = self.readings
        return words

    def _words(self) -> str | None:
        if self.real > 1 - WON and self.made < WON:
            return (
                f"the discriminator has won: it takes {self.real:.1%} of real pictures for real and "
                f"{self.made:.1%} of made ones, so the generator learns little from it; try a lower "
                "--learning-rate or --label-smoothing 0.1"
            )
        if abs(self.real - self.made) < BLIND:
            return (
                f"the discriminator has collapsed: real and made pictures look alike to it "
                f"({self.real:.1%} and {self.made:.1%}), so it teaches nothing; try a larger "
                "--discriminator or a higher --learning-rate"
            )
        return None
