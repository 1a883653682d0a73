"""How a file was made: one line of text that vidsr writes into its output and finds again.

    vidsr/0.1.0 model=srgan-lite sha256=4e1f... factor=4 from=320x180 backend=openvino precision=int8

The form is that of a product token with facts behind it (as HTTP's User-Agent has them, RFC 9110,
10.1.5); values are percent-encoded, so that none holds a space. What was enlarged twice has two such
lines, the later one first, with "; " between them.

Where it lies, as FFmpeg's muxers keep it and its demuxers find it: MP4 as the encoding tool, which is
the very place for it; MOV in an XMP packet as the creator tool (its own fields are few, and FFmpeg
overwrites the right one); Matroska, WebM and NUT as a tag VIDSR; AVI as the technician. Transport
streams have no place. No tag of the source's is given up for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from vidsr.errors import InputError
from vidsr.network_name import network_name
from vidsr.video.image_tags import read_tags
from vidsr.video.plan import OWN_MARK, RemuxPlan, file_tags
from vidsr.video.source import open_input
from vidsr.video.stills import is_still
from vidsr.video.xmp import creator_of, creator_packet

_TAGS = {
    "mp4": "encoding_tool",
    "mov": "xmp",
    "matroska": "vidsr",
    "webm": "vidsr",
    "nut": "vidsr",
    "avi": "encoded_by",
}
"""By muxer, the name of the tag that it keeps; none of it is anything that players show as a title."""

_SEPARATOR = "; "


@dataclass(frozen=True)
class Provenance:
    """What made an output of one input: all that decides its picture, but for the encoder's settings."""

    version: str  # of vidsr
    model: str
    sha256: str  # of the weights
    factor: int  # the network's own
    size: tuple[int, int]  # width, height of the input
    backend: str
    precision: str
    detail: float | None = None  # of a model with two sets of weights

    def __str__(self) -> str:
        facts = {
            "model": self.model,
            "sha256": self.sha256,
            "factor": str(self.factor),
            "from": f"{self.size[0]}x{self.size[1]}",
            "backend": self.backend,
            "precision": self.precision,
        }
        if self.detail is not None:
            facts["detail"] = f"{self.detail:g}"
        words = [f"{key}={quote(value, safe='')}" for key, value in facts.items()]
        return " ".join([f"{OWN_MARK}{quote(self.version, safe='')}", *words])

    @classmethod
    def parse(cls, text: str) -> Provenance:
        """The inverse of `str`; facts of later versions are passed over. Raises ValueError."""
        product, *words = text.split()
        if not product.startswith(OWN_MARK):
            raise ValueError(f"not by vidsr: {product!r}")
        facts = {key: unquote(value) for key, _, value in (word.partition("=") for word in words)}
        width, _, height = facts.get("from", "").partition("x")
        try:
            return cls(
                version=unquote(product.removeprefix(OWN_MARK)),
                model=facts["model"],
                sha256=facts["sha256"],
                factor=int(facts["factor"]),
                size=(int(width), int(height)),
                backend=facts["backend"],
                precision=facts["precision"],
                detail=float(facts["detail"]) if "detail" in facts else None,
            )
        except KeyError as error:
            raise ValueError(f"nothing is said of {error}") from error

    @property
    def summary(self) -> str:
        """The same for a person."""
        name = network_name(self.model, self.detail, self.factor)
        return (
            f"vidsr {self.version}, from {self.size[0]}x{self.size[1]} by {name}"
            f" ({self.sha256[:12]}), on {self.backend}, {self.precision}"
        )


def history(path: Path) -> str:
    """What a file says of how vidsr made it, the last time first; empty for every other file.

    Raises InputError where it cannot be opened.
    """
    if is_still(path):
        try:
            return _ours(read_tags(path.read_bytes()).software)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {(error.strerror or '').lower()}") from error
    with open_input(path, xmp=True) as container:
        return history_in(container.metadata)


def history_in(metadata: Mapping[str, str]) -> str:
    """The same of the tags of a file that is open."""
    found = (_ours(creator_of(value)) for value in metadata.values())
    return next((text for text in found if text), "")


def read_history(text: str) -> tuple[Provenance, ...]:
    """The steps of a history, the last one first; what cannot be understood is left out."""
    steps = []
    for part in text.split(_SEPARATOR):
        try:
            steps.append(Provenance.parse(part))
        except ValueError:
            continue
    return tuple(steps)


def made_by(step: Provenance, before: str) -> str:
    """The history of what `step` made of a file with the history `before`."""
    return f"{step}{_SEPARATOR}{before}" if before else str(step)


def provenance_tags(plan: RemuxPlan, text: str, source: Mapping[str, str]) -> dict[str, str]:
    """The tag that says `text` in the result of a plan; empty where there is no room for it.

    `source` are the tags of the plan's source, which stay as they are.
    """
    name = "vidsr" if plan.all_tags else _TAGS.get(plan.container)
    if name is None or name in {key.lower() for key in file_tags(source)}:
        return {}
    return {name: creator_packet(text) if name == "xmp" else text}


def _ours(text: str) -> str:
    return text if text.startswith(OWN_MARK) else ""
