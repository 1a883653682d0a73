"""What this machine can run, what is missing, and what would bring it: tried out, not guessed."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

import torch

from vidsr.config import BackendName
from vidsr.cores import usable_cores
from vidsr.errors import BackendUnavailable, VidsrError
from vidsr.inference.backend import LADDER
from vidsr.inference.engine_files import user_cache
from vidsr.inference.engines import EngineStore
from vidsr.inference.processor import multiplies_bytes, processor_name
from vidsr.models.weights import registry
from vidsr.pipelines.apart import call_apart
from vidsr.pipelines.backend_check import BackendCheck, check_backend
from vidsr.pipelines.doctor_report import BackendState, Diagnosis, FolderState
from vidsr.pipelines.machine import memory_bytes
from vidsr.progress import Advanced, Finished, Progress, Started, silent
from vidsr.versions import found_versions, installed
from vidsr.video.card import find_card
from vidsr.video.durable import existing_folder
from vidsr.video.ffmpeg import encoder_states, ffmpeg_version

PATIENCE_S = 120.0
"""How long a backend may take: a cold disk loads CUDA's libraries for half a minute."""

OPENVINO_WHEELS = {("linux", "x86_64"), ("win32", "AMD64"), ("darwin", "arm64")}
"""Where OpenVINO can be installed by pip, as this package's own dependencies have it."""


def examine(progress: Progress = silent) -> Diagnosis:
    """Open and run every backend, each in a process of its own, and every encoder; writes nothing."""
    card = _nvidia_card()
    progress(Started("examine", len(LADDER), "backends"))
    backends = []
    for number, name in enumerate(LADDER, start=1):
        backends.append(_state(name, card))
        progress(Advanced("examine", number))
    progress(Finished("examine"))
    engines = EngineStore.default().folder
    return Diagnosis(
        version=installed("vidsr-cli") or "",
        versions={**found_versions(), "FFmpeg": ffmpeg_version()},
        processor=processor_name(),
        cores=usable_cores(),
        multiplies_bytes=multiplies_bytes(),
        memory_bytes=memory_bytes(),
        card=torch.cuda.get_device_name() if torch.cuda.is_available() else card,
        models=tuple(f"{entry.name} x{entry.scale}" for entry in registry()),
        backends=tuple(backends),
        encoders=encoder_states(),
        no_card_decoder=_card_refusal(),
        folders=(_folder("cache", user_cache()), _folder("engines", engines)),
        extras={} if importlib.util.find_spec("tensorboard") else {"tensorboard": _extra("train")},
    )


def _card_refusal() -> str | None:
    try:
        find_card()
    except BackendUnavailable as reason:
        return str(reason)
    return None


def _state(name: BackendName, card: str | None) -> BackendState:
    try:
        if name in ("tensorrt", "cuda") and not torch.cuda.is_available():
            check_backend(name)  # it refuses, without a process that loads PyTorch anew
        found: BackendCheck = call_apart(check_backend, name, timeout_s=PATIENCE_S)
    except (VidsrError, TimeoutError) as error:
        return BackendState(name, None, str(error), _remedy(name, card))
    return BackendState(name, found, None, None)


def _remedy(name: BackendName, card: str | None) -> str | None:
    """What to do so that a backend runs; None where nothing helps, or its reason says it already."""
    if name == "openvino" and importlib.util.find_spec("openvino") is None:
        here = sys.platform, platform.machine()
        return "pip install openvino" if here in OPENVINO_WHEELS else None
    if name in ("tensorrt", "cuda"):
        if card is None:
            return "it needs an NVIDIA graphics card and its driver"
        if torch.version.cuda is None:
            # On Linux the index has the build with CUDA, elsewhere the one without.
            command = "pip install --force-reinstall torch"
            return command if sys.platform == "linux" else "see https://pytorch.org/get-started/locally"
    return None


def _extra(name: str) -> str:
    """The command for one of the package's own extras."""
    return f"pip install 'vidsr-cli[{name}]'"


def _nvidia_card() -> str | None:
    """A word for NVIDIA's card, where its driver shows one; PyTorch may be built without CUDA."""
    driver = Path("/proc/driver/nvidia/version")
    if driver.exists() or shutil.which("nvidia-smi"):
        return "an NVIDIA card"
    return None


def _folder(name: str, path: Path) -> FolderState:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else []
    return FolderState(
        name,
        str(path),
        len(files),
        sum(file.stat().st_size for file in files),
        os.access(existing_folder(path), os.W_OK),
    )
