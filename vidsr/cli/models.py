"""`vidsr models` and `vidsr export`: what is shipped, and making the 8-bit form of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidsr.cli import options
from vidsr.cli.speaking import speaking
from vidsr.console import Console


def models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show this model's card.")] = None,
    json: options.Json = False,
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


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A shipped model, a weights file, or a folder of train; both sets of it.",
        ),
    ],
    images: Annotated[Path, typer.Option(help="Folder of pictures such as it was trained on.")],
    scale: Annotated[int, typer.Option(help="Which scale of a shipped model.")] = 4,
    output: Annotated[
        Path | None,
        typer.Option(help="Where to write, for one set.", show_default="beside each set"),
    ] = None,
    most_loss: Annotated[float, typer.Option(help="Most PSNR that 8 bits may cost, dB.")] = 0.1,
) -> None:
    """Calibrate a model for 8-bit arithmetic on CPUs; `upscale` then uses it by itself."""
    console = Console()
    with speaking(console):
        from vidsr.pipelines.export import export as calibrate

        report = calibrate(model, scale, images, output, most_loss, console)
        console.result(report)
