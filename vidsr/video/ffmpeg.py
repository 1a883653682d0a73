"""The FFmpeg that comes with PyAV: its version, and which encoders open here."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from vidsr.config import EncodeConfig
from vidsr.errors import OutputError
from vidsr.video.encoder_kinds import CODECS, KINDS

TRIED = (360, 640)
"""The size (height, width) that encoders are opened for: all of them take it, cards' included."""


@dataclass(frozen=True)
class EncoderState:
    """Whether an encoder can be used here."""

    codec: str  # as --codec takes it
    encoder: str  # FFmpeg's name
    refusal: str | None  # None: it opens


def ffmpeg_version() -> str:
    """The version that FFmpeg gives itself."""
    return str(av.ffmpeg_version_info)


def encoder_states() -> tuple[EncoderState, ...]:
    """Every encoder that vidsr sets up, opened once: those by the codec's name, then those of cards."""
    # --version needs none of it, and it is heavy.
    from vidsr.frames import ColorSpec, VideoInfo
    from vidsr.video.encoders import resolve_encoding

    height, width = TRIED
    tried = VideoInfo(width, height, Fraction(1, 25), Fraction(25), None, ColorSpec())
    by_name = [*CODECS.items(), *((name, name) for name in KINDS if name not in CODECS.values())]
    states = []
    for codec, encoder in by_name:
        refusal = None
        try:
            resolve_encoding(tried, Path("trial.mkv"), EncodeConfig(codec=codec))
        except OutputError as error:
            refusal = str(error).removeprefix("trial.mkv: ")
        states.append(EncoderState(codec, encoder, refusal))
    return tuple(states)
