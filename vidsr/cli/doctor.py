"""`vidsr doctor`: what this machine can run."""

from __future__ import annotations

from vidsr.cli import options
from vidsr.cli.speaking import speaking
from vidsr.console import Console


def doctor(json: options.Json = False) -> None:
    """Try what this machine can run, and say what is missing and how to get it.

    Every backend enlarges a picture for a second and is compared with the exact result; every encoder is
    opened. The exit code is 1 only where nothing works at all.
    """
    console = Console(quiet=json)
    with speaking(console):
        from vidsr.errors import VidsrError
        from vidsr.pipelines.doctor import examine
        from vidsr.pipelines.doctor_report import BACKEND_TITLES, ENCODER_TITLES

        found = examine(console)
        if json:
            console.json(found.to_json())
        else:
            console.facts(found.facts)
            console.table("\nBackends", BACKEND_TITLES, [state.row() for state in found.backends])
            console.table("\nEncoders", ENCODER_TITLES, found.encoder_rows)
            for notice in found.notices:
                console.result(f"! {notice}")
        if not found.works:
            raise VidsrError("nothing here can enlarge a video; the lines above say why")
