"""Making the 8-bit form of a model: pictures in, a calibration beside each set of its weights out."""

from __future__ import annotations

from pathlib import Path

from vidsr.errors import InputError, UsageError, WeightsError
from vidsr.inference.calibration import Calibration, calibration_path
from vidsr.inference.quantisation import Pictures, calibrate, weighed
from vidsr.models.weights import find_sets, find_weights
from vidsr.progress import Progress, silent
from vidsr.video.stills import is_still


def export(
    model: str,
    scale: int,
    images: Path,
    output: Path | None = None,
    most_loss_db: float = 0.1,
    progress: Progress = silent,
) -> str:
    """Calibrate every set of a model on the pictures of a folder; returns what came of it, in words.

    Where there are two sets their blend at the usual detail is weighed as well. Raises VidsrError with
    one line for the user; nothing is written where 8 bits lose too much, be it of one set alone.
    """
    if not images.is_dir():
        raise InputError(f"{images}: no such folder of pictures")
    sets = find_sets(model, scale)
    if output is not None and len(sets) > 1:
        raise UsageError(
            f"--output is one file, and {model} has two sets of weights: leave it out, or give the file "
            f"of one set as MODEL: {sets[0].path}"
        )
    pictures = Pictures.of(sorted(path for path in images.rglob("*") if is_still(path)))
    calibrations: dict[Path, Calibration] = {}
    lines: list[str] = []
    for weights in sets:
        found = calibrate(weights, pictures, progress)
        _refuse_costly(str(weights.path), found, most_loss_db)
        path = output or calibration_path(weights.path)
        calibrations[path] = found
        lines.append(
            f"{path}: calibrated on {found.pictures} pictures, "
            f"8 bits cost {found.loss_db:.3f} dB on {found.held_out} others"
        )
    if len(sets) > 1:
        blend = find_weights(model, scale)
        assert blend.detail is not None  # as there are two
        pixel, adversarial = calibrations.values()
        found = weighed(pixel.of_blend(adversarial, blend.detail), blend, pictures)
        _refuse_costly(blend.title, found, most_loss_db)
        lines.append(f"{blend.title}: 8 bits cost {found.loss_db:.3f} dB, with the wider range of both")
    for path, calibration in calibrations.items():
        calibration.save(path)
    return "\n".join(lines)


def _refuse_costly(what: str, found: Calibration, most_loss_db: float) -> None:
    if found.loss_db > most_loss_db:
        raise WeightsError(
            f"{what}: 8 bits would lose {found.loss_db:.2f} dB, more than {most_loss_db:g}: nothing was "
            "written; leave it to fp32, or allow more with --most-loss"
        )
