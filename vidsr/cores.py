"""How many processors this process may use, and how many threads share its work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

CPUS = Path("/sys/devices/system/cpu")
"""Where Linux tells which of its processors are threads of one core."""

BESIDE = 4
"""Arithmetic beside the network gets one of so many threads: network and encoder want the others."""

_chosen: int | None = None
"""What `use_threads` said while PyTorch was not loaded; else PyTorch keeps it, and others change it."""


def usable_cores() -> int:
    """Processors that the system gives this process: fewer than all in a container or batch job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """How many threads a computation of this process is shared among.

    What `use_threads` said; else what PyTorch has, where it is loaded; else OMP_NUM_THREADS, as
    PyTorch would take it; else one for each core, since two on one core share its arithmetic.
    """
    if _chosen is not None:
        return _chosen
    if torch := sys.modules.get("torch"):
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else _whole_cores()


def use_threads(count: int) -> None:
    """Share computations of this process among so many threads from now on.

    PyTorch that is loaded later has yet to be told: `use_threads(threads())` does it.
    """
    global _chosen
    torch = sys.modules.get("torch")
    _chosen = count if torch is None else None
    if torch is not None:
        torch.set_num_threads(count)


def side_by_side(work: Callable[[T], R], items: Sequence[T]) -> Iterable[R]:
    """What `work` gives for each item, in order; in several threads where there are enough.

    For work that lets other threads run meanwhile, as NumPy's arithmetic on large arrays does.
    """
    workers = threads() // BESIDE
    return map(work, items) if min(workers, len(items)) < 2 else _pool(workers).map(work, items)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, "beside")


def _whole_cores(cpus: Path = CPUS) -> int:
    """Cores behind the processors of this process; as many as those where the system does not say."""
    if not hasattr(os, "sched_getaffinity"):
        return usable_cores()
    try:
        return len(
            {
                (cpus / f"cpu{number}/topology/thread_siblings_list").read_text()
                for number in os.sched_getaffinity(0)
            }
        )
    except OSError:
        return usable_cores()
