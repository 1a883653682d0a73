"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

from vidsr.errors import UsageError


def lpips_weights(alexnet: Path | None, heads: Path | None) -> tuple[Path, Path] | None:
    """The two files that LPIPS needs, or None; UsageError where one of them is missing."""
    if (alexnet is None) != (heads is None):
        raise UsageError("--lpips-alexnet and --lpips-heads go together: give both")
    return None if alexnet is None or heads is None else (alexnet, heads)
