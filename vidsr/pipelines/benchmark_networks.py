"""The network alone, on every backend that could take this work, and in every way of the chosen one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from vidsr.arrays import Array, to_device, to_host
from vidsr.config import BackendName, UpscaleConfig, UpscalePrecision
from vidsr.errors import BackendUnavailable
from vidsr.inference.backend import Backend, open_backend
from vidsr.inference.tiling import plan_tiles, upscale_tiled
from vidsr.inference.tuning import Trial
from vidsr.models.weights import Weights
from vidsr.pipelines.benchmark_report import NetworkTime, StageTime, WayTime
from vidsr.pipelines.benchmark_stages import Stopwatch
from vidsr.progress import silent

OTHERS: tuple[tuple[BackendName, UpscalePrecision], ...] = (
    ("openvino", "int8"),
    ("openvino", "fp32"),
    ("cpu", "fp32"),
)
"""What the processor's user could also choose, measured beside what was chosen."""

COMPARED_S = 3.0
"""How long each of them is measured: a large model is a second a frame on a small machine."""

Peaks = Mapping[tuple[str, str], float | None]
"""Billions of operations a second in matrix products, by kind of device and precision."""


def network_time(
    backend: Backend,
    open_s: float,
    first_s: float,
    frame_ms: list[float],
    gflop: float,
    peaks: Peaks,
) -> NetworkTime:
    """A backend's times, beside the peak of its device; `gflop` is a frame's."""
    time_ms = StageTime.of("network", frame_ms, 0.0)
    peak = peaks.get((backend.device.type, backend.precision))
    share = None if peak is None else round(1000 * gflop / time_ms.least_ms / peak, 3)
    return NetworkTime(
        backend.name,
        backend.precision,
        round(open_s, 3),
        round(first_s, 3),
        time_ms.median_ms,
        time_ms.least_ms,
        share,
    )


def other_networks(
    chosen: Backend, weights: Weights, job: UpscaleConfig, lr: Array, gflop: float, peaks: Peaks
) -> list[NetworkTime]:
    """The processor's other ways with the first frame of `lr`, those that can be had here."""
    found: list[NetworkTime] = []
    frame = to_host(lr[:1])
    for name, precision in OTHERS:
        if (name, precision) == (chosen.name, chosen.precision):
            continue
        began = time.perf_counter()
        try:
            opened = open_backend(weights, replace(job, backend=name, precision=precision), silent)
        except BackendUnavailable:
            continue
        with opened as backend:
            open_s = time.perf_counter() - began
            tiles = plan_tiles(frame.shape[1], frame.shape[2], job.tile, backend.receptive_radius)
            watch = Stopwatch(name, backend.device)
            began = time.perf_counter()
            while not watch.frame_ms or time.perf_counter() - began < COMPARED_S:
                watch.start()
                upscale_tiled(to_device(frame, backend.device), backend, tiles)
                watch.stop(1)
            first_s = watch.frame_ms.pop(0) / 1000 if len(watch.frame_ms) > 1 else 0.0
            found.append(network_time(backend, open_s, first_s, watch.frame_ms, gflop, peaks))
    return found


def way_times(trial: Trial, taken: str) -> Iterable[WayTime]:
    """Every way of a backend that has several, the fastest's time as the unit; `taken` is the run's."""
    least = min(trial.times_ms.values(), default=1.0)
    for variant, ms in trial.times_ms.items():
        yield WayTime(str(variant), round(ms / least, 3), str(variant) == taken, None)
    for variant, reason in trial.refused.items():
        yield WayTime(str(variant), None, False, reason)
