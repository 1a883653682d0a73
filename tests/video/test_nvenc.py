"""NVENC's options and formats as far as they can be seen without a card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.video.segments import (
    DISPLAY_P3,
    HDR10,
    encoding_for,
    flat,
    info_of,
    noise,
    read_back,
    samples,
)
from vidsr.config import EncodeConfig
from vidsr.errors import OutputError, UsageError
from vidsr.frames import ColorSpec
from vidsr.video import encoders
from vidsr.video.encoder_kinds import CODECS, NVENC
from vidsr.video.encoders import Encoding, resolve_encoding
from vidsr.video.writer import VideoWriter

SDR = ColorSpec()
FINE = replace(SDR, subsampling=(1, 1))
RGB = ColorSpec("rgb", 1, 13, "full", 8, (1, 1))

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every encoder opened."""
    monkeypatch.setattr(encoders, "_try_to_open", lambda *_: None)


def resolve(encoder: str, color: ColorSpec = SDR, **config: object) -> Encoding:
    return encoding_for(info_of(color, size=(480, 640)), "out.mkv", codec=encoder, **config)


@pytest.mark.parametrize(
    ("color", "pixel_format", "depth"),
    [
        (SDR, "yuv420p", 8),
        (replace(SDR, depth=10), "p010le", 10),
        (replace(SDR, depth=12), "p010le", 10),  # sixteen bits would be taken, and ten be stored
        (FINE, "yuv444p", 8),
        (replace(FINE, depth=10), "yuv444p10msble", 10),
        (replace(SDR, subsampling=(1, 2)), "yuv444p", 8),
        (RGB, "gbrp", 8),  # packed RGB would become 4:2:0 without a word
        (replace(RGB, depth=16), "gbrp10msble", 10),
        (replace(SDR, alpha=True), "yuv420p", 8),
    ],
)
@pytest.mark.parametrize("encoder", sorted(NVENC))
def test_frames_are_given_as_the_encoder_stores_them(
    opens: None, encoder: str, color: ColorSpec, pixel_format: str, depth: int
) -> None:
    encoding = resolve(encoder, color)
    assert (encoding.pixel_format, encoding.color.depth) == (pixel_format, depth)
    assert bool(encoding.notices) == (color.depth > depth or color.alpha)


@pytest.mark.parametrize("encoder", sorted(NVENC))
def test_crf_and_preset_are_its_own(opens: None, encoder: str) -> None:
    usual = resolve(encoder).options
    assert (usual["rc"], usual["b"], usual["preset"]) == ("vbr", "0", "p6")
    assert 0 < float(usual["cq"]) < 30
    asked = resolve(encoder, crf=23.5, preset="p1").options
    assert (asked["cq"], asked["preset"]) == ("23.5", "p1")
    with pytest.raises(UsageError, match="must be one of p1, p2"):
        resolve(encoder, preset="medium")
    with pytest.raises(UsageError, match=f"--crf for {encoder} must be from 1 to"):
        resolve(encoder, crf=0)


def test_it_is_never_what_a_word_means() -> None:
    assert not NVENC & set(CODECS.values())


def test_hdr_metadata_that_is_left_out_is_told(opens: None) -> None:
    info = info_of(HDR10, size=(480, 640), hdr=DISPLAY_P3)
    encoding = resolve_encoding(info, Path("out.mkv"), EncodeConfig(codec="hevc_nvenc"))
    assert encoding.notices == ("hevc_nvenc cannot be given the HDR metadata; --codec hevc can",)


@no_gpu
@pytest.mark.parametrize("encoder", sorted(NVENC))
@pytest.mark.parametrize("preset", ["p1", "p7"])
@pytest.mark.parametrize("color", [SDR, replace(SDR, depth=10)], ids=["8", "10"])
def test_ffmpeg_takes_every_option_and_misses_the_driver_alone(
    encoder: str, preset: str, color: ColorSpec
) -> None:
    with pytest.raises(OutputError) as refusal:
        resolve(encoder, color, preset=preset, crf=30)
    codec = encoder.removesuffix("_nvenc")
    pixel_format = "yuv420p" if color.depth == 8 else "p010le"
    told = f"out.mkv: {encoder} does not open for 640x480 {pixel_format}: cannot load "
    assert str(refusal.value).startswith(told)
    assert str(refusal.value).endswith(f"; --codec {codec} needs no card")


@no_gpu
def test_a_value_that_ffmpeg_does_not_know_is_told_first() -> None:
    with pytest.raises(OutputError) as refusal:
        resolve("h264_nvenc", options=(("rc", "nonsense"),))
    assert "nonsense" in str(refusal.value)


@pytest.mark.parametrize("name", ["yuv444p10msble", "gbrp10msble"])
def test_ten_bits_lie_at_the_top_of_sixteen(tmp_path: Path, name: str) -> None:
    color = replace(FINE, depth=10) if name.startswith("yuv") else replace(RGB, depth=10)
    batch = noise(color, (0,), size=(10, 18))
    with VideoWriter(
        tmp_path / "a.nut", info_of(color, size=(10, 18)), Encoding("rawvideo", {}, name, color, 1)
    ) as writer:
        writer.write(batch)
    planes = [plane[0] << 6 for plane in batch.planes]
    if name.startswith("gbrp"):
        planes = [planes[1], planes[2], planes[0]]
    with av.open(tmp_path / "a.nut") as container:
        packet = next(container.demux(video=0))
    assert bytes(packet) == np.stack(planes).tobytes()


@pytest.mark.gpu
@pytest.mark.parametrize("encoder", sorted(NVENC))
@pytest.mark.parametrize("color", [SDR, replace(SDR, depth=10), FINE], ids=["8", "10", "4:4:4"])
def test_a_real_card_encodes_what_it_is_given(tmp_path: Path, encoder: str, color: ColorSpec) -> None:
    """Every frame, in order, in its own brightness; H.264 of ten bits only the newest cards encode."""
    size = (480, 640)
    try:
        encoding = encoding_for(info_of(color, size=size), "out.mkv", codec=encoder)
    except OutputError as reason:
        pytest.skip(str(reason))  # cards differ in what they encode, and some encode nothing
    path = tmp_path / "a.nut"
    with VideoWriter(path, info_of(color, size=size), encoding) as writer:
        writer.write(flat(color, [3000 * index for index in range(12)], size=size))
    unit = 1 << (color.depth - 8)
    brightness = [float(samples(frame, 0, size).mean()) / unit for frame in read_back(path)]
    assert [round((level - 40) / 7) for level in brightness] == list(range(12))
