"""One backend, really opened and run for a second; meant for a process of its own, as drivers crash."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vidsr.arrays import to_device, to_host
from vidsr.config import BackendName, UpscaleConfig
from vidsr.errors import EngineError
from vidsr.inference.backend import open_backend
from vidsr.inference.self_check import LEAST_PSNR_DB, difference, frames
from vidsr.models.weights import default_model, find_weights, load_generator
from vidsr.progress import silent

SIZE = 180, 320
"""(height, width) of the picture that is enlarged, LR pixels."""

SECONDS = 1.0
"""How long it is enlarged again and again, after a first time that compiles."""

LEAST_DB = {**LEAST_PSNR_DB, "int8": 36.0, "bf16": 36.0}
"""Floor of the PSNR against fp32. Sound 8 bits measure 53 dB on the shipped weights and this picture; a
wrong layer, layout or scale stays below 35."""


@dataclass(frozen=True)
class BackendCheck:
    """What a backend did."""

    model: str
    precision: str
    runtime: str
    open_s: float  # weights, graph, first small call
    frames_s: float  # pictures of SIZE a second, the network alone
    psnr_db: float  # against the network in fp32, 100 for equality
    most_levels: float  # largest difference of a value, of 255


def check_backend(name: BackendName) -> BackendCheck:
    """Open a backend with the small model that is shipped and compare what it computes with fp32.

    Raises BackendUnavailable where it cannot run here, EngineError where it computes something else.
    """
    weights = find_weights(default_model("cpu"), 4)
    height, width = SIZE
    picture = dict(frames(height, width))["picture"][None]
    config = UpscaleConfig(Path(), Path(), backend=name, engine_build="never")
    began = time.perf_counter()
    with open_backend(weights, config, silent) as backend:
        open_s = time.perf_counter() - began
        lr = to_device(picture.numpy(), backend.device)
        levels = torch.from_numpy(to_host(backend(lr)).astype(np.float32))
        count, began = 0, time.perf_counter()
        while not count or time.perf_counter() - began < SECONDS:
            to_host(backend(lr))  # a GPU's calls return before the work is done
            count += 1
        frames_s = count / (time.perf_counter() - began)
        precision, runtime = backend.precision, backend.runtime
    # Compared on the CPU, so that one device vouches for another.
    generator = load_generator(weights, torch.device("cpu"))
    found = difference(levels, picture, generator, rounded=True)
    if found.psnr_db < LEAST_DB[precision]:
        raise EngineError(
            f"computes something else than the network: {found.psnr_db:.1f} dB from fp32, where "
            f"{precision} must have {LEAST_DB[precision]:.0f}"
        )
    return BackendCheck(
        weights.title,
        precision,
        runtime,
        open_s,
        frames_s,
        found.psnr_db,
        found.most_levels,
    )
