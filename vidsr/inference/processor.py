"""Whether this machine's processor is faster with bytes: by its instructions, else tried out once."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path

from vidsr.errors import OutputError
from vidsr.video.durable import write_whole

BYTE_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8"}
"""Linux's names for instructions that multiply bytes and add the products up in 32 bits in one step."""

WORTH = 0.8
"""8 bits are taken where they need at most this share of fp32's time: a tie is no reason to round."""


def multiplies_bytes(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether 8-bit convolutions are sure to be several times faster than fp32 ones."""
    return not BYTE_PRODUCTS.isdisjoint(_words(cpuinfo))


def bytes_pay(
    subject: str,
    measure: Callable[[], float],
    memory: Path,
    *,
    cpuinfo: Path = Path("/proc/cpuinfo"),
) -> bool:
    """Whether 8 bits are worth it here; `measure` gives their share of fp32's time.

    Measured once for each `subject` and kept in the file `memory`: two runs of one command must decide
    alike, or the second could not go on where the first stopped. Where the file cannot be written the
    question is asked anew each time.
    """
    if multiplies_bytes(cpuinfo):
        return True
    key = f"{subject} on {platform.machine()} {platform.processor()}".strip()
    known = _recall(memory)
    if key not in known:
        known[key] = measure()
        try:
            memory.parent.mkdir(parents=True, exist_ok=True)
            write_whole(memory, json.dumps(known, indent=1).encode())
        except (OSError, OutputError):
            pass  # a read-only home: a slower start, nothing worse
    return known[key] <= WORTH


def _recall(memory: Path) -> dict[str, float]:
    """What earlier runs measured; empty where nothing can be read."""
    try:
        return {str(key): float(share) for key, share in json.loads(memory.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _words(cpuinfo: Path) -> list[str]:
    try:
        return cpuinfo.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return []
