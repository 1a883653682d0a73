"""Which model `--model auto` takes, and what to expect of it and of the others.

The order of preference is by quality (`PREFERRED`); a model that would need too long gives way to the
next. Too long is a matter of the whole file and of its length: nobody minds ten minutes for a clip, and
whoever enlarges a week of recordings knows that it takes days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NIGHT_S = 8 * 3600.0
"""A job of up to a night is never too long, seconds."""

SLOWEST = 0.25
"""Nor is one that runs at this share of the video's own speed: an hour in four."""


@dataclass(frozen=True)
class Expected:
    """What a model takes here."""

    model: str
    frame_s: float  # seconds a frame, the network alone


def choose_model(expected: Sequence[Expected], frames: int, duration_s: float) -> Expected:
    """The first that is not too slow for so many frames, shown in `duration_s`; else the fastest."""
    for one in expected:
        total = one.frame_s * frames
        if total <= NIGHT_S or total * SLOWEST <= duration_s:
            return one
    return min(expected, key=lambda one: one.frame_s)
