"""How much memory is free on a device, how much a network needs, and how much this process had."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vidsr.arrays import Device, is_card
from vidsr.models.generator_config import GeneratorConfig

FALLBACK_BYTES = 2 * 1024**3
"""Taken where a system does not say: what the smallest laptops have to spare."""


def free_bytes(device: Device) -> int:
    """Bytes that can be allocated on a device without pushing anything else out.

    On Linux the kernel's own estimate, bounded by the memory limit of the container, if there is one.
    """
    if is_card(device):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        # What PyTorch holds in reserve is free too, and not counted by the driver.
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_available(), _container_headroom())


def peak_rss_bytes() -> int | None:
    """The most memory the process has held so far; None where the system does not say."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux its peak begins with that of the process that started this one.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024  # proc(5): "kB" there means KiB
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # getrusage(2): bytes there, KiB on Linux


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


def working_bytes_per_pixel(config: GeneratorConfig, itemsize: int) -> int:
    """An upper estimate of a call's working memory per LR pixel, bytes.

    Input, skip, two inner maps and a convolution's workspace live at once in the body; where the
    upsampling is staged, its last stage holds the map before and after the shuffle and the activation.
    The final image exists as floats and as bytes.
    """
    body = 5 * config.channels * itemsize
    image = config.scale**2 * 3 * (itemsize + 4 + 1)
    if config.upsampler == "single":
        return body + 2 * image
    return body + 4 * config.channels * config.scale**2 * itemsize + image
