"""Options that several commands have, each with one wording; commands give the defaults."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from vidsr.errors import UsageError

if TYPE_CHECKING:
    from vidsr.config import EncodeConfig


def shipped_models(incomplete: str) -> list[str]:
    """Names of models for the shell to complete; where there are none, it completes files."""
    from vidsr.models.weights import registry

    names = dict.fromkeys(entry.name for entry in registry())
    return [name for name in names if name.startswith(incomplete)]


def backends(incomplete: str) -> list[str]:
    """Names of backends for the shell to complete."""
    from vidsr.config import BackendName

    return [name for name in get_args(BackendName) if name.startswith(incomplete)]


Scale = Annotated[float | None, typer.Option(help="Enlarge by this factor, 1 to 4.", show_default="4")]
Width = Annotated[int | None, typer.Option(help="Width of the output in pixels, instead of --scale.")]
Height = Annotated[int | None, typer.Option(help="Height of the output in pixels, instead of --scale.")]
Model = Annotated[
    str,
    typer.Option(
        help="A model of `vidsr models`, a weights file, or a folder of train; auto: the best one here.",
        autocompletion=shipped_models,
    ),
]
Fast = Annotated[bool, typer.Option("--fast", help="The fastest model: --model srgan-fast.")]
Detail = Annotated[
    float | None,
    typer.Option(
        help="0 most faithful to 1 most detailed: blends a model's two sets of weights.",
        show_default="0.75 where it has both",
    ),
]
Backend = Annotated[
    str, typer.Option(help="auto, tensorrt, cuda, openvino or cpu.", autocompletion=backends)
]
HwAccel = Annotated[
    str,
    typer.Option(
        "--hwaccel",
        help="What decodes: cuda, none (software), or auto: cuda with an encoder on the card.",
    ),
]
Precision = Annotated[str, typer.Option(help="auto, fp16, bf16, fp32 or int8.")]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile", help="cuda and cpu: also try torch.compile; faster or not, it takes a while first."
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(help="Side of a tile in input pixels.", show_default="whole frames that fit"),
]
Batch = Annotated[int | None, typer.Option(help="Frames per call.", show_default="what fits")]
Skip = Annotated[bool, typer.Option(help="Do not compute what did not change since the frame before.")]
Score = Annotated[
    bool,
    typer.Option("--score/--no-score", help="Decode what was encoded, and measure how faithful it is."),
]
VideoStream = Annotated[
    int | None,
    typer.Option(help="Which video stream to enlarge, from 0.", show_default="the file's default"),
]
Codec = Annotated[
    str | None,
    typer.Option(
        help="h264, hevc, av1, prores, ffv1, or an FFmpeg encoder.", show_default="by container"
    ),
]
Fps = Annotated[
    str | None,
    typer.Option(
        help="Constant output rate, as 25 or 30000/1001.", show_default="every frame's own time"
    ),
]
Deinterlace = Annotated[bool, typer.Option(help="Deinterlace interlaced input.")]
Crf = Annotated[
    float | None, typer.Option(help="Quality, lower is better.", show_default="visually transparent")
]
EncoderPreset = Annotated[str | None, typer.Option(help="The encoder's speed preset.")]
PixFmt = Annotated[str | None, typer.Option(help="Output pixel format.", show_default="as the source")]
EncoderOptions = Annotated[
    list[str] | None, typer.Option(help="Further encoder options, key=value; repeatable.")
]
DropIncompatible = Annotated[
    bool, typer.Option("--drop-incompatible", help="Leave out streams that the container cannot hold.")
]
LookedAt = Annotated[Path, typer.Argument(metavar="INPUT", help="Video to look at.")]
WouldBeOutput = Annotated[
    Path | None,
    typer.Argument(
        metavar="OUTPUT", help="Where it would go.", show_default="INPUT with _x4 in its name"
    ),
]
NativeScale = Annotated[int, typer.Option("--scale", help="2 or 4.")]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of words.")]


def model_of(model: str, fast: bool) -> str:
    """What --model and --fast ask for; UsageError where they disagree, or nothing fast is shipped."""
    from vidsr.models.weights import FAST, registry

    if not fast:
        return model
    if model not in ("auto", FAST):
        raise UsageError(f"--fast means --model {FAST}: leave out one of --fast and --model {model}")
    if not any(entry.name == FAST for entry in registry()):
        raise UsageError(
            f"--fast: this installation has no model {FAST}; vidsr models lists what it has"
        )
    return FAST


def beside(input: Path, scale: float | None) -> Path:
    """Where the output of a video would go if nobody said: beside it, with the factor in its name."""
    return input.with_name(f"{input.stem}_x{scale or 4:g}{input.suffix}")


def rate(text: str | None) -> Fraction | None:
    """The value of --fps; UsageError where it is no number."""
    if text is None:
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"--fps takes a number or a fraction such as 30000/1001, not {text!r}"
        ) from error


def encoding(
    codec: str | None,
    crf: float | None,
    preset: str | None,
    pix_fmt: str | None,
    encoder_options: Sequence[str] | None,
) -> EncodeConfig:
    """What the options about the encoder ask for; UsageError where one of its own is no key=value."""
    from vidsr.config import EncodeConfig

    pairs = tuple(_pair(option) for option in encoder_options or ())
    return EncodeConfig(codec=codec, crf=crf, preset=preset, pixel_format=pix_fmt, options=pairs)


def _pair(option: str) -> tuple[str, str]:
    """Key and value of an --encoder-options; UsageError where it has not that form."""
    key, equals, value = option.partition("=")
    if not equals or not key:
        raise UsageError(f"--encoder-options takes key=value, not {option!r}")
    return key, value


def lpips_weights(alexnet: Path | None, heads: Path | None) -> tuple[Path, Path] | None:
    """The two files that LPIPS needs, or None; UsageError where one of them is missing."""
    if (alexnet is None) != (heads is None):
        raise UsageError("--lpips-alexnet and --lpips-heads go together: give both")
    return None if alexnet is None or heads is None else (alexnet, heads)
