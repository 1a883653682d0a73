"""The command line: options become one configuration, one pipeline call, one exit code."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from vidsr.cli.doctor import doctor
from vidsr.cli.engines import build_engine, engines
from vidsr.cli.look import compare, sample
from vidsr.cli.measure import benchmark, evaluate
from vidsr.cli.models import export, models
from vidsr.cli.plan import plan
from vidsr.cli.process import run
from vidsr.cli.train import train
from vidsr.cli.upscale import info, upscale
from vidsr.console import Console

app = typer.Typer(
    name="vidsr",
    help="Video super-resolution with SRGAN that keeps every frame at its own time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    upscale,
    info,
    plan,
    sample,
    compare,
    models,
    train,
    evaluate,
    benchmark,
    export,
    doctor,
):
    app.command()(command)
app.command("build-engine")(build_engine)
app.add_typer(engines, name="engines")


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Video super-resolution with SRGAN that keeps every frame at its own time."""
    if version:
        import vidsr
        from vidsr.versions import found_versions
        from vidsr.video.ffmpeg import ffmpeg_version

        found = {**found_versions(), "FFmpeg": ffmpeg_version()}
        Console().result(f"vidsr {vidsr.__version__}")
        Console().result(", ".join(f"{name} {number}" for name, number in found.items()))
        raise typer.Exit


def main() -> None:
    """Entry point of the `vidsr` command."""
    # Network, decoder and encoder share the processors: idle OpenMP threads must sleep, not spin.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    run(lambda: app(prog_name="vidsr"))
