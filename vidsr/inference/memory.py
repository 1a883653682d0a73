"""How much memory is free on a device."""

from __future__ import annotations

import os
from pathlib import Path

import torch

FALLBACK_BYTES = 2 * 1024**3
"""Taken where a system does not say: what the smallest laptops have to spare."""


def free_bytes(device: torch.device) -> int:
    """Bytes that can be allocated on a device without pushing anything else out.

    On Linux the kernel's own estimate, bounded by the memory limit of the container, if there is one.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What PyTorch holds in reserve is free too, and not counted by the driver.
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_available(), _container_headroom())


def _available() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024  # "kB" there means KiB
    names = getattr(os, "sysconf_names", {})
    if "SC_AVPHYS_PAGES" in names:
        return int(os.sysconf("SC_AVPHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    return FALLBACK_BYTES


def _container_headroom() -> int:
    """What cgroup v2 leaves of a container's limit; very large where there is none."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return 2**62
    return 2**62 if limit == "max" else max(0, int(limit) - used)
