"""What an upscale run did, for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vidsr.inference.skipping import Tally


@dataclass(frozen=True)
class UpscaleReport:
    """The end of a run; numbers are of this run where they are times, else of the whole output."""

    input: str
    output: str
    input_size: tuple[int, int]  # width, height, pixels
    output_size: tuple[int, int]
    model: str
    scale: int  # the network's own factor
    backend: str
    precision: str
    frames: int  # of the output
    resumed_frames: int  # of the output, found finished from an earlier run
    decode_errors: int  # damaged packets and frames of the input
    work: Tally  # of this run: how much of it was left out because nothing had changed
    seconds: float  # wall time
    stage_seconds: Mapping[str, float]  # work of each stage, without its waiting for the others
    notices: tuple[str, ...]  # what the user was told before and after
    checks: tuple[str, ...]  # what the proof found to be right, in words
    proof: Mapping[str, Any]  # the same in numbers

    @property
    def fps(self) -> float:
        """Frames per second, from the start of the run to its end."""
        return (self.frames - self.resumed_frames) / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "fps": round(self.fps, 3)}

    def summary(self) -> str:
        """A few lines for a person."""
        width, height = self.output_size
        lines = [
            f"{self.output}: {width}x{height}, {self.frames} frame{'s' * (self.frames != 1)} "
            f"in {self.seconds:.1f} s "
            f"({self.fps:.1f} fps), {self.model} x{self.scale} on {self.backend}, {self.precision}",
            f"proven: {', '.join(self.checks)}",
        ]
        if self.work.network < 0.995 * self.work.frames:
            lines.append(self._skipped())
        if self.decode_errors:
            lines.append(
                f"{self.decode_errors} errors in the input; every frame it gave is in the output"
            )
        return "\n".join(lines)

    def _skipped(self) -> str:
        work = self.work
        parts = [f"{work.repeated} of {work.frames} frames equal the one before"] * (work.repeated > 0)
        parts += [f"{work.partial} of {work.frames} changed in part"] * (work.partial > 0)
        saved = 100 * (1 - work.network / work.frames)
        return f"skipped {saved:.0f} % of the network's work: {', '.join(parts)}"
