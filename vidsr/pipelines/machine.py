"""What this machine is, and what its processor can do at best."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch
from torch import Tensor

from vidsr.cores import threads, usable_cores
from vidsr.inference.processor import processor_name
from vidsr.pipelines.benchmark_report import DeviceRates, Machine
from vidsr.versions import installed

SIDE = 2048
"""Of the matrices multiplied: large enough for peak speed, small enough for the caches."""

GPU_SIDE = 8192
"""The same for a GPU, whose thousands of units smaller products do not fill."""

PRODUCTS_S = 0.7
"""How long products are repeated: on a shared machine only the quietest moment shows the peak."""

COPIED_BYTES = 256 * 1024 * 1024
"""Of a copy that is timed: several times a card's cache, and milliseconds long."""

PACKAGES = ("vidsr-cli", "torch", "openvino", "triton", "av")


def look_at_machine() -> Machine:
    """Name, cores, memory, load, and the measured speed of fp32 and int8 matrix products."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # before the products below
    fp32, int8 = matrix_peaks()
    return Machine(
        processor=processor_name(),
        cores=usable_cores(),
        threads=threads(),
        memory_bytes=memory_bytes(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        load=load,
        fp32_gflops=fp32,
        int8_gops=int8,
        versions={name: found for name in PACKAGES if (found := installed(name)) is not None},
    )


def matrix_peaks() -> tuple[float, float | None]:
    """Billions of operations a second in matrix products: fp32, and int8 where PyTorch has it."""
    floats = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    fp32 = _best_gflops(lambda: floats[0] @ floats[1])
    if not hasattr(torch, "_int_mm"):  # the only product of bytes; not promised to stay
        return fp32, None
    integers = [torch.randint(-127, 128, (SIDE, SIDE), dtype=torch.int8) for _ in range(2)]
    return fp32, _best_gflops(lambda: torch._int_mm(*integers))


def product_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """Billions of operations a second in matrix products of a floating type on a device.

    On CUDA, fp32 is multiplied the way its convolutions are: rounded to TF32, unless told otherwise.
    """
    if device.type != "cuda":
        left, right = (torch.rand(SIDE, SIDE, device=device).to(dtype) for _ in range(2))
        return _best_gflops(lambda: left @ right)
    first, second = (torch.rand(GPU_SIDE, GPU_SIDE, device=device).to(dtype) for _ in range(2))

    def product() -> None:
        first @ second
        torch.cuda.synchronize(device)  # the call returns before the work is done

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        return _best_gflops(product, GPU_SIDE)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def device_rates(device: torch.device, dtype: torch.dtype) -> DeviceRates:
    """What a card does at best: matrix products of a type, and copies of COPIED_BYTES each way."""
    there = torch.empty(COPIED_BYTES, dtype=torch.uint8, device=device)
    beside = torch.empty_like(there)
    here = torch.empty(COPIED_BYTES, dtype=torch.uint8, pin_memory=True)
    return DeviceRates(
        gflops=product_gflops(device, dtype),
        up_gbps=copy_gbps(here, there),
        down_gbps=copy_gbps(there, here),
        # A copy within the card reads every byte and writes it.
        memory_gbps=2 * copy_gbps(there, beside),
    )


def copy_gbps(source: Tensor, target: Tensor) -> float:
    """Billions of bytes a second in copies from one tensor to another, the fastest of several."""

    def copied() -> None:
        target.copy_(source, non_blocking=True)
        for tensor in (source, target):
            if tensor.is_cuda:
                torch.cuda.synchronize(tensor.device)

    return source.nbytes / _least_s(copied) / 1e9


def _best_gflops(product: Callable[[], object], side: int = SIDE) -> float:
    """Billions of operations a second in the fastest run: a multiplication and an addition are two."""
    return 2 * side**3 / _least_s(product) / 1e9


def _least_s(work: Callable[[], object]) -> float:
    """Seconds of the fastest of the runs within PRODUCTS_S."""
    fastest = float("inf")
    end = time.perf_counter() + PRODUCTS_S
    while time.perf_counter() < end:
        began = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - began)
    return fastest


def memory_bytes() -> int | None:
    """What the machine has; None where the system does not say."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names:
        return None
    return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
