"""The command line: options become one configuration, one pipeline call, one exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from vidsr.console import Console
from vidsr.errors import UsageError, VidsrError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 plus the number of SIGINT, as shells have it."""

app = typer.Typer(
    name="vidsr",
    help="Video super-resolution with SRGAN that keeps every frame at its own time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@contextmanager
def speaking(console: Console, *, if_stopped: str = "stopped") -> Iterator[None]:
    """Turn whatever ends a command into one line and an exit code; VIDSR_DEBUG=1 shows the trace."""
    try:
        with console:
            yield
        return
    except VidsrError as error:
        _maybe_trace()
        console.error(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        console.error(if_stopped)
        code = INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        code = 0
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        _maybe_trace()
        console.error(
            f"unexpected {type(error).__name__}: {error} "
            "(a fault of vidsr's own; VIDSR_DEBUG=1 shows where, please report it)"
        )
        code = 1
    _leave(code)


def _maybe_trace() -> None:
    if os.environ.get("VIDSR_DEBUG") == "1":
        import traceback

        traceback.print_exc()


def _leave(code: int) -> NoReturn:
    """End the process at once: a stage left deep in a long call must not hold up the exit."""
    sys.stdout.flush()
    sys.stderr.flush()
    import threading

    if any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
        os._exit(code)
    raise typer.Exit(code)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@app.command()
def upscale(
    input: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="Video, picture, or numbered pictures (frames/%05d.png)."),
    ],
    output: Annotated[
        Path,
        typer.Argument(metavar="OUTPUT", help="Where to write; the extension chooses the container."),
    ],
    scale: Annotated[
        float | None, typer.Option(help="Enlarge by this factor, 1 to 4.", show_default="4")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Width of the output in pixels, instead of --scale.")
    ] = None,
    height: Annotated[
        int | None, typer.Option(help="Height of the output in pixels, instead of --scale.")
    ] = None,
    model: Annotated[str, typer.Option(help="A model of `vidsr models`, or a weights file.")] = "auto",
    detail: Annotated[
        float | None, typer.Option(help="0 most faithful to 1 most detailed, for models with both sets.")
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, cuda or cpu.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp16, bf16 or fp32.")] = "auto",
    tile: Annotated[
        int | None,
        typer.Option(help="Side of a tile in input pixels.", show_default="whole frames that fit"),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Frames per call.", show_default="what fits")] = None,
    video_stream: Annotated[
        int | None,
        typer.Option(help="Which video stream to enlarge, from 0.", show_default="the file's default"),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(
            help="Constant output rate, as 25 or 30000/1001.", show_default="every frame's own time"
        ),
    ] = None,
    deinterlace: Annotated[bool, typer.Option(help="Deinterlace interlaced input.")] = True,
    codec: Annotated[
        str | None,
        typer.Option(
            help="h264, hevc, av1, prores, ffv1, or an FFmpeg encoder.", show_default="by container"
        ),
    ] = None,
    crf: Annotated[
        float | None, typer.Option(help="Quality, lower is better.", show_default="visually transparent")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="The encoder's speed preset.")] = None,
    pix_fmt: Annotated[
        str | None, typer.Option(help="Output pixel format.", show_default="as the source")
    ] = None,
    encoder_options: Annotated[
        list[str] | None, typer.Option(help="Further encoder options, key=value; repeatable.")
    ] = None,
    drop_incompatible: Annotated[
        bool,
        typer.Option("--drop-incompatible", help="Leave out streams that the container cannot hold."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away what an interrupted run left, begin anew.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON report at the end.")] = False,
) -> None:
    """Enlarge a video and keep everything else: times, sound, subtitles, chapters, colours.

    A run that was interrupted goes on where it stopped when the same command is given again.
    """
    console = Console(quiet=quiet or json)
    signal.signal(signal.SIGTERM, _terminated)
    with speaking(console, if_stopped="stopped; the same command goes on from here"):
        from vidsr.config import BackendName, EncodeConfig, Precision, UpscaleConfig, one_of

        config = UpscaleConfig(
            input=input,
            output=output,
            scale=scale,
            width=width,
            height=height,
            model=model,
            detail=detail,
            backend=one_of(BackendName, backend, "--backend"),
            precision=one_of(Precision, precision, "--precision"),
            tile=tile,
            batch=batch,
            video_stream=video_stream,
            fps=_rate(fps),
            deinterlace=deinterlace,
            drop_incompatible=drop_incompatible,
            overwrite=overwrite,
            restart=restart,
            encode=EncodeConfig(
                codec=codec,
                crf=crf,
                preset=preset,
                pixel_format=pix_fmt,
                options=tuple(_pair(option) for option in encoder_options or ()),
            ),
        )
        from vidsr.pipelines.upscale import upscale_video

        report = upscale_video(config, console)
        if json:
            console.json(report.to_json())
        else:
            console.result(report.summary())


@app.command()
def info(
    input: Annotated[Path, typer.Argument(metavar="INPUT", help="Video to look at.")],
    output: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUTPUT", help="Where it would go.", show_default="INPUT with _x4 in its name"
        ),
    ] = None,
    scale: Annotated[float | None, typer.Option(help="As for upscale.", show_default="4")] = None,
    width: Annotated[int | None, typer.Option(help="As for upscale.")] = None,
    height: Annotated[int | None, typer.Option(help="As for upscale.")] = None,
    model: Annotated[str, typer.Option(help="As for upscale.")] = "auto",
    backend: Annotated[str, typer.Option(help="As for upscale.")] = "auto",
    video_stream: Annotated[int | None, typer.Option(help="As for upscale.")] = None,
    codec: Annotated[str | None, typer.Option(help="As for upscale.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say what upscale would do with a file: streams, colour, size, container, model, backend."""
    console = Console()
    with speaking(console):
        from vidsr.config import BackendName, EncodeConfig, UpscaleConfig, one_of
        from vidsr.pipelines.info import describe

        config = UpscaleConfig(
            input=input,
            output=output or input.with_name(f"{input.stem}_x{scale or 4:g}{input.suffix}"),
            scale=scale,
            width=width,
            height=height,
            model=model,
            backend=one_of(BackendName, backend, "--backend"),
            video_stream=video_stream,
            encode=EncodeConfig(codec=codec),
        )
        description = describe(config)
        if json:
            console.json(description.to_json())
            return
        console.facts(description.facts)
        console.table("\nStreams", ("#", "kind", "what", "in the output"), description.streams)
        for notice in description.notices:
            console.result(f"! {notice}")


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show this model's card.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the models that ship with vidsr, or show one model's card."""
    console = Console()
    with speaking(console):
        from vidsr.models.weights import model_card, registry

        if name is not None:
            console.result(model_card(name))
            return
        entries = registry()
        if json:
            console.json([entry.to_json() for entry in entries])
            return
        console.table(
            "",
            ("model", "scale", "sets", "trained for", "size"),
            [
                (
                    entry.name,
                    f"x{entry.scale}",
                    ", ".join(entry.files),
                    entry.header.get("trained_for", ""),
                    f"{sum(path.stat().st_size for path in entry.files.values()) / 1e6:.1f} MB",
                )
                for entry in entries
            ],
        )


@app.command()
def train(
    videos: Annotated[Path, typer.Option(help="Folder of videos and pictures, or one file.")],
    output: Annotated[Path, typer.Option(help="Folder of the run: weights, checkpoint, report.")] = Path(
        "vidsr-run"
    ),
    scale: Annotated[int, typer.Option(help="2 or 4.")] = 4,
    preset: Annotated[str, typer.Option(help="tiny (minutes), small (hours), paper (a GPU).")] = "small",
    stage: Annotated[str, typer.Option(help="pixel, adversarial, or both in turn.")] = "both",
    init: Annotated[
        str | None, typer.Option(help="Begin from a model of `vidsr models` or a weights file.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw the run's checkpoint away, begin anew.")
    ] = False,
    validation: Annotated[
        Path | None, typer.Option(help="Folder to validate on.", show_default="a share of the files")
    ] = None,
    validation_share: Annotated[float, typer.Option(help="That share.")] = 0.1,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of decoded pictures.", show_default="in the output")
    ] = None,
    degradation: Annotated[str, typer.Option(help="How LR is made: video or bicubic.")] = "video",
    versions: Annotated[int, typer.Option(help="LR versions of each picture; the first is clean.")] = 4,
    clean_share: Annotated[float, typer.Option(help="Share of patches from the clean version.")] = 0.5,
    clips_per_file: Annotated[
        int, typer.Option(help="Short clips taken from each video, at most.")
    ] = 32,
    clip_frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 5,
    crop: Annotated[int, typer.Option(help="Side of the window kept of a clip, pixels.")] = 512,
    shrink: Annotated[
        float, typer.Option(help="Reduce sources by this first, to hide compression.")
    ] = 1.0,
    flat_share: Annotated[float, typer.Option(help="Share of flat patches that are kept.")] = 0.15,
    blocks: Annotated[
        int | None, typer.Option(help="Blocks of the generator.", show_default="preset")
    ] = None,
    channels: Annotated[int | None, typer.Option(help="Its channels.", show_default="preset")] = None,
    discriminator: Annotated[
        str | None, typer.Option(help="paper, compact or unet.", show_default="preset")
    ] = None,
    updates: Annotated[
        int | None, typer.Option(help="Updates of the pixel stage.", show_default="preset")
    ] = None,
    adversarial_updates: Annotated[
        int | None, typer.Option(help="Updates of the adversarial stage.", show_default="preset")
    ] = None,
    hours: Annotated[
        float | None, typer.Option(help="Train this long instead; the schedule is fitted to it.")
    ] = None,
    adversarial_share: Annotated[float, typer.Option(help="Share of the hours for that stage.")] = 0.4,
    patch: Annotated[
        int | None, typer.Option(help="Side of a patch, LR pixels.", show_default="preset")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Patches an update.", show_default="preset")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of both stages.", show_default="preset")
    ] = None,
    schedule: Annotated[str, typer.Option(help="cosine or step.")] = "cosine",
    warm_up: Annotated[int, typer.Option(help="Updates until the full learning rate.")] = 200,
    average: Annotated[float, typer.Option(help="Decay of the averaged weights.")] = 0.999,
    accumulate: Annotated[int, typer.Option(help="Parts an update is computed in.")] = 1,
    pixel_loss: Annotated[str, typer.Option(help="l1, charbonnier or mse.")] = "l1",
    pixel_weight: Annotated[float, typer.Option(help="Its weight in the adversarial stage.")] = 0.0,
    vgg_weights: Annotated[
        Path | None,
        typer.Option(help="VGG-19 or VGG-16 weights file.", show_default="torch.hub's VGG-19"),
    ] = None,
    perceptual_layer: Annotated[
        list[str] | None,
        typer.Option(help="Layer and weight, as relu5_4=1; repeatable.", show_default="relu5_4=1"),
    ] = None,
    adversarial_loss: Annotated[str, typer.Option(help="standard or relativistic.")] = "standard",
    adversarial_weight: Annotated[float, typer.Option(help="Weight of the adversarial loss.")] = 1e-3,
    label_smoothing: Annotated[float, typer.Option(help="Real pictures count as 1 minus this.")] = 0.0,
    variation_weight: Annotated[float, typer.Option(help="Weight of total variation.")] = 0.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp16, bf16 or fp32.")] = "auto",
    compile: Annotated[bool, typer.Option("--compile", help="Compile the generator.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that cut patches, if memory is short.")] = 2,
    threads: Annotated[int, typer.Option(help="Threads on a CPU.", show_default="all")] = 0,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    validate_every: Annotated[int, typer.Option(help="Updates between two validations.")] = 500,
    checkpoint_every: Annotated[float, typer.Option(help="Seconds between two checkpoints.")] = 120.0,
    log_every: Annotated[int, typer.Option(help="Updates between two reports of losses.")] = 10,
    validation_crops: Annotated[int, typer.Option(help="Held-out pictures.")] = 24,
    lpips_alexnet: Annotated[
        Path | None, typer.Option(help="AlexNet weights, to validate by LPIPS too.")
    ] = None,
    lpips_heads: Annotated[Path | None, typer.Option(help="The LPIPS heads that go with it.")] = None,
    tensorboard: Annotated[
        bool, typer.Option(help="Write TensorBoard files where it is installed.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON report at the end.")] = False,
) -> None:
    """Train a generator on videos; the weights work at once in `upscale --model`.

    A run that was stopped goes on when the same command is given again.
    """
    console = Console(quiet=quiet or json)
    signal.signal(signal.SIGTERM, _terminated)
    with speaking(console, if_stopped="stopped and saved; the same command goes on from here"):
        from typing import Literal

        from vidsr.config import Degradation, Precision, Preset, Stage, TrainConfig, one_of

        config = TrainConfig(
            videos=videos,
            output=output,
            scale=scale,
            preset=one_of(Preset, preset, "--preset"),
            stage=one_of(Stage, stage, "--stage"),
            init=init,
            restart=restart,
            validation=validation,
            validation_share=validation_share,
            cache=cache,
            degradation=one_of(Degradation, degradation, "--degradation"),
            versions=versions,
            clean_share=clean_share,
            clips_per_file=clips_per_file,
            clip_frames=clip_frames,
            crop=crop,
            shrink=shrink,
            flat_share=flat_share,
            blocks=blocks,
            channels=channels,
            discriminator=None
            if discriminator is None
            else one_of(Literal["paper", "compact", "unet"], discriminator, "--discriminator"),
            updates=updates,
            adversarial_updates=adversarial_updates,
            hours=hours,
            adversarial_share=adversarial_share,
            patch=patch,
            batch=batch,
            learning_rate=learning_rate,
            schedule=one_of(Literal["cosine", "step"], schedule, "--schedule"),
            warm_up=warm_up,
            average=average,
            accumulate=accumulate,
            pixel_loss=one_of(Literal["l1", "charbonnier", "mse"], pixel_loss, "--pixel-loss"),
            pixel_weight=pixel_weight,
            vgg_weights=vgg_weights,
            perceptual_layers=tuple(
                _weighted_layer(text) for text in perceptual_layer or ("relu5_4=1",)
            ),
            adversarial_loss=one_of(
                Literal["standard", "relativistic"], adversarial_loss, "--adversarial-loss"
            ),
            adversarial_weight=adversarial_weight,
            label_smoothing=label_smoothing,
            variation_weight=variation_weight,
            device=one_of(Literal["auto", "cpu", "cuda"], device, "--device"),
            precision=one_of(Precision, precision, "--precision"),
            compile=compile,
            workers=workers,
            threads=threads,
            seed=seed,
            validate_every=validate_every,
            checkpoint_every_s=checkpoint_every,
            log_every=log_every,
            validation_crops=validation_crops,
            lpips_weights=_lpips(lpips_alexnet, lpips_heads),
            tensorboard=tensorboard,
        )
        from vidsr.pipelines.train import train

        report = train(config, console)
        if json:
            console.json(report.to_json())
        else:
            console.result(report.summary())


@app.command()
def evaluate(
    images: Annotated[
        Path | None, typer.Option(help="Folder of high-resolution pictures, or one.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Video that the other should look like.")
    ] = None,
    distorted: Annotated[Path | None, typer.Option(help="Video to compare with it.")] = None,
    model: Annotated[str, typer.Option(help="A model of `vidsr models`, or a weights file.")] = "auto",
    detail: Annotated[
        float | None, typer.Option(help="0 faithful to 1 detailed, as for upscale.")
    ] = None,
    scale: Annotated[int, typer.Option(help="2 or 4.")] = 4,
    lr: Annotated[
        Path | None,
        typer.Option(help="Folder of low-resolution pictures.", show_default="bicubic reduction"),
    ] = None,
    border: Annotated[
        int | None, typer.Option(help="Pixels left out at each side.", show_default="scale; videos 0")
    ] = None,
    lpips_alexnet: Annotated[Path | None, typer.Option(help="AlexNet weights, for LPIPS.")] = None,
    lpips_heads: Annotated[Path | None, typer.Option(help="The LPIPS heads that go with it.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    output: Annotated[
        Path | None, typer.Option(help="Save the report; .json and .md are both written.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing report.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Measure a model on pictures beside bicubic and Lanczos, or compare two videos."""
    console = Console(quiet=json)
    with speaking(console):
        from vidsr.config import EvaluateConfig

        config = EvaluateConfig(
            images=images,
            model=model,
            detail=detail,
            scale=scale,
            lr=lr,
            reference=reference,
            distorted=distorted,
            border=border,
            lpips_weights=_lpips(lpips_alexnet, lpips_heads),
            device=device,  # type: ignore[arg-type]  # refused by the configuration if it is none
            output=output,
            overwrite=overwrite,
        )
        from vidsr.pipelines.evaluate import evaluate_images, evaluate_video

        report = evaluate_images(config, console) if images else evaluate_video(config, console)
        if json:
            console.json(report.to_json())
        else:
            console.result(report.to_markdown())


def _weighted_layer(text: str) -> tuple[str, float]:
    layer, equals, weight = text.partition("=")
    try:
        return layer, float(weight) if equals else 1.0
    except ValueError as error:
        raise UsageError(f"--perceptual-layer takes layer=weight, not {text!r}") from error


def _lpips(alexnet: Path | None, heads: Path | None) -> tuple[Path, Path] | None:
    if (alexnet is None) != (heads is None):
        raise UsageError("--lpips-alexnet and --lpips-heads go together: give both")
    return None if alexnet is None or heads is None else (alexnet, heads)


def _pair(option: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals or not key:
        raise UsageError(f"--encoder-options takes key=value, not {option!r}")
    return key, value


def _rate(text: str | None) -> Fraction | None:
    if text is None:
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"--fps takes a number or a fraction such as 30000/1001, not {text!r}"
        ) from error


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Video super-resolution with SRGAN that keeps every frame at its own time."""
    if version:
        import vidsr

        Console().result(f"vidsr {vidsr.__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the `vidsr` command."""
    # Network, decoder and encoder share the processors: idle OpenMP threads must sleep, not spin.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="vidsr")
