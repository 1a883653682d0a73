"""One frozen dataclass per command: every default lives here, impossible values are refused here."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

from vidsr.crews import CrewConfig
from vidsr.errors import UsageError

BackendName = Literal["auto", "tensorrt", "cuda", "openvino", "cpu"]
UpscalePrecision = Literal["auto", "fp16", "bf16", "fp32", "int8"]
EngineBuild = Literal["background", "wait", "never"]
HwAccel = Literal["auto", "none", "cuda"]
PipeFormat = Literal["y4m", "nut", "matroska"]

PIPE = Path("-")
"""As input or output: standard input, standard output."""


def one_of(choices: Any, value: str, option: str) -> Any:
    """`value` as one of a Literal's words; UsageError, naming them, where it is none."""
    words = get_args(choices)
    if value not in words:
        raise UsageError(f"{option} must be one of {', '.join(words)}, not {value!r}")
    return value


@dataclass(frozen=True)
class EncodeConfig:
    """How the enlarged frames are encoded. None means: chosen from the container and the source."""

    codec: str | None = None  # h264, hevc, av1, prores, ffv1, or the name of an FFmpeg encoder
    crf: float | None = None  # constant rate factor in the codec's own scale; lower is better
    preset: str | None = None  # the encoder's own speed preset
    pixel_format: str | None = None  # FFmpeg's name; None keeps the source's depth and subsampling
    options: tuple[tuple[str, str], ...] = ()  # further options of the encoder, as (key, value)
    threads: int = 0  # 0: the encoder decides; fixed at the start of a job, kept by a resumed one
    hurry: bool = False  # without a preset: one that keeps up with a fast network


@dataclass(frozen=True)
class UpscaleConfig:
    """Everything that `vidsr upscale` can be asked for."""

    input: Path
    output: Path
    scale: float | None = None  # None: 4, or what width and height ask for
    width: int | None = None  # pixels of the output; None follows the height
    height: int | None = None  # pixels of the output; None follows the width
    model: str = "auto"  # a name of the registry, or the path of a weights file
    detail: float | None = None  # 0 (faithful) to 1 (detailed); None: the model's own choice
    backend: BackendName = "auto"
    precision: UpscalePrecision = "auto"  # fp16 on CUDA; on a CPU int8 where calibrated, else fp32
    compile: bool = False  # cuda and cpu: also try torch.compile, up to minutes more at the start
    # Where the store has no TensorRT engine for a size: go on with PyTorch until one is built, wait for
    # it, or build none.
    engine_build: EngineBuild = "background"
    hwaccel: HwAccel = "auto"  # what decodes: an NVIDIA card, or software; the frames are the same
    tile: int | None = None  # side of a tile in LR pixels; None: whole frames where they fit
    batch: int | None = None  # frames a call; None: what fits
    skip: bool = True  # do not compute again what the frame before already shows; changes no bit
    video_stream: int | None = None  # which video stream, counted from 0; None: the container's default
    fps: Fraction | None = None  # constant output rate; None keeps every frame at its own time
    format: PipeFormat | None = None  # of standard output; None: as the input pipe's, else matroska
    deinterlace: bool = True  # interlaced input only
    drop_incompatible: bool = False  # leave out streams that the target container cannot hold
    segment_s: float = 4.0  # length of a segment, seconds
    segment_frames: int = 240  # the same, frames at most
    overwrite: bool = False  # replace an existing output, at the very end
    restart: bool = False  # throw the job folder away and begin anew
    score: bool = True  # decode what was encoded, and measure how faithful it is
    preview: bool = False  # show the newest frame beside Lanczos while the job runs
    report: Path | None = None  # where the record of the finished run is written, JSON
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    crew: CrewConfig = field(default_factory=CrewConfig)

    def __post_init__(self) -> None:
        if self.scale is not None and (self.width is not None or self.height is not None):
            raise UsageError("--scale and --width/--height exclude each other: give one of them")
        if self.scale is not None and not 1 <= self.scale <= 4:
            raise UsageError(f"--scale must be from 1 to 4, not {self.scale:g}")
        for name in ("width", "height", "tile", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} must be at least 1, not {value}")
        if self.detail is not None and not 0 <= self.detail <= 1:
            raise UsageError(f"--detail must be from 0 to 1, not {self.detail:g}")
        if self.video_stream is not None and self.video_stream < 0:
            raise UsageError(f"--video-stream counts from 0, not {self.video_stream}")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise UsageError(f"--fps must be above 0 and at most 1000, not {self.fps}")
        if self.format is not None and self.output != PIPE:
            raise UsageError("--format is that of a pipe: it needs - as OUTPUT")
        if self.segment_s <= 0 or self.segment_frames < 1:
            raise UsageError("a segment needs a length above 0")


