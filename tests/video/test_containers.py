from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import pytest

from vidsr.errors import UsageError
from vidsr.video.containers import CONTAINERS, Container, codec_of, container_for, known_suffixes


@pytest.mark.parametrize("suffix", known_suffixes())
def test_every_known_ending_has_one_container_whose_muxer_exists(suffix: str) -> None:
    container = container_for(Path("film" + suffix.upper()))
    assert suffix in container.suffixes
    assert sum(suffix in other.suffixes for other in CONTAINERS) == 1
    assert container.muxer in av.formats_available


def test_an_unknown_ending_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"film\.mpg3: '\.mpg3' is no video file.*\.mkv.*\.mp4|\.mp4.*\.mkv"
    ):
        container_for(Path("film.mpg3"))
    with pytest.raises(UsageError, match="no ending"):
        container_for(Path("film"))


@pytest.mark.parametrize(
    ("encoder", "codec"),
    [
        ("libx264", "h264"),
        ("libx265", "hevc"),
        ("libsvtav1", "av1"),
        ("prores_ks", "prores"),
        ("hevc", "hevc"),
        ("libvpx-vp9", "vp9"),
    ],
)
def test_an_encoder_is_known_by_its_codec(encoder: str, codec: str) -> None:
    assert codec_of(encoder) == codec


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(UsageError, match="'x267' is no codec"):
        codec_of("x267")


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container.muxer)
def test_the_table_agrees_with_the_muxer_on_the_video_codecs(container: Container) -> None:
    with av.open(io.BytesIO(), "w", format=container.muxer) as output:
        for codec in container.video:
            stream = output.add_mux_stream(codec, width=64, height=48)
            assert stream.type == "video"


def test_matroska_has_one_clock_of_milliseconds() -> None:
    memory = io.BytesIO()
    with av.open(memory, "w", format="matroska") as output:
        stream = output.add_mux_stream("mpeg4", width=64, height=48, time_base=Fraction(1, 90000))
        output.start_encoding()
        assert stream.time_base == container_for(Path("x.mkv")).tick
