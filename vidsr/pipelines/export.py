"""Making the 8-bit form of a model: pictures in, a calibration beside its weights out."""

from __future__ import annotations

from pathlib import Path

from vidsr.errors import InputError
from vidsr.inference.calibration import calibration_path
from vidsr.inference.quantisation import export_int8
from vidsr.models.weights import find_weights
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
    """Calibrate a model on the pictures of a folder; returns what came of it, in words.

    Raises VidsrError with one line for the user; nothing is written where 8 bits lose too much.
    """
    if not images.is_dir():
        raise InputError(f"{images}: no such folder of pictures")
    weights = find_weights(model, scale)
    pictures = sorted(path for path in images.rglob("*") if is_still(path))
    found = export_int8(weights, pictures, output, most_loss_db=most_loss_db, progress=progress)
    return (
        f"{output or calibration_path(weights.path)}: calibrated on {found.pictures} pictures, "
        f"8 bits cost {found.loss_db:.3f} dB on {found.held_out} others"
    )
