"""What an engine is built from and for: everything that can make one invalid, as plain records."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from vidsr.errors import EngineError
from vidsr.inference.engine_files import canonical

Flavour = Literal["tensorrt", "tensorrt_rtx"]

FLAVOURS: tuple[Flavour, ...] = ("tensorrt_rtx", "tensorrt")
"""In order of preference, where a card can run both: the first builds in a second."""

RTX_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""What TensorRT-RTX 1.7 compiles for (its ComputeCapability); Hopper and B200 are not among them."""

DYNAMIC_LEAST = 32
"""The smallest side of a dynamic engine, LR pixels; smaller frames are padded."""


@dataclass(frozen=True)
class ShapeRange:
    """The inputs one engine takes: (frames, height, width), height and width in LR pixels."""

    least: tuple[int, int, int]
    best: tuple[int, int, int]  # what it is tuned for
    greatest: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not all(
            1 <= low <= best <= high
            for low, best, high in zip(self.least, self.best, self.greatest, strict=True)
        ):
            raise ValueError(f"shapes must rise from least to greatest: {self}")

    @classmethod
    def fixed(cls, height: int, width: int, batch: int = 1) -> Self:
        """One size, 1 to `batch` frames: the fastest kind."""
        return cls((1, height, width), (batch, height, width), (batch, height, width))

    @classmethod
    def up_to(cls, height: int, width: int, batch: int = 1) -> Self:
        """Any size up to this one, tuned for this one."""
        least = (1, min(DYNAMIC_LEAST, height), min(DYNAMIC_LEAST, width))
        return cls(least, (batch, height, width), (batch, height, width))

    @property
    def is_fixed(self) -> bool:
        """Whether height and width are one size."""
        return self.least[1:] == self.greatest[1:]

    def takes(self, height: int, width: int) -> bool:
        """Whether frames of this size go in as they are."""
        (_, top, left), (_, bottom, right) = self.least, self.greatest
        return top <= height <= bottom and left <= width <= right

    def __str__(self) -> str:
        ranges = (
            f"{a}" if a == b else f"{a}-{b}" for a, b in zip(self.least, self.greatest, strict=True)
        )
        return "x".join(ranges)


@dataclass(frozen=True)
class EngineKey:
    """All that makes an engine invalid; its text form is the file name."""

    model: str  # the weights' name; for people
    weights_sha: str
    graph_sha: str  # of the ONNX file: weights, rewrites, precision and depth at once
    scale: int
    precision: str  # fp16 or fp32
    depth: str  # "bytes" or "floats": what goes in and out
    shapes: ShapeRange
    tensorrt: str  # flavour and exact version: "tensorrt_rtx 1.7.1.116"
    gpu: str  # the card it was tuned on, or the compute capabilities it was compiled for
    system: str = field(default_factory=lambda: f"{platform.system()}-{platform.machine()}".lower())

    @property
    def text(self) -> str:
        """The file name without its suffix: readable in front, a digest of everything behind."""
        readable = f"{self.model}_x{self.scale}_{self.precision}_{self.depth}_{self.shapes}"
        safe = "".join(c if c.isalnum() or c in "._-" else "-" for c in readable)
        return f"{safe}_{hashlib.sha256(canonical(asdict(self))).hexdigest()[:16]}"

    @property
    def flavour(self) -> Flavour:
        """Which TensorRT runs it."""
        return "tensorrt_rtx" if self.tensorrt.startswith("tensorrt_rtx ") else "tensorrt"

    def differs_in_shapes_only(self, other: EngineKey) -> bool:
        """Whether both run the same network, in the same way, on the same card."""
        return replace(self, shapes=other.shapes) == other

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The key that `asdict` gave. Raises TypeError, ValueError or KeyError where it is none."""
        shapes = ShapeRange(**{name: tuple(sides) for name, sides in values["shapes"].items()})
        return cls(**{**values, "shapes": shapes})


@dataclass(frozen=True)
class Machine:
    """What decides here which engines run: probed once, a plain record."""

    installed: Mapping[Flavour, str]  # flavour to exact version
    gpu: str | None = None  # the card's name, with what distinguishes its memory and processors
    capability: str | None = None  # "8.9"
    driver: str | None = None

    def flavour(self) -> Flavour:
        """The flavour for this machine's card, or the one that builds without a card.

        Raises EngineError where none is installed that does; the message says what to install.
        """
        runs_rtx = self.capability is None or self.capability in RTX_CAPABILITIES
        if runs_rtx and "tensorrt_rtx" in self.installed:
            return "tensorrt_rtx"
        if self.gpu is not None and "tensorrt" in self.installed:
            return "tensorrt"
        if self.gpu is None and "tensorrt" in self.installed:
            raise EngineError(
                "TensorRT builds on the card that it builds for, and there is no NVIDIA GPU here; "
                "pip install 'vidsr-cli[rtx]' builds for GeForce and RTX cards without one"
            )
        if not runs_rtx:
            raise EngineError(
                f"TensorRT is not installed, and TensorRT-RTX does not run on {self.gpu}: "
                "pip install 'vidsr-cli[tensorrt]'"
            )
        raise EngineError("TensorRT-RTX is not installed: pip install 'vidsr-cli[rtx]'")

    def refusal(self, key: EngineKey) -> str | None:
        """Why an engine is stale here, or None."""
        version = self.installed.get(key.flavour)
        if version is None:
            return f"{key.flavour} is not installed"
        if key.tensorrt != f"{key.flavour} {version}":
            return f"built with {key.tensorrt}, installed is {version}"
        if self.gpu is None:
            return None  # built here for other machines
        if key.gpu != self.gpu and self.capability not in key.gpu.split("+"):
            return f"built for {key.gpu}, this is {self.gpu}"
        return None
