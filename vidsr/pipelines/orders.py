"""What whoever does the segments of a job is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vidsr.config import UpscaleConfig
from vidsr.frames import VideoInfo
from vidsr.inference.backend import Backend
from vidsr.models.weights import Weights
from vidsr.pipelines.manner import Manner, Material
from vidsr.progress import Progress
from vidsr.video.encoders import Encoding
from vidsr.video.retime import ConstantRate

BackendOpener = Callable[[Weights, UpscaleConfig, Progress], Backend]


@dataclass(frozen=True)
class Orders:
    """What holds for every segment of a job, whoever does it."""

    output: VideoInfo  # of the enlarged video
    encoding: Encoding
    rate: ConstantRate | None  # where a constant rate was asked for
    material: Material
    manner: Manner
    skip: bool  # leave out what the frame before already decides
    score: bool  # measure how faithful the frames are
    preview: Path | None = None  # where the newest frame is shown, if it is
