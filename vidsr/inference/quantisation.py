"""Making a generator's calibration for 8 bits from pictures, and weighing what the 8 bits cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidsr.errors import BackendUnavailable, UsageError
from vidsr.inference.calibration import LEVELS, Calibration, grid
from vidsr.models.generator import Generator
from vidsr.models.weights import Weights, load_generator
from vidsr.progress import Advanced, Finished, Progress, Started, silent
from vidsr.video.color import to_rgb
from vidsr.video.resample import imresize
from vidsr.video.stills import read_still

LEAST_PICTURES = 5
"""Four to measure on and one held out."""

MOST_PICTURES = 60
"""Of more, so many are taken at even distances: ranges have settled by then."""

HELD_OUT_EVERY = 5

WINDOW = 128
"""Side of the middle piece taken of a picture, LR pixels: a range needs variety more than area."""

CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Shares of the whole range that are tried."""

SAMPLED = 7
"""Every so many values are weighed: enough of them, and no divisor of a width."""


@dataclass(frozen=True)
class Pictures:
    """What weights are calibrated on, and what that is then judged on."""

    measured: tuple[Path, ...]
    held_out: tuple[Path, ...]  # every fifth

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Pictures:
        """Divide pictures, of many a spread. Raises UsageError for too few."""
        if len(paths) < LEAST_PICTURES:
            raise UsageError(f"calibration needs {LEAST_PICTURES} pictures at least, not {len(paths)}")
        paths = paths[:: -(-len(paths) // MOST_PICTURES)]
        held_out = paths[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
        return cls(tuple(path for path in paths if path not in set(held_out)), tuple(held_out))


def calibrate(weights: Weights, pictures: Pictures, progress: Progress = silent) -> Calibration:
    """Calibrate one set of weights on pictures, and weigh what 8 bits cost; writes nothing.

    Each picture serves twice: reduced by the scale, as the network learned, and at its own resolution,
    as users bring theirs. Raises InputError for a picture that cannot be read, and as `weighed` does.
    """
    generator = load_generator(weights, torch.device("cpu"))
    inputs: list[Tensor] = []
    for path in pictures.measured:
        hr = _window(path, weights.scale)
        inputs += [_reduced(hr, weights.scale), hr[..., :WINDOW, :WINDOW]]
    done, total = 0, 2 * len(inputs)

    def on_input() -> None:
        nonlocal done
        done += 1
        progress(Advanced("calibrate", done))

    progress(Started("calibrate", total, "pictures"))
    ranges = measure_ranges(generator, inputs, on_input)
    counts = len(pictures.measured), len(pictures.held_out)
    found = weighed(Calibration(weights.sha256, ranges, *counts, 0.0, 0.0), weights, pictures)
    progress(Finished("calibrate"))
    return found


def weighed(calibration: Calibration, weights: Weights, pictures: Pictures) -> Calibration:
    """The same calibration with what it costs these weights, one set or a blend.

    On the pictures held out 8-bit output is compared with fp32 output, and both with the picture itself.
    Raises BackendUnavailable without OpenVINO.
    """
    psnr_db, loss_db = _cost(weights, calibration, pictures.held_out)
    return replace(calibration, psnr_db=round(psnr_db, 2), loss_db=round(loss_db, 4))


def measure_ranges(
    generator: Generator, inputs: Sequence[Tensor], on_input: Callable[[], None] = lambda: None
) -> dict[str, tuple[float, float]]:
    """The range of each convolution's input that 8 bits hold best, over all `inputs`.

    `inputs` are (N, 3, h, w) in [0, 1]. The whole range, from the least to the greatest value, is
    shrunk by the factor of CLIPS with the least squared error: a few far values, clamped, cost less
    than coarse steps for all the others. The first convolution is left out: it stays fp32, since it
    reads the pixels themselves, which for deep video are more than 8 bits, and takes no time.
    `on_input` hears of every input, twice.
    """
    names = [name for name, module in generator.named_modules() if isinstance(module, nn.Conv2d)]
    names.remove("head")
    whole = dict.fromkeys(names, (0.0, 0.0))
    errors = {name: torch.zeros(len(CLIPS), dtype=torch.float64) for name in names}

    def widen(name: str, values: Tensor) -> None:
        low, high = (float(value) for value in values.aminmax())
        whole[name] = min(whole[name][0], low), max(whole[name][1], high)

    def weigh(name: str, values: Tensor) -> None:
        sample = values.flatten()[::SAMPLED]
        for index, clip in enumerate(CLIPS):
            step, zero = grid(whole[name][0] * clip, whole[name][1] * clip)
            levels = (sample / step).round_().add_(zero).clamp_(0, LEVELS - 1).sub_(zero)
            errors[name][index] += float((levels.mul_(step) - sample).square_().sum())

    for look in (widen, weigh):
        _look_into(generator, names, inputs, look, on_input)
    clips = {name: CLIPS[int(error.argmin())] for name, error in errors.items()}
    return {name: (low * clips[name], high * clips[name]) for name, (low, high) in whole.items()}


def _look_into(
    generator: Generator,
    names: Sequence[str],
    inputs: Iterable[Tensor],
    look: Callable[[str, Tensor], None],
    on_input: Callable[[], None],
) -> None:
    """Run the generator and show the input of each named layer to `look`."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, arguments: look(name, arguments[0])

    handles = [generator.get_submodule(name).register_forward_pre_hook(hook(name)) for name in names]
    try:
        with torch.inference_mode():
            for lr in inputs:
                generator(lr)
                on_input()
    finally:
        for handle in handles:
            handle.remove()


def _cost(weights: Weights, found: Calibration, pictures: Sequence[Path]) -> tuple[float, float]:
    """Mean PSNR of 8-bit against fp32 output, and the mean loss against the pictures; dB."""
    try:
        from vidsr.inference.openvino_backend import OpenvinoBackend
    except ImportError as error:
        raise BackendUnavailable(f"OpenVINO is needed to try 8 bits out ({error})") from error
    likeness: list[float] = []
    losses: list[float] = []
    with OpenvinoBackend(weights, "fp32") as exact, OpenvinoBackend(weights, "int8", found) as coarse:
        for path in pictures:
            hr = _window(path, weights.scale)
            lr = _pixels(_reduced(hr, weights.scale))
            truth, fine, rough = _pixels(hr).numpy(), exact(lr.numpy()), coarse(lr.numpy())
            likeness.append(_psnr_db(rough, fine))
            losses.append(_psnr_db(fine, truth) - _psnr_db(rough, truth))
    return sum(likeness) / len(likeness), sum(losses) / len(losses)


def _window(path: Path, scale: int) -> Tensor:
    """The middle of a picture, (1, 3, H, W) in [0, 1], sides a multiple of the scale."""
    rgb: Tensor = to_rgb(read_still(path).tensors()).permute(0, 3, 1, 2)
    rgb = rgb.float() / 255 if rgb.dtype == torch.uint8 else rgb.float()
    height, width = (min(side // scale, WINDOW) * scale for side in rgb.shape[-2:])
    if min(height, width) == 0:
        raise UsageError(f"{path}: too small to calibrate on")
    top, left = (rgb.shape[-2] - height) // 2, (rgb.shape[-1] - width) // 2
    return rgb[..., top : top + height, left : left + width]


def _reduced(hr: Tensor, scale: int) -> Tensor:
    """`hr` by 1/scale as benchmarks are made, rounded to bytes."""
    return imresize(hr, 1 / scale).clamp(0, 1).mul(255).round().div(255)


def _pixels(image: Tensor) -> Tensor:
    """(1, 3, H, W) in [0, 1] as (1, H, W, 3) bytes."""
    return image.permute(0, 2, 3, 1).mul(255).round().to(torch.uint8).contiguous()


def _psnr_db(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """PSNR of bytes, over all channels; 100 where they are equal."""
    error = float(np.square(a.astype(np.float64) - b).mean())
    return 10 * math.log10(255**2 / error) if error else 100.0
