"""`vidsr plan`: what a job would take, measured on samples of the file."""

from __future__ import annotations

from typing import Annotated

import typer

from vidsr.cli import options
from vidsr.cli.speaking import speaking, stop_on_sigterm
from vidsr.console import Console


def plan(
    input: options.LookedAt,
    output: options.WouldBeOutput = None,
    scale: options.Scale = None,
    width: options.Width = None,
    height: options.Height = None,
    model: options.Model = "auto",
    fast: options.Fast = False,
    detail: options.Detail = None,
    backend: options.Backend = "auto",
    precision: options.Precision = "auto",
    hwaccel: options.HwAccel = "auto",
    tile: options.Tile = None,
    batch: options.Batch = None,
    skip: options.Skip = True,
    video_stream: options.VideoStream = None,
    fps: options.Fps = None,
    deinterlace: options.Deinterlace = True,
    codec: options.Codec = None,
    crf: options.Crf = None,
    preset: options.EncoderPreset = None,
    pix_fmt: options.PixFmt = None,
    encoder_options: options.EncoderOptions = None,
    drop_incompatible: options.DropIncompatible = False,
    score: options.Score = True,
    seconds: Annotated[
        float, typer.Option(help="About how long each model is measured on each backend.")
    ] = 5.0,
    json: options.Json = False,
) -> None:
    """Measure what upscale would take: time, memory, size and disk, for each model and backend here.

    A few frames spread over the video are enlarged and encoded for real, and thrown away.
    """
    console = Console(quiet=json)
    stop_on_sigterm()
    with speaking(console):
        from vidsr.config import (
            BackendName,
            ForecastConfig,
            HwAccel,
            UpscaleConfig,
            UpscalePrecision,
            one_of,
        )

        job = UpscaleConfig(
            input=input,
            output=output or options.beside(input, scale),
            scale=scale,
            width=width,
            height=height,
            model=options.model_of(model, fast),
            detail=detail,
            backend=one_of(BackendName, backend, "--backend"),
            precision=one_of(UpscalePrecision, precision, "--precision"),
            hwaccel=one_of(HwAccel, hwaccel, "--hwaccel"),
            tile=tile,
            batch=batch,
            skip=skip,
            video_stream=video_stream,
            fps=options.rate(fps),
            deinterlace=deinterlace,
            drop_incompatible=drop_incompatible,
            score=score,
            encode=options.encoding(codec, crf, preset, pix_fmt, encoder_options),
        )
        from vidsr.pipelines.forecast import forecast
        from vidsr.pipelines.forecast_report import WAY_TITLES

        found = forecast(ForecastConfig(job, seconds), console)
        if json:
            console.json(found.to_json())
            return
        console.facts((*found.description.facts, *found.facts))
        console.table("\nStreams", ("#", "kind", "what", "in the output"), found.description.streams)
        console.table("\nMeasured", WAY_TITLES, found.rows)
        for notice in (*found.description.notices, *found.notices):
            console.result(f"! {notice}")
