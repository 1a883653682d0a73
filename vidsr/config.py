"""One frozen dataclass per command: every default lives here, impossible values are refused here."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from vidsr.errors import UsageError

BackendName = Literal["auto", "cuda", "cpu"]
Precision = Literal["auto", "fp16", "bf16", "fp32"]


@dataclass(frozen=True)
class EncodeConfig:
    """How the enlarged frames are encoded. None means: chosen from the container and the source."""

    codec: str | None = None  # h264, hevc, av1, prores, ffv1, or the name of an FFmpeg encoder
    crf: float | None = None  # constant rate factor in the codec's own scale; lower is better
    preset: str | None = None  # the encoder's own speed preset
    pixel_format: str | None = None  # FFmpeg's name; None keeps the source's depth and subsampling
    options: tuple[tuple[str, str], ...] = ()  # further options of the encoder, as (key, value)
    threads: int = 0  # 0: the encoder decides; fixed at the start of a job, kept by a resumed one


@dataclass(frozen=True)
class UpscaleConfig:
    """Everything that `vidsr upscale` can be asked for."""

    input: Path
    output: Path
    scale: float | None = None  # None: 4, or what width and height ask for
    width: int | None = None  # pixels of the output; None follows the height
    height: int | None = None  # pixels of the output; None follows the width
    model: str = "auto"  # a name of the registry, or the path of a weights file
    backend: BackendName = "auto"
    precision: Precision = "auto"  # fp16 on CUDA, fp32 on a CPU
    tile: int | None = None  # side of a tile in LR pixels; None: whole frames where they fit
    batch: int | None = None  # frames a call; None: what fits
    video_stream: int | None = None  # which video stream, counted from 0; None: the container's default
    fps: Fraction | None = None  # constant output rate; None keeps every frame at its own time
    deinterlace: bool = True  # interlaced input only
    drop_incompatible: bool = False  # leave out streams that the target container cannot hold
    segment_s: float = 4.0  # length of a segment, seconds
    segment_frames: int = 240  # the same, frames at most
    overwrite: bool = False  # replace an existing output, at the very end
    restart: bool = False  # throw the job folder away and begin anew
    encode: EncodeConfig = field(default_factory=EncodeConfig)

    def __post_init__(self) -> None:
        if self.scale is not None and (self.width is not None or self.height is not None):
            raise UsageError("--scale and --width/--height exclude each other: give one of them")
        if self.scale is not None and not 1 <= self.scale <= 4:
            raise UsageError(f"--scale must be from 1 to 4, not {self.scale:g}")
        for name in ("width", "height", "tile", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} must be at least 1, not {value}")
        if self.tile is not None and self.tile < 32:
            raise UsageError(f"--tile must be at least 32, not {self.tile}")
        if self.video_stream is not None and self.video_stream < 0:
            raise UsageError(f"--video-stream counts from 0, not {self.video_stream}")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise UsageError(f"--fps must be above 0 and at most 1000, not {self.fps}")
        if self.segment_s <= 0 or self.segment_frames < 1:
            raise UsageError("a segment needs a length above 0")
