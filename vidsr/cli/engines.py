"""`vidsr build-engine` and `vidsr engines`: TensorRT engines, built once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidsr.cli import options
from vidsr.cli.speaking import speaking
from vidsr.console import Console

engines = typer.Typer(help="List, check or delete the engines that were built.", no_args_is_help=True)


def build_engine(
    size: Annotated[
        list[str] | None, typer.Option(help="Size of the videos, WIDTHxHEIGHT; repeatable.")
    ] = None,
    input: Annotated[Path | None, typer.Option(help="A video whose size and depth are taken.")] = None,
    all_common_sizes: Annotated[
        bool, typer.Option("--all-common-sizes", help="The sizes that videos mostly have.")
    ] = False,
    model: options.Model = "auto",
    detail: options.Detail = None,
    scale: options.NativeScale = 4,
    batch: Annotated[int, typer.Option(help="Frames a call, at most.")] = 1,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="One engine for every size up to the given one.")
    ] = False,
    precision: Annotated[str, typer.Option(help="auto, fp16 or fp32.")] = "auto",
    deep: Annotated[
        bool | None,
        typer.Option(
            "--deep/--bytes", help="For more than 8 bits, or not.", show_default="as the input"
        ),
    ] = None,
    workspace: Annotated[int | None, typer.Option(help="MiB that a kernel may use.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Compute capability to build for, as 8.9; repeatable.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build again what is there.")] = False,
    json: options.Json = False,
) -> None:
    """Build TensorRT engines before they are needed."""
    console = Console(quiet=json)
    with speaking(console):
        from vidsr.config import BuildEngineConfig, size_of

        config = BuildEngineConfig(
            model=model,
            detail=detail,
            scale=scale,
            sizes=tuple(size_of(text) for text in size or ()),
            input=input,
            all_common_sizes=all_common_sizes,
            batch=batch,
            dynamic=dynamic,
            precision=precision,  # type: ignore[arg-type]  # refused by the configuration if it is none
            deep=deep,
            workspace_mib=workspace,
            targets=tuple(target or ()),
            rebuild=rebuild,
        )
        from vidsr.pipelines.build_engine import build_engine as build

        report = build(config, console)
        if json:
            console.json(report.to_json())
        else:
            console.result(report.summary())


@engines.command("list")
def list_engines(
    json: options.Json = False,
) -> None:
    """Show every engine that was built."""
    console = Console()
    with speaking(console):
        from vidsr.inference.engines import ROW_TITLES, EngineStore

        store = EngineStore.default()
        entries = store.entries()
        if json:
            console.json([entry.to_json() for entry in entries])
        elif entries:
            console.table("", ROW_TITLES, [entry.row() for entry in entries])
        else:
            console.result(f"no engines in {store.folder}")


@engines.command()
def verify() -> None:
    """Read every engine and check it against its manifest; exit code 1 if one is damaged."""
    console = Console()
    with speaking(console):
        from vidsr.errors import EngineError
        from vidsr.inference.engines import EngineStore

        verdicts = EngineStore.default().verify()
        for name, problem in verdicts:
            console.result(f"{name}: {problem or 'sound'}")
        damaged = sum(problem is not None for _, problem in verdicts)
        if damaged:
            raise EngineError(
                f"{damaged} of {len(verdicts)} engines may not be loaded; see engines prune"
            )


@engines.command()
def prune(
    everything: Annotated[bool, typer.Option("--all", help="Delete every engine.")] = False,
) -> None:
    """Delete engines that cannot be used here: other cards, other versions, damaged files."""
    console = Console()
    with speaking(console):
        from vidsr.inference.engine_builder import probe_machine
        from vidsr.inference.engines import EngineStore

        deleted = EngineStore.default().prune(probe_machine(), everything=everything)
        for name, reason in deleted:
            console.result(f"deleted {name}: {reason}")
        if not deleted:
            console.result("nothing to delete")
