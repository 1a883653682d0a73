"""Everything that `vidsr sample` and `vidsr compare` can be asked for: the commands that write pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from vidsr.config import BackendName, UpscaleConfig, UpscalePrecision
from vidsr.errors import UsageError


def seconds_of(text: str, option: str) -> Fraction:
    """Seconds of a time as players show it: 1:02:03.5, 12:30, 750, 3s; UsageError for anything else."""
    parts = text.strip().removesuffix("s").split(":")
    plain = all(part and part.replace(".", "", 1).isdecimal() for part in parts)
    if not plain or len(parts) > 3 or any("." in part for part in parts[:-1]):
        raise UsageError(f"{option} takes a time such as 0:12:30, 12:30.5 or 750, not {text!r}")
    return sum((Fraction(part) * 60**i for i, part in enumerate(reversed(parts))), Fraction(0))


SAMPLED_FRAMES = 6
"""Frames on a page where neither a number nor a time was asked for."""

MOST_SAMPLED = 60
"""Frames on a page: more would make it too large for its pictures to be good ones."""


@dataclass(frozen=True)
class PageConfig:
    """What `vidsr sample` and `vidsr compare` have in common: which frames, and where the page goes."""

    output: Path | None = None  # a folder, or the name of a page (.html); None: named after the input
    frames: int | None = None  # chosen by their scenes; None: 6, or none where times are given
    at: tuple[Fraction, ...] = ()  # further frames: those shown so many seconds after the first
    overwrite: bool = False  # replace an existing page

    def __post_init__(self) -> None:
        if self.frames is not None and not 1 <= self.frames <= MOST_SAMPLED:
            raise UsageError(f"--frames must be from 1 to {MOST_SAMPLED}, not {self.frames}")
        if len(self.at) > MOST_SAMPLED:
            raise UsageError(f"--at can be given {MOST_SAMPLED} times at most, not {len(self.at)}")

    @property
    def chosen_frames(self) -> int:
        """How many frames are chosen by their scenes."""
        return self.frames if self.frames is not None else 0 if self.at else SAMPLED_FRAMES


@dataclass(frozen=True)
class SampleConfig(PageConfig):
    """Everything that `vidsr sample` can be asked for."""

    input: Path = field(kw_only=True)
    models: tuple[str, ...] = ("auto",)  # names of the registry, weights files or folders of train
    details: tuple[float | None, ...] = (None,)  # each with each model; None: the model's own choice
    scale: float | None = None  # None: 4
    backend: BackendName = "auto"
    precision: UpscalePrecision = "auto"  # as for upscale
    video_stream: int | None = None  # counted from 0; None: the container's default
    clip_s: Fraction | None = None  # also a side-by-side video of so many seconds

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.models or not self.details:
            raise UsageError("give one model at least")
        if self.clip_s is not None and not 0 < self.clip_s <= 60:
            raise UsageError(f"--clip must be above 0 and at most 60 s, not {float(self.clip_s):g}")
        _ = self.upscaling  # the rest is refused there

    @property
    def upscaling(self) -> tuple[UpscaleConfig, ...]:
        """The run that each result is a sample of, in the order asked for; nothing is written there."""
        ways = dict.fromkeys((model, detail) for model in self.models for detail in self.details)
        return tuple(
            UpscaleConfig(
                input=self.input,
                output=self.input,
                scale=self.scale,
                model=model,
                detail=detail,
                backend=self.backend,
                precision=self.precision,
                video_stream=self.video_stream,
            )
            for model, detail in ways
        )


@dataclass(frozen=True)
class CompareConfig(PageConfig):
    """Everything that `vidsr compare` can be asked for."""

    a: Path = field(kw_only=True)
    b: Path = field(kw_only=True)
    reference: Path | None = None  # what both should look like; None compares them with each other
    points: int = 120  # frames that are measured, spread evenly; all of a video that has fewer

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points < 2:
            raise UsageError(f"--points must be at least 2, not {self.points}")
