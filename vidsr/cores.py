"""How many processors this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Processors that the system gives this process: fewer than all in a container or batch job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
