"""Whether this machine's processor is faster with bytes: by its instructions, else tried out once."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

from vidsr.inference.findings import measured_once

BYTE_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8"}
"""Linux's names for instructions that multiply bytes and add the products up in 32 bits in one step."""

VECTORS = {"AVX-512": "avx512f", "AVX2": "avx2", "SVE": "sve", "NEON": "asimd"}
"""What people call them, and Linux; the widest first."""

WORTH = 0.8
"""8 bits are taken where they need at most this share of fp32's time: a tie is no reason to round."""


def multiplies_bytes(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether 8-bit convolutions are sure to be several times faster than fp32 ones."""
    return not BYTE_PRODUCTS.isdisjoint(_words(cpuinfo))


def vector_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The widest of the processor's vector instructions that libraries choose their kernels by.

    "plain" where there is none of VECTORS, or the system does not say.
    """
    words = set(_words(cpuinfo))
    return next((name for name, flag in VECTORS.items() if flag in words), "plain")


def bytes_pay(
    subject: str,
    measure: Callable[[], float],
    memory: Path,
    *,
    cpuinfo: Path = Path("/proc/cpuinfo"),
) -> bool:
    """Whether 8 bits are worth it here; `measure` gives their share of fp32's time.

    Measured once for each `subject` and kept in the file `memory`.
    """
    if multiplies_bytes(cpuinfo):
        return True
    key = f"{subject} on {processor_name(cpuinfo)}"
    return measured_once(memory, key, lambda: {"share": measure()})["share"] <= WORTH


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What this machine's processor calls itself; its architecture where it does not."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _words(cpuinfo: Path) -> list[str]:
    try:
        return cpuinfo.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return []
