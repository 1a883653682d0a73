"""The losses between two readings, gathered without making the device wait."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

STARVED = 0.1
"""Share of the time spent waiting for patches from which data is called the bottleneck."""


class LossWindow:
    """The losses since the last reading, summed on the device, and how long data was waited for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._updates = 0
        self._waited_s = 0.0
        self._since = time.perf_counter()
        self.bottleneck: str | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of the block as waiting for data."""
        began = time.perf_counter()
        yield
        self._waited_s += time.perf_counter() - began

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Take in the terms of one update, without waiting for the device."""
        for name, value in terms.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._updates += 1

    def read(self, batch: int) -> dict[str, float]:
        """Means of the terms, patches a second, share of the time that went into data; begin anew."""
        values = {name: float(total) / self._updates for name, total in self._sums.items()}
        now = time.perf_counter()
        elapsed = max(now - self._since, 1e-9)
        starved = self._waited_s / elapsed
        self.bottleneck = "data" if starved > STARVED else "network"
        values |= {"patches/s": self._updates * batch / elapsed, "waiting": starved}
        self._sums, self._updates, self._waited_s, self._since = {}, 0, 0.0, now
        return values