@dataclass(frozen=True)
class ForecastConfig:
    """Everything that `vidsr plan` can be asked for."""

    upscale: UpscaleConfig  # the job whose cost is asked; nothing of it is done
    seconds: float = 5.0  # that network and encoder are measured for each model and backend

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 3600:
            raise UsageError(f"--seconds must be above 0 and at most 3600, not {self.seconds:g}")


@dataclass(frozen=True)
class EvaluateConfig:
    """Everything that `vidsr evaluate` can be asked for: a model on pictures or clips, or two videos."""

    # Pictures
    images: Path | None = None  # folder of high-resolution pictures, or one of them
    model: str = "auto"  # a name of the registry, or the path of a weights file
    detail: float | None = None  # 0 faithful to 1 detailed, where the model has both sets of weights
    scale: int = 4  # 2 or 4
    lr: Path | None = None  # folder of low-resolution pictures; None makes them by bicubic reduction

    # Clips: each is reduced, compressed, enlarged and compared with itself
    clips: Path | None = None  # folder of videos in the size that the result should have, or one
    crf: tuple[int, ...] = ()  # of H.264, 0 to 51, each measured; empty: not compressed
    frames: int = 20  # consecutive ones, from the middle of each clip

    # Two videos
    reference: Path | None = None  # what the other should look like
    distorted: Path | None = None

    # All
    border: int | None = None  # pixels left out on each side; None: the scale, 0 for two videos
    lpips_weights: tuple[Path, Path] | None = None  # AlexNet's features and the LPIPS heads
    device: Literal["auto", "cuda", "cpu"] = "auto"
    output: Path | None = None  # report, .json or .md; the other form is written beside it
    overwrite: bool = False  # replace an existing report

    def __post_init__(self) -> None:
        videos = self.reference is not None or self.distorted is not None
        if (self.images is not None) + (self.clips is not None) + videos != 1:
            raise UsageError(
                "give one of --images DIR, --clips DIR, or --reference FILE and --distorted FILE"
            )
        if videos and (self.reference is None or self.distorted is None):
            raise UsageError("--reference and --distorted go together: give both videos")
        if self.images is None and self.lr is not None:
            raise UsageError("--lr goes with --images, not with videos")
        if self.clips is None and self.crf:
            raise UsageError("--crf goes with --clips")
        if not all(0 <= crf <= 51 for crf in self.crf):
            raise UsageError(f"--crf must be from 0 to 51, not {', '.join(map(str, self.crf))}")
        if self.frames < 1:
            raise UsageError(f"--frames must be at least 1, not {self.frames}")
        if self.scale not in (2, 4):
            raise UsageError(f"--scale must be 2 or 4 for evaluation, not {self.scale}")
        if self.detail is not None and not 0 <= self.detail <= 1:
            raise UsageError(f"--detail must be from 0 to 1, not {self.detail:g}")
        if self.border is not None and self.border < 0:
            raise UsageError(f"--border must not be negative, not {self.border}")
        one_of(Literal["auto", "cuda", "cpu"], self.device, "--device")
        if self.output is not None and self.output.suffix not in (".json", ".md"):
            raise UsageError(f"--output must end in .json or .md, not {self.output.name!r}")


