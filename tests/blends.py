"""Models with two sets of weights, as a training of both stages leaves them."""

from __future__ import annotations

from pathlib import Path

import torch

from vidsr.inference.calibration import Calibration, calibration_path
from vidsr.inference.quantisation import measure_ranges
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import OBJECTIVES, find_sets, load_generator
from vidsr.models.weights_file import save_weights

SMALL = GeneratorConfig(
    scale=2, blocks=2, channels=16, activation="leaky_relu", upsampler="single", tail_kernel=3
)


def save_sets(folder: Path, config: GeneratorConfig = SMALL, start: str = "") -> Path:
    """Random weights for both sets, `<start><objective>.safetensors`, in the folder that comes back."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, objective in enumerate(OBJECTIVES):
        torch.manual_seed(seed)
        save_weights(folder / f"{start}{objective}.safetensors", Generator(config), metadata={})
    return folder


def calibrate_sets(model: str, scale: int = 2) -> None:
    """Put a calibration beside each set of a model, on noise."""
    lr = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(7))
    for weights in find_sets(model, scale):
        ranges = measure_ranges(load_generator(weights, torch.device("cpu")), [lr])
        Calibration(weights.sha256, ranges, 1, 0, 0.0, 0.0).save(calibration_path(weights.path))
