"""`vidsr evaluate` and `vidsr benchmark`: how good, and how fast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vidsr.cli import options
from vidsr.cli.speaking import speaking
from vidsr.console import Console
from vidsr.errors import UsageError

if TYPE_CHECKING:
    from vidsr.pipelines.benchmark_report import BenchmarkReport
    from vidsr.pipelines.training_benchmark_report import TrainingBenchmarkReport

OF_UPSCALE = {"frames", "model", "detail", "backend", "hwaccel", "tile", "codec", "container", "compare"}
OF_TRAIN = {"updates", "patch", "device", "threads", "seed"}
"""Options of `vidsr benchmark` that one of its two kinds alone has."""


def evaluate(
    images: Annotated[
        Path | None, typer.Option(help="Folder of high-resolution pictures, or one.")
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option(help="Folder of videos, or one: each is reduced, compressed, enlarged, compared."),
    ] = None,
    crf: Annotated[
        list[int] | None,
        typer.Option(help="H.264's quality for --clips; repeatable.", show_default="not compressed"),
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames from the middle of each of the --clips.")] = 20,
    reference: Annotated[
        Path | None, typer.Option(help="Video that the other should look like.")
    ] = None,
    distorted: Annotated[Path | None, typer.Option(help="Video to compare with it.")] = None,
    model: options.Model = "auto",
    detail: options.Detail = None,
    scale: options.NativeScale = 4,
    lr: Annotated[
        Path | None,
        typer.Option(help="Folder of low-resolution pictures.", show_default="bicubic reduction"),
    ] = None,
    border: Annotated[
        int | None,
        typer.Option(help="Pixels left out at each side.", show_default="scale; 0 for videos"),
    ] = None,
    lpips_alexnet: Annotated[Path | None, typer.Option(help="AlexNet weights, for LPIPS.")] = None,
    lpips_heads: Annotated[Path | None, typer.Option(help="The LPIPS heads that go with it.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    output: Annotated[
        Path | None, typer.Option(help="Save the report; .json and .md are both written.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing report.")] = False,
    json: options.Json = False,
) -> None:
    """Measure a model on pictures or clips beside Lanczos, or compare two videos."""
    console = Console(quiet=json)
    with speaking(console):
        from vidsr.config import EvaluateConfig

        config = EvaluateConfig(
            images=images,
            model=model,
            detail=detail,
            scale=scale,
            lr=lr,
            clips=clips,
            crf=tuple(crf or ()),
            frames=frames,
            reference=reference,
            distorted=distorted,
            border=border,
            lpips_weights=options.lpips_weights(lpips_alexnet, lpips_heads),
            device=device,  # type: ignore[arg-type]  # refused by the configuration if it is none
            output=output,
            overwrite=overwrite,
        )
        from vidsr.pipelines.evaluate import evaluate_images, evaluate_video
        from vidsr.pipelines.evaluate_clips import evaluate_clips

        evaluation = evaluate_images if images else evaluate_clips if clips else evaluate_video
        report = evaluation(config, console)
        if json:
            console.json(report.to_json())
        else:
            console.result(report.to_markdown())


def benchmark(
    context: typer.Context,
    input: Annotated[
        Path | None, typer.Argument(metavar="INPUT", help="Video whose first frames are used.")
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Measure training instead: its pixel stage, without INPUT.")
    ] = False,
    frames: Annotated[int, typer.Option(help="How many of them, at most.")] = 48,
    scale: Annotated[
        float | None, typer.Option(help="As for upscale or train.", show_default="4")
    ] = None,
    model: options.Model = "auto",
    detail: options.Detail = None,
    backend: options.Backend = "auto",
    precision: Annotated[str, typer.Option(help="As for upscale or train.")] = "auto",
    hwaccel: options.HwAccel = "auto",
    tile: options.Tile = None,
    batch: Annotated[int | None, typer.Option(help="As for upscale or train.")] = None,
    codec: options.Codec = None,
    preset: Annotated[
        str | None,
        typer.Option(help="As for upscale or train.", show_default="encoder's; small with --train"),
    ] = None,
    container: Annotated[str, typer.Option(help="Extension that chooses the codec.")] = ".mp4",
    compare: Annotated[bool, typer.Option(help="Also measure the network on other backends.")] = True,
    updates: Annotated[int, typer.Option(help="With --train: how many are measured.")] = 30,
    patch: Annotated[
        int | None, typer.Option(help="With --train: side in LR pixels.", show_default="preset")
    ] = None,
    device: Annotated[str, typer.Option(help="With --train: auto, cpu or cuda.")] = "auto",
    compile: Annotated[
        bool,
        typer.Option("--compile", help="As for upscale; with --train, compile the generator."),
    ] = False,
    threads: Annotated[
        int, typer.Option(help="With --train: of the CPU; 0 as PyTorch decides.", show_default="0")
    ] = 0,
    seed: Annotated[int, typer.Option(help="With --train: of patches and weights.")] = 0,
    json: options.Json = False,
) -> None:
    """Measure every stage of an upscale run alone, and all of them together; or measure training."""
    console = Console(quiet=json)
    with speaking(console):
        if (input is None) != train:
            raise UsageError("give a video, or --train")
        for parameter in context.command.params:
            foreign = OF_UPSCALE if train else OF_TRAIN
            given = context.get_parameter_source(parameter.name or "")
            if parameter.name in foreign and given is not None and given.name == "COMMANDLINE":
                raise UsageError(
                    f"{parameter.opts[0]} does not go {'with' if train else 'without'} --train"
                )
        from vidsr.config import (
            BackendName,
            BenchmarkConfig,
            EncodeConfig,
            HwAccel,
            UpscalePrecision,
            one_of,
        )
        from vidsr.train_config import Precision, Preset, TrainingBenchmarkConfig

        report: BenchmarkReport | TrainingBenchmarkReport
        if input is None:
            factor = 4 if scale is None else scale
            if factor != int(factor):
                raise UsageError(f"--scale must be 2 or 4 for training, not {factor:g}")
            training = TrainingBenchmarkConfig(
                preset=one_of(Preset, preset or "small", "--preset"),
                scale=int(factor),
                updates=updates,
                patch=patch,
                batch=batch,
                device=one_of(Literal["auto", "cpu", "cuda"], device, "--device"),
                precision=one_of(Precision, precision, "--precision"),
                compile=compile,
                threads=threads,
                seed=seed,
            )
            from vidsr.pipelines.training_benchmark import benchmark_training

            report = benchmark_training(training, console)
        else:
            config = BenchmarkConfig(
                input=input,
                frames=frames,
                scale=scale,
                model=model,
                detail=detail,
                backend=one_of(BackendName, backend, "--backend"),
                precision=one_of(UpscalePrecision, precision, "--precision"),
                compile=compile,
                hwaccel=one_of(HwAccel, hwaccel, "--hwaccel"),
                tile=tile,
                batch=batch,
                container=container,
                compare=compare,
                encode=EncodeConfig(codec=codec, preset=preset),
            )
            from vidsr.pipelines.benchmark import benchmark as measure

            report = measure(config, console)
        if json:
            console.json(report.to_json())
        else:
            console.result(report.to_markdown())
