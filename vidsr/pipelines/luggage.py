"""The files of a network's weights as they travel to a machine that does not have them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from vidsr.errors import WeightsError
from vidsr.inference.calibration import calibration_path
from vidsr.models.weights import Weights


@dataclass(frozen=True)
class Luggage:
    """Weights, packed: the set or both sets of them, and the calibration of each where there is one."""

    weights: Weights  # its paths are those of the machine where it was packed
    files: tuple[tuple[str, bytes], ...]  # name, content

    @classmethod
    def pack(cls, weights: Weights) -> Luggage:
        """Read all files that these weights are made of. Raises WeightsError."""
        paths = [path for file in weights.files for path in (file, calibration_path(file))]
        try:
            files = tuple((path.name, path.read_bytes()) for path in paths if path.is_file())
        except OSError as error:
            raise WeightsError(f"{weights.path}: cannot be read: {error.strerror or error}") from error
        return cls(weights, files)

    def unpack(self, folder: Path) -> Weights:
        """Write the files into an empty folder; the same weights, by digest, at their new place."""
        for name, content in self.files:
            (folder / name).write_bytes(content)
        detailed = self.weights.detailed
        return replace(
            self.weights,
            path=folder / self.weights.path.name,
            detailed=None if detailed is None else folder / detailed.name,
        )
