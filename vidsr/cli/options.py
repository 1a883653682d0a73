"""Options that several commands have, each with one wording; commands give the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidsr.errors import UsageError

Scale = Annotated[float | None, typer.Option(help="Enlarge by this factor, 1 to 4.", show_default="4")]
Width = Annotated[int | None, typer.Option(help="Width of the output in pixels, instead of --scale.")]
Height = Annotated[int | None, typer.Option(help="Height of the output in pixels, instead of --scale.")]
Model = Annotated[
    str, typer.Option(help="A model of `vidsr models`, a weights file, or a folder of train.")
]
Detail = Annotated[
    float | None, typer.Option(help="0 most faithful to 1 most detailed, for models with both sets.")
]
Backend = Annotated[str, typer.Option(help="auto, tensorrt, cuda, openvino or cpu.")]
Precision = Annotated[str, typer.Option(help="auto, fp16, bf16, fp32 or int8.")]
Tile = Annotated[
    int | None,
    typer.Option(help="Side of a tile in input pixels.", show_default="whole frames that fit"),
]
Batch = Annotated[int | None, typer.Option(help="Frames per call.", show_default="what fits")]
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
NativeScale = Annotated[int, typer.Option("--scale", help="2 or 4.")]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of words.")]


def lpips_weights(alexnet: Path | None, heads: Path | None) -> tuple[Path, Path] | None:
    """The two files that LPIPS needs, or None; UsageError where one of them is missing."""
    if (alexnet is None) != (heads is None):
        raise UsageError("--lpips-alexnet and --lpips-heads go together: give both")
    return None if alexnet is None or heads is None else (alexnet, heads)
