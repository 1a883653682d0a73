"""`vidsr train`: options of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidsr.cli import options
from vidsr.cli.speaking import speaking, stop_on_sigterm
from vidsr.console import Console
from vidsr.errors import UsageError


def train(
    videos: Annotated[Path, typer.Option(help="Folder of videos and pictures, or one file.")],
    output: Annotated[Path, typer.Option(help="Folder of the run: weights, checkpoint, report.")] = Path(
        "vidsr-run"
    ),
    scale: options.NativeScale = 4,
    preset: Annotated[
        str, typer.Option(help="tiny (minutes), fast (an hour), small (hours), paper (a GPU).")
    ] = "small",
    stage: Annotated[str, typer.Option(help="pixel, adversarial, or both in turn.")] = "both",
    init: Annotated[
        str | None, typer.Option(help="Begin from a model of `vidsr models` or a weights file.")
    ] = None,
    grow: Annotated[
        bool, typer.Option("--grow", help="Make --init's network the preset's, larger, at no loss.")
    ] = False,
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
    degraded_share: Annotated[
        float | None,
        typer.Option(help="Share of degraded patches in the adversarial stage.", show_default="preset"),
    ] = None,
    degraded_detail: Annotated[
        str | None,
        typer.Option(help="What detail is asked of those: none, or edges.", show_default="preset"),
    ] = None,
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
    activation: Annotated[
        str | None, typer.Option(help="prelu, relu or leaky_relu.", show_default="preset")
    ] = None,
    body: Annotated[
        str | None,
        typer.Option(help="residual blocks, or plain convolutions.", show_default="preset"),
    ] = None,
    discriminator: Annotated[
        str | None, typer.Option(help="paper, compact, unet or patch.", show_default="preset")
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="Of the pixel stage: muon or adam.", show_default="preset")
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
    pixel_weight: Annotated[
        float | None, typer.Option(help="Its weight in the adversarial stage.", show_default="preset")
    ] = None,
    vgg_weights: Annotated[
        Path | None,
        typer.Option(help="VGG-19 or VGG-16 weights file.", show_default="torch.hub's VGG-19"),
    ] = None,
    perceptual_layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Layer of VGG and its weight, as relu5_4=1; repeatable; or none.",
            show_default="preset",
        ),
    ] = None,
    adversarial_loss: Annotated[
        str | None, typer.Option(help="standard or relativistic.", show_default="preset")
    ] = None,
    adversarial_weight: Annotated[
        float | None, typer.Option(help="Weight of the adversarial loss.", show_default="preset")
    ] = None,
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
    json: options.Json = False,
) -> None:
    """Train a generator on videos; the weights work at once in `upscale --model`.

    A run that was stopped goes on when the same command is given again.
    """
    console = Console(quiet=quiet or json)
    stop_on_sigterm()
    with speaking(console, if_stopped="stopped and saved; the same command goes on from here"):
        from typing import Literal

        from vidsr.config import one_of
        from vidsr.recipes import AdversarialLoss, DegradedDetail, Form, OptimizerName
        from vidsr.train_config import Degradation, Precision, Preset, Stage, TrainConfig

        config = TrainConfig(
            videos=videos,
            output=output,
            scale=scale,
            preset=one_of(Preset, preset, "--preset"),
            stage=one_of(Stage, stage, "--stage"),
            init=init,
            grow=grow,
            restart=restart,
            validation=validation,
            validation_share=validation_share,
            cache=cache,
            degradation=one_of(Degradation, degradation, "--degradation"),
            versions=versions,
            clean_share=clean_share,
            degraded_share=degraded_share,
            degraded_detail=None
            if degraded_detail is None
            else one_of(DegradedDetail, degraded_detail, "--degraded-detail"),
            clips_per_file=clips_per_file,
            clip_frames=clip_frames,
            crop=crop,
            shrink=shrink,
            flat_share=flat_share,
            blocks=blocks,
            channels=channels,
            activation=None
            if activation is None
            else one_of(Literal["prelu", "relu", "leaky_relu"], activation, "--activation"),
            body=None if body is None else one_of(Literal["residual", "plain"], body, "--body"),
            discriminator=None
            if discriminator is None
            else one_of(Form, discriminator, "--discriminator"),
            optimizer=None if optimizer is None else one_of(OptimizerName, optimizer, "--optimizer"),
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
            perceptual_layers=_weighted_layers(perceptual_layer),
            adversarial_loss=None
            if adversarial_loss is None
            else one_of(AdversarialLoss, adversarial_loss, "--adversarial-loss"),
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
            lpips_weights=options.lpips_weights(lpips_alexnet, lpips_heads),
            tensorboard=tensorboard,
        )
        from vidsr.pipelines.train import train

        report = train(config, console)
        if json:
            console.json(report.to_json())
        else:
            console.result(report.summary())


def _weighted_layers(texts: list[str] | None) -> tuple[tuple[str, float], ...] | None:
    if not texts:
        return None
    return () if texts == ["none"] else tuple(_weighted_layer(text) for text in texts)


def _weighted_layer(text: str) -> tuple[str, float]:
    layer, equals, weight = text.partition("=")
    try:
        return layer, float(weight) if equals else 1.0
    except ValueError as error:
        raise UsageError(f"--perceptual-layer takes layer=weight, not {text!r}") from error
