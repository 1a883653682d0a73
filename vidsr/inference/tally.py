"""How much work the frames of a run were, counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """How much work there was, and how much of it was done."""

    frames: int = 0
    repeated: int = 0  # frames equal to the one before
    partial: int = 0  # frames of which only a part was computed
    network: float = 0.0  # what the network computed, in whole frames
    inexact: bool = False  # parts could not be left out: this backend rounds them differently

    def add(self, frames: int, *, repeated: int = 0, partial: int = 0, network: float) -> None:
        """Count frames that are done."""
        self.frames += frames
        self.repeated += repeated
        self.partial += partial
        self.network += network

    def include(self, other: Tally) -> None:
        """Count another worker's frames too."""
        self.add(other.frames, repeated=other.repeated, partial=other.partial, network=other.network)
        self.inexact |= other.inexact
