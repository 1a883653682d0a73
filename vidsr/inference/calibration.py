"""What a generator needs to run in 8 bits: the range of values at each convolution's input.

The file is small JSON beside the weights it belongs to, `<name>.int8.json` beside `<name>.safetensors`.
It holds no weights: filters are rounded when the graph is built, by a rule that needs no data. What
needs data are the ranges, and those are here, with the digest of the weights they were measured on (a
file of other weights is never used) and what 8 bits cost on pictures that were held out.

Two sets of weights have a file each. A blend of them needs both, and takes the wider range of the two
for each convolution: at detail 0.75 the 8-bit output of the shipped ones is then at most 0.3 dB of 50
further from fp32 than with ranges measured on the blend itself (docs/cpu.md).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidsr.errors import WeightsError
from vidsr.models.weights import Weights, digest_of_blend
from vidsr.video.durable import write_whole

FORMAT = 1
"""Rises when the meaning of a file changes; other formats are not used."""

SUFFIX = ".int8.json"

LEVELS = 256
"""Values that the input of a convolution can take in 8 bits."""


@dataclass(frozen=True)
class Calibration:
    """Ranges of one set of weights, and how they were found."""

    weights_sha256: str
    ranges: dict[str, tuple[float, float]]  # by convolution: least and greatest value of its input
    pictures: int  # that the ranges were measured on
    held_out: int  # pictures that the next two were measured on
    psnr_db: float  # 8-bit output against fp32 output, RGB, bytes
    loss_db: float  # PSNR that 8 bits lose against the high-resolution pictures, RGB
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """Eight characters that differ where the ranges do."""
        return hashlib.sha256(json.dumps(self.ranges, sort_keys=True).encode()).hexdigest()[:8]

    def of_blend(self, other: Calibration, detail: float) -> Calibration:
        """That of a blend of these weights, the pixel set, and of `other`'s, the adversarial one.

        What it says of pictures is that of the set with fewer or worse ones; a blend's own cost is
        measured by `quantisation.weighed`.
        """
        return Calibration(
            digest_of_blend(self.weights_sha256, other.weights_sha256, detail),
            {
                name: (min(low, other.ranges[name][0]), max(high, other.ranges[name][1]))
                for name, (low, high) in self.ranges.items()
                if name in other.ranges  # sets of other shapes are refused where they are loaded
            },
            min(self.pictures, other.pictures),
            min(self.held_out, other.held_out),
            min(self.psnr_db, other.psnr_db),
            max(self.loss_db, other.loss_db),
        )

    def to_json(self) -> dict[str, Any]:
        """What the file holds."""
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all. Raises OutputError."""
        write_whole(path, json.dumps(self.to_json(), indent=1).encode())


def grid(low: float, high: float) -> tuple[float, int]:
    """Step and index of zero of the levels that reach from about `low` to about `high`.

    Zero is always one of them, since it is what convolutions are padded with; the ends move by half a
    step at most for that.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / (LEVELS - 1) or 1.0  # all zeros: any step serves
    return step, round(-low / step)


def calibration_path(weights: Path) -> Path:
    """Where the calibration of a weights file lies."""
    return weights.with_name(weights.stem + SUFFIX)


def find_calibration(weights: Weights) -> Calibration | None:
    """The calibration of these very weights, or None: no file, of other weights, of another format.

    For a blend that of both sets, each of which must be of its own set. Raises WeightsError for a
    damaged file.
    """
    paths = [calibration_path(file) for file in weights.files]
    read = [read_calibration(path) for path in paths if path.is_file()]
    found = [calibration for calibration in read if calibration is not None]
    if len(found) < len(paths):
        return None
    calibration = found[0]
    if weights.detailed is not None and weights.detail is not None:
        calibration = calibration.of_blend(found[1], weights.detail)
    return calibration if calibration.weights_sha256 == weights.sha256 else None


def read_calibration(path: Path) -> Calibration | None:
    """A calibration file; None where its format is another than ours. Raises WeightsError."""
    try:
        values = json.loads(path.read_bytes())
        if values.get("format") != FORMAT:
            return None
        ranges = {name: (float(low), float(high)) for name, (low, high) in values["ranges"].items()}
        return Calibration(**{**values, "ranges": ranges})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"{path}: not a readable calibration ({error}); make it again with vidsr export"
        ) from error
