"""How work reports itself upwards, without knowing who listens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True)
class Started:
    """A task of known or unknown size begins."""

    task: str  # "upscale", "join", "prove", "train", "cache" ...
    total: int | None  # in units of the task
    unit: str = "frames"
    done: int = 0  # already finished when it starts: a resumed job


@dataclass(frozen=True)
class Advanced:
    """A task went on; all counts are totals so far."""

    task: str
    done: int
    bottleneck: str | None = None  # the stage the others wait for: "decode", "network", "encode"
    values: dict[str, float] = field(default_factory=dict)  # named numbers worth showing (losses)


@dataclass(frozen=True)
class Finished:
    """A task came to its end."""

    task: str


@dataclass(frozen=True)
class Notice:
    """Something a user should know; never an error."""

    text: str
    level: Literal["info", "warning"] = "info"


Event = Started | Advanced | Finished | Notice


class Progress(Protocol):
    """Whoever wants to know. Called from any thread; must not raise and not block for long."""

    def __call__(self, event: Event) -> None: ...


def silent(event: Event) -> None:
    """Listen to nothing: the default of every Python call."""


class Notes:
    """Passes every event on, and keeps what the notices said."""

    def __init__(self, listener: Progress) -> None:
        self._listener = listener
        self.texts: list[str] = []

    def __call__(self, event: Event) -> None:
        """Keep the text of a notice; from any thread."""
        if isinstance(event, Notice):
            self.texts.append(event.text)
        self._listener(event)
