from __future__ import annotations

import re

import pytest

from vidsr.video import ffmpeg
from vidsr.video.encoder_kinds import CODECS, KINDS
from vidsr.video.ffmpeg import encoder_states, ffmpeg_version


def test_the_version_is_ffmpeg_s_own() -> None:
    assert re.match(r"n?\d+\.\d+", ffmpeg_version())


def test_every_encoder_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    some = ("h264", "hevc", "ffv1")
    monkeypatch.setattr(ffmpeg, "KINDS", {CODECS[codec]: KINDS[CODECS[codec]] for codec in some})
    monkeypatch.setattr(ffmpeg, "CODECS", {codec: CODECS[codec] for codec in some})
    # A width that x265 does not take, and the others do.
    monkeypatch.setattr(ffmpeg, "TRIED", (32, 32))
    h264, hevc, ffv1 = encoder_states()
    assert (h264.codec, h264.encoder, h264.refusal) == ("h264", "libx264", None)
    assert ffv1.refusal is None
    assert hevc.refusal is not None and hevc.refusal.startswith("libx265 takes no video")