def size_of(text: str) -> tuple[int, int]:
    """(height, width) in pixels of "WxH", as containers and users write a size."""
    width, x, height = text.lower().partition("x")
    if not x or not width.isdecimal() or not height.isdecimal():
        raise UsageError(f"--size takes WIDTHxHEIGHT, such as 1280x720, not {text!r}")
    return int(height), int(width)


@dataclass(frozen=True)
class BuildEngineConfig:
    """Everything that `vidsr build-engine` can be asked for."""

    model: str = "auto"  # a name of the registry, or the path of a weights file
    detail: float | None = None  # 0 faithful to 1 detailed; None: the model's own choice
    scale: int = 4  # 2 or 4
    sizes: tuple[tuple[int, int], ...] = ()  # (height, width) of the videos, LR pixels
    input: Path | None = None  # a video whose size and depth are taken
    all_common_sizes: bool = False  # the sizes that videos mostly have, up to 1920x1080
    batch: int = 1  # frames a call, at most
    dynamic: bool = False  # one engine for every size up to the given one, instead of that size alone
    precision: Literal["auto", "fp16", "fp32"] = "auto"  # auto: fp16
    deep: bool | None = None  # frames as floats, for more than 8 bits; None: as the input, else bytes
    workspace_mib: int | None = None  # memory a kernel may use while it is tried; None: all there is
    targets: tuple[str, ...] = ()  # compute capabilities, "8.9"; empty: this machine's card, else all
    rebuild: bool = False  # build again what is there

    def __post_init__(self) -> None:
        if not (self.sizes or self.input or self.all_common_sizes):
            raise UsageError("give --size WIDTHxHEIGHT, --input FILE or --all-common-sizes")
        if self.scale not in (2, 4):
            raise UsageError(f"--scale must be 2 or 4 for an engine, not {self.scale}")
        one_of(Literal["auto", "fp16", "fp32"], self.precision, "--precision")
        for height, width in self.sizes:
            if not (1 <= height <= 16384 and 1 <= width <= 16384):
                raise UsageError(f"--size must be from 1x1 to 16384x16384, not {width}x{height}")
        if not 1 <= self.batch <= 64:
            raise UsageError(f"--batch must be from 1 to 64, not {self.batch}")
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise UsageError(f"--workspace must be at least 1 MiB, not {self.workspace_mib}")
        if self.detail is not None and not 0 <= self.detail <= 1:
            raise UsageError(f"--detail must be from 0 to 1, not {self.detail:g}")


@dataclass(frozen=True)
class BenchmarkConfig:
    """Everything that `vidsr benchmark` can be asked for; what is not here is as in an upscale run.

    But for skipping: the machine is measured, not how much of the video repeats.
    """

    input: Path  # a video; the first frames of it are used
    frames: int = 48  # fewer where the enlarged ones would take more than 512 MiB
    scale: float | None = None  # None: 4
    model: str = "auto"  # a name of the registry, or the path of a weights file
    detail: float | None = None  # 0 (faithful) to 1 (detailed); None: the model's own choice
    backend: BackendName = "auto"
    precision: UpscalePrecision = "auto"
    compile: bool = False  # also try torch.compile
    tile: int | None = None  # side of a tile in LR pixels; None: whole frames where they fit
    batch: int | None = None  # frames a call; None: what fits
    hwaccel: HwAccel = "auto"  # what decodes: an NVIDIA card, or software
    container: str = ".mp4"  # of the output that is thrown away; chooses the codec
    compare: bool = True  # also measure the network on the other ways to use the processor
    encode: EncodeConfig = field(default_factory=EncodeConfig)

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise UsageError(f"--frames must be at least 1, not {self.frames}")
