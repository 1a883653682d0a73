"""What an examination of the machine found: values for programs, tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vidsr.pipelines.backend_check import SIZE, BackendCheck
from vidsr.pipelines.forecast_report import size
from vidsr.video.ffmpeg import EncoderState

BACKEND_TITLES = ("backend", "state", "precision", f"frames/s at {SIZE[1]}x{SIZE[0]}", "from fp32")
ENCODER_TITLES = ("--codec", "encoder", "state")


@dataclass(frozen=True)
class BackendState:
    """A backend, and whether it runs."""

    name: str
    check: BackendCheck | None  # None: it does not
    reason: str | None  # why not
    remedy: str | None  # what would help, where that is known

    def row(self) -> tuple[str, ...]:
        """Of the table."""
        if self.check is None:
            return self.name, "no", "", "", ""
        found = self.check
        distance = "equal" if found.psnr_db >= 100 else f"{found.psnr_db:.1f} dB"
        return self.name, "works", found.precision, f"{found.frames_s:.3g}", distance


@dataclass(frozen=True)
class FolderState:
    """A place on the disk where vidsr keeps what it can make again."""

    name: str
    path: str
    files: int
    bytes: int
    writable: bool

    def fact(self) -> tuple[str, str]:
        """For a person."""
        held = f"{self.files} files, {size(self.bytes)}" if self.files else "empty"
        return self.name, f"{self.path} ({held}{'' if self.writable else ', not writable'})"


@dataclass(frozen=True)
class Diagnosis:
    """What this machine can run."""

    version: str  # of vidsr
    versions: Mapping[str, str]  # of the libraries found
    processor: str
    cores: int
    multiplies_bytes: bool  # in one instruction: 8 bits are sure to pay
    memory_bytes: int | None
    card: str | None
    models: tuple[str, ...]
    backends: tuple[BackendState, ...]  # the ladder, fastest first
    encoders: tuple[EncoderState, ...]
    no_card_decoder: str | None  # why no card can decode; None: FFmpeg opens one
    folders: tuple[FolderState, ...]
    extras: Mapping[str, str]  # what is optional and missing: the command that installs it

    @property
    def works(self) -> bool:
        """Whether a video can be enlarged here: something computes, something encodes."""
        return any(state.check for state in self.backends) and any(
            state.refusal is None for state in self.encoders
        )

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Names and what they are."""
        memory = "" if self.memory_bytes is None else f", {size(self.memory_bytes)} of memory"
        in_bytes = ", with products of bytes" if self.multiplies_bytes else ""
        return (
            ("vidsr", self.version),
            ("libraries", ", ".join(f"{name} {found}" for name, found in self.versions.items())),
            ("processor", f"{self.processor}, {self.cores} cores{in_bytes}{memory}"),
            ("card", self.card or "none found"),
            ("decoder", f"software{self._and_card}"),
            ("models", ", ".join(self.models)),
            *(folder.fact() for folder in self.folders),
        )

    @property
    def _and_card(self) -> str:
        if self.no_card_decoder is None:
            return ", or a card's with --hwaccel cuda"
        return f" alone: {self.no_card_decoder}"

    @property
    def encoder_rows(self) -> list[tuple[str, str, str]]:
        """What encodes: all that --codec names, and those of cards that open."""
        return [
            (state.codec, state.encoder, "opens" if state.refusal is None else state.refusal)
            for state in self.encoders
            if state.refusal is None or state.codec != state.encoder
        ]

    @property
    def notices(self) -> tuple[str, ...]:
        """What is missing, and what brings it."""
        said = []
        for state in self.backends:
            if state.reason is not None:
                said.append(
                    f"{state.name}: {state.reason}" + (f"; {state.remedy}" if state.remedy else "")
                )
        said += [f"{name} is not installed: {command}" for name, command in self.extras.items()]
        return tuple(said)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "works": self.works}
