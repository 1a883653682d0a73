"""`vidsr upscale` and `vidsr info`: Enlarging, and saying what it would do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsr.cli import options
from vidsr.cli.speaking import speaking, stop_on_sigterm
from vidsr.console import Console
from vidsr.errors import UsageError
from vidsr.progress import Notice

if TYPE_CHECKING:
    from vidsr.config import UpscaleConfig


def upscale(
    input: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Video, picture, numbered pictures (frames/%05d.png), a folder of videos; - is a pipe.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT",
            help="Where to write; its ending says what it is. For a folder, a folder; - is a pipe.",
        ),
    ],
    scale: options.Scale = None,
    width: options.Width = None,
    height: options.Height = None,
    model: options.Model = "auto",
    fast: options.Fast = False,
    detail: options.Detail = None,
    backend: options.Backend = "auto",
    precision: options.Precision = "auto",
    compile: options.Compile = False,
    engine_build: Annotated[
        str, typer.Option(help="Missing TensorRT engines: background, wait or never.")
    ] = "background",
    hwaccel: options.HwAccel = "auto",
    tile: options.Tile = None,
    batch: options.Batch = None,
    skip: options.Skip = True,
    video_stream: options.VideoStream = None,
    fps: options.Fps = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="Of a pipe as OUTPUT: y4m, nut or matroska.",
            show_default="as the input pipe's, else matroska",
        ),
    ] = None,
    deinterlace: options.Deinterlace = True,
    codec: options.Codec = None,
    crf: options.Crf = None,
    preset: options.EncoderPreset = None,
    pix_fmt: options.PixFmt = None,
    encoder_options: options.EncoderOptions = None,
    drop_incompatible: options.DropIncompatible = False,
    devices: Annotated[
        str | None,
        typer.Option(
            help="A process for each of these, as 0,1 (NVIDIA cards) or cpu,cpu.",
            show_default="one device, this process",
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="A Ray cluster: auto, ray://HOST:PORT, or local.", show_default="this machine"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="How many workers of the cluster.", show_default="all it has room for"),
    ] = None,
    cpus_per_worker: Annotated[
        int | None,
        typer.Option(
            help="Cores for each of them.", show_default="a machine's, or its share for a card"
        ),
    ] = None,
    shared: Annotated[
        Path | None,
        typer.Option(
            help="Folder that all of its machines see, for finished segments.",
            show_default="they come back through Ray",
        ),
    ] = None,
    allow_mixed: Annotated[
        bool,
        typer.Option("--allow-mixed", help="Devices of several kinds: last bits of frames may differ."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away what an interrupted run left, begin anew.")
    ] = False,
    score: options.Score = True,
    preview: Annotated[
        bool,
        typer.Option(
            "--preview", help="Show the newest frame beside Lanczos in OUTPUT.vidsr/preview.png."
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Write the full record of the finished run there."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
    json: options.Json = False,
) -> None:
    """Enlarge a video and keep everything else: times, sound, subtitles, chapters, colours.

    A run that was interrupted goes on where it stopped when the same command is given again. Of a
    folder, every video below it is enlarged into the same place below OUTPUT; those that are there
    already are passed over.
    """
    console = Console(quiet=quiet or json)
    stop_on_sigterm()
    piped = "-" in (str(input), str(output))
    with speaking(
        console, if_stopped="stopped" if piped else "stopped; the same command goes on from here"
    ):
        if json and str(output) == "-":
            raise UsageError("--json prints on standard output, which is the video here: leave it out")
        from vidsr.config import (
            BackendName,
            EngineBuild,
            HwAccel,
            PipeFormat,
            UpscaleConfig,
            UpscalePrecision,
            one_of,
        )
        from vidsr.crews import CrewConfig

        config = UpscaleConfig(
            input=input,
            output=output,
            scale=scale,
            width=width,
            height=height,
            model=options.model_of(model, fast),
            detail=detail,
            backend=one_of(BackendName, backend, "--backend"),
            precision=one_of(UpscalePrecision, precision, "--precision"),
            compile=compile,
            engine_build=one_of(EngineBuild, engine_build, "--engine-build"),
            hwaccel=one_of(HwAccel, hwaccel, "--hwaccel"),
            tile=tile,
            batch=batch,
            skip=skip,
            video_stream=video_stream,
            fps=options.rate(fps),
            format=None if format is None else one_of(PipeFormat, format, "--format"),
            deinterlace=deinterlace,
            drop_incompatible=drop_incompatible,
            overwrite=overwrite,
            restart=restart,
            score=score,
            preview=preview,
            report=report,
            encode=options.encoding(codec, crf, preset, pix_fmt, encoder_options),
            crew=CrewConfig(
                devices=tuple(devices.split(",")) if devices is not None else (),
                cluster=cluster,
                workers=workers,
                cpus_per_worker=cpus_per_worker,
                shared=shared,
                allow_mixed=allow_mixed,
            ),
        )
        if input.is_dir():
            failed = _upscale_folder(config, console, json=json)
        else:
            failed = _upscale_file(config, console, json=json)
    if failed:
        raise typer.Exit(1)


def _upscale_file(config: UpscaleConfig, console: Console, *, json: bool) -> int:
    from vidsr.config import PIPE
    from vidsr.pipelines.upscale import upscale_video

    report = upscale_video(config, console)
    if json:
        console.json(report.to_json())
    elif config.output == PIPE:
        console(Notice(report.summary()))  # standard output is the video
    else:
        console.result(report.summary())
    return 0


def _upscale_folder(config: UpscaleConfig, console: Console, *, json: bool) -> int:
    """How many of the folder's videos failed."""
    from vidsr.pipelines.folder import upscale_folder

    report = upscale_folder(config, console)
    if json:
        console.json(report.to_json())
    else:
        console.table("", ("file", "", "frames", ""), report.rows())
        console.result(report.summary())
    return report.failed


def info(
    input: options.LookedAt,
    output: options.WouldBeOutput = None,
    scale: options.Scale = None,
    width: options.Width = None,
    height: options.Height = None,
    model: options.Model = "auto",
    fast: options.Fast = False,
    backend: options.Backend = "auto",
    hwaccel: options.HwAccel = "auto",
    video_stream: options.VideoStream = None,
    codec: options.Codec = None,
    json: options.Json = False,
) -> None:
    """Say what upscale would do with a file: streams, colour, size, container, model, backend."""
    console = Console()
    with speaking(console):
        from vidsr.config import BackendName, EncodeConfig, HwAccel, UpscaleConfig, one_of
        from vidsr.pipelines.info import describe

        config = UpscaleConfig(
            input=input,
            output=output or options.beside(input, scale),
            scale=scale,
            width=width,
            height=height,
            model=options.model_of(model, fast),
            backend=one_of(BackendName, backend, "--backend"),
            hwaccel=one_of(HwAccel, hwaccel, "--hwaccel"),
            video_stream=video_stream,
            encode=EncodeConfig(codec=codec),
        )
        description = describe(config)
        if json:
            console.json(description.to_json())
            return
        console.facts(description.facts)
        if description.streams:
            console.table("\nStreams", ("#", "kind", "what", "in the output"), description.streams)
        for notice in description.notices:
            console.result(f"! {notice}")
