"""How many pixels a second a model enlarges here: measured once, remembered, corrected by later runs."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from vidsr.arrays import to_device, to_host
from vidsr.config import UpscaleConfig
from vidsr.cores import usable_cores
from vidsr.inference.backend import choose_device, open_backend
from vidsr.inference.engine_files import user_cache
from vidsr.inference.findings import keep, measured_once, recall
from vidsr.inference.processor import processor_name
from vidsr.models.weights import Weights
from vidsr.progress import silent
from vidsr.versions import found_versions

TRIAL_SHAPES = {"cpu": (1, 96, 96, 3), "cuda": (1, 360, 640, 3)}
"""What is enlarged to measure: small enough to be quick, large enough to keep the device busy."""

RUNTIMES = ("torch", "OpenVINO", "TensorRT-RTX", "TensorRT")
"""Libraries that compute; another version may be faster."""

TRIALS = 4
"""The fastest of them counts: other programs only make it slower."""


def pixels_a_second(weights: Weights, config: UpscaleConfig) -> float:
    """LR pixels a second of the network alone, by what `config` makes it run on.

    The first time the backend is opened and tried, which takes half a second on a CPU. Raises what
    opening raises.
    """
    subject = _subject(weights, config)
    return measured_once(_file(), subject, lambda: {"pixels": _measured(weights, config)})["pixels"]


def known_speed(weights: Weights, config: UpscaleConfig) -> float | None:
    """The same where it was measured before."""
    return recall(_file()).get(_subject(weights, config), {}).get("pixels")


def learn_speed(weights: Weights, config: UpscaleConfig, pixels: float) -> None:
    """Remember what was measured on real frames, LR pixels a second."""
    keep(_file(), _subject(weights, config), {"pixels": pixels})


def _file() -> Path:
    return user_cache() / "speed.json"


def _subject(weights: Weights, config: UpscaleConfig) -> str:
    """Everything that the speed depends on, known without opening anything."""
    found = found_versions()
    runtimes = ", ".join(f"{name} {found[name]}" for name in RUNTIMES if name in found)
    device = _card() if choose_device(config) == "cuda" else None
    # Not this process's own number, which a job may have set: another process is to find it again.
    threads = os.environ.get("OMP_NUM_THREADS") or usable_cores()
    device = device or f"{processor_name()}, {threads} threads"
    asked = f"{config.backend} {config.precision}"
    return f"{weights.name} {weights.sha256[:8]} by {asked} on {device} with {runtimes}"


def _card() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _measured(weights: Weights, config: UpscaleConfig) -> float:
    # An engine of TensorRT's takes minutes to build; what stands in for it tells the order of magnitude.
    with open_backend(weights, replace(config, engine_build="never"), silent) as backend:
        shape = TRIAL_SHAPES[backend.device.type]
        lr = to_device(np.zeros(shape, np.uint8), backend.device)
        backend(lr)  # compiles and allocates
        fastest = float("inf")
        for _ in range(TRIALS):
            began = time.perf_counter()
            to_host(backend(lr))  # a GPU's calls return before the work is done
            fastest = min(fastest, time.perf_counter() - began)
    return shape[1] * shape[2] / fastest
