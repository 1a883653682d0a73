"""How faithful a frame is, as numbers: what `faithfulness` measures, records keep and reports add up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PEAK = 255.0
"""Of the scale on which errors are given."""

AREA_PX = 16
"""Side of the areas looked at one by one, pixels of the input: what is invented is mostly local, and the
error of a whole frame hides it."""

BEST_DB = 100.0
"""Stands for no difference at all. A difference of one code in one sample of an 8K frame is 123 dB."""


@dataclass(frozen=True)
class FrameScore:
    """How far one reduced frame is from its input; mean squared errors on the scale of PEAK."""

    luma: float
    chroma: float | None  # of both planes together; None where there are none
    area: float  # of luma, in the worst area
    area_row: int  # of the worst area's upper left corner, pixels of the input
    area_column: int

    def to_json(self) -> list[float | None]:
        """The five, errors with five digits."""
        errors = (self.luma, self.chroma, self.area)
        short = [None if error is None else float(f"{error:.5g}") for error in errors]
        return [*short, self.area_row, self.area_column]

    @classmethod
    def from_json(cls, plain: Sequence[Any]) -> FrameScore:
        """The inverse of `to_json`; TypeError or ValueError for anything else."""
        luma, chroma, area, row, column = plain
        return cls(
            float(luma), None if chroma is None else float(chroma), float(area), int(row), int(column)
        )


def decibels(error: float) -> float:
    """The PSNR of a mean squared error on the scale of PEAK, dB; BEST_DB at most."""
    return BEST_DB if error <= 0 else min(BEST_DB, 10 * math.log10(PEAK**2 / error))
