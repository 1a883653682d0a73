"""What was measured once on this machine, kept in the user's cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from vidsr.errors import OutputError
from vidsr.video.durable import write_whole


def measured_once(
    file: Path, subject: str, measure: Callable[[], Mapping[str, float]]
) -> Mapping[str, float]:
    """The numbers that `file` holds for a subject; measured now and added to it where it has none.

    `subject` names all that the numbers depend on: two runs of one command must decide alike, or the
    second could not go on where the first stopped. Nothing is kept of an empty result. A file that is
    damaged is begun anew; where it cannot be written the question is asked anew each time.
    """
    known = recall(file)
    if subject not in known:
        found = dict(measure())
        if found:
            keep(file, subject, found)
        return found
    return known[subject]


def keep(file: Path, subject: str, found: Mapping[str, float]) -> None:
    """Put numbers into the file, in the place of earlier ones of this subject."""
    # Read now: another run may have added its own while these were measured.
    known = {**recall(file), subject: dict(found)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(known, indent=1).encode())
    except (OSError, OutputError):
        pass  # a read-only home: a slower start, nothing worse


def recall(file: Path) -> dict[str, dict[str, float]]:
    """What earlier runs measured, by subject; empty where nothing can be read."""
    try:
        return {
            str(subject): {str(name): float(number) for name, number in numbers.items()}
            for subject, numbers in json.loads(file.read_bytes()).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
