"""`vidsr sample` and `vidsr compare`: pages to judge pictures on, before the work and after it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidsr.cli.speaking import speaking, stop_on_sigterm
from vidsr.console import Console

STOPPED = "stopped; no page was written"

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="A folder for page and pictures, or the page itself (.html).",
        show_default="a folder here, named after the video",
    ),
]
Frames = Annotated[
    int | None,
    typer.Option(help="How many frames, of different scenes.", show_default="6, or none with --at"),
]
At = Annotated[
    list[str] | None, typer.Option(help="Also the frame at this time, as 0:12:30; repeatable.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing page.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON report at the end.")]


def sample(
    input: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="Video, picture, or numbered pictures (frames/%05d.png)."),
    ],
    output: Output = None,
    frames: Frames = None,
    at: At = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            "--model",
            help="As --model of upscale; several with commas, or repeated.",
            show_default="auto",
        ),
    ] = None,
    detail: Annotated[
        list[float] | None, typer.Option(help="As for upscale; repeatable: each with each model.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Enlarge by this factor, 1 to 4.", show_default="4")
    ] = None,
    backend: Annotated[str, typer.Option(help="As for upscale.")] = "auto",
    precision: Annotated[str, typer.Option(help="As for upscale.")] = "auto",
    video_stream: Annotated[int | None, typer.Option(help="As for upscale.")] = None,
    clip: Annotated[
        str | None, typer.Option(help="Also a side-by-side video of this length, as 3s.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Enlarge a few frames by chosen models and write a page to compare them on, before the long run.

    The page is one HTML file that needs no network; the pictures lie beside it as PNG files.
    """
    console = Console(quiet=quiet or json)
    stop_on_sigterm()
    with speaking(console, if_stopped=STOPPED):
        from vidsr.config import BackendName, UpscalePrecision, one_of
        from vidsr.page_config import SampleConfig, seconds_of

        named = [name.strip() for names in models or ["auto"] for name in names.split(",")]
        config = SampleConfig(
            input=input,
            output=output,
            frames=frames,
            at=tuple(seconds_of(text, "--at") for text in at or ()),
            models=tuple(name for name in named if name),
            details=tuple(detail) if detail else (None,),
            scale=scale,
            backend=one_of(BackendName, backend, "--backend"),
            precision=one_of(UpscalePrecision, precision, "--precision"),
            video_stream=video_stream,
            clip_s=None if clip is None else seconds_of(clip, "--clip"),
            overwrite=overwrite,
        )
        from vidsr.pipelines.sample import sample_video

        report = sample_video(config, console)
        if json:
            console.json(report.to_json())
        else:
            console.result(report.summary())


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Video, or numbered pictures.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another of the same length and shape.")],
    reference: Annotated[
        Path | None,
        typer.Option(help="What both should look like.", show_default="none: each other"),
    ] = None,
    output: Output = None,
    frames: Frames = None,
    at: At = None,
    points: Annotated[int, typer.Option(help="How many frames are measured, spread evenly.")] = 120,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Show two videos together on a page, frame by frame, with PSNR, SSIM and flicker over time.

    Where the sizes differ, as before and after upscale, the smaller video is enlarged by Lanczos.
    """
    console = Console(quiet=quiet or json)
    stop_on_sigterm()
    with speaking(console, if_stopped=STOPPED):
        from vidsr.page_config import CompareConfig, seconds_of

        config = CompareConfig(
            a=a,
            b=b,
            reference=reference,
            output=output,
            frames=frames,
            at=tuple(seconds_of(text, "--at") for text in at or ()),
            points=points,
            overwrite=overwrite,
        )
        from vidsr.pipelines.compare import compare_videos

        report = compare_videos(config, console)
        if json:
            console.json(report.to_json())
        else:
            console.result(report.summary())
