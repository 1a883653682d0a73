from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.packet import Packet

from tests.synthetic import make_video
from vidsr.errors import InputError
from vidsr.frames import HdrMetadata, Siting, VideoInfo
from vidsr.video.image_tags import ImageTags, add_tags
from vidsr.video.reader import VideoReader


def info(path: Path) -> VideoInfo:
    return VideoReader(path).info


def test_what_is_known_before_the_first_frame(tmp_path: Path) -> None:
    found = info(make_video(tmp_path / "a.mp4", frames=10, size=(48, 64), audio=1))
    assert (found.width, found.height) == (64, 48)
    assert (found.codec, found.pixel_format) == ("h264", "yuv420p")
    assert found.frame_count == 10
    assert found.frame_rate == 25
    assert found.duration_s == pytest.approx(0.4)
    assert found.time_base == Fraction(1, 12800)
    assert found.sample_aspect_ratio == 1
    assert found.rotation == 0
    assert found.display_matrix is None
    assert found.hdr is None
    assert not found.interlaced


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_the_shape_of_a_pixel_is_read(tmp_path: Path, name: str) -> None:
    assert info(make_video(tmp_path / name, sar=Fraction(64, 45))).sample_aspect_ratio == Fraction(
        64, 45
    )


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_rotation_is_read_as_it_is_tagged(tmp_path: Path, degrees: int) -> None:
    found = info(make_video(tmp_path / "a.mp4", rotation=degrees))
    assert found.rotation % 360 == degrees % 360
    assert found.display_matrix is not None
    a, b, _, c, d, _, _, _, w = found.display_matrix
    assert w == 1 << 30
    one = 1 << 16
    expected = {90: (0, -one, one, 0), 180: (-one, 0, 0, -one), -90: (0, one, -one, 0)}
    assert (a, b, c, d) == expected[degrees]
    assert (found.width, found.height) == (64, 48), "a tag, not a size"


def test_a_camera_s_jpegs_with_exif_are_read(tmp_path: Path) -> None:
    # Little-endian TIFF, one directory entry: orientation (0x0112) 6, to be turned clockwise.
    exif = b"II*\x00" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    plain = make_video(tmp_path / "plain.mkv", codec="mjpeg", pix_fmt="yuvj420p", frames=3)
    path = tmp_path / "exif.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_mux_stream("mjpeg", width=64, height=48, rate=25)
        for packet in source.demux(video=0):
            if packet.size:
                tagged = Packet(add_tags(bytes(packet), ImageTags(exif=exif)))
                tagged.pts, tagged.dts, tagged.time_base = packet.pts, packet.dts, packet.time_base
                tagged.stream, tagged.is_keyframe = stream, True
                target.mux_one(tagged)
    found = info(path)
    one = 1 << 16
    assert found.rotation == -90
    assert found.display_matrix == (0, one, 0, -one, 0, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("codec", "options", "siting"),
    [
        ("libx264", {}, "left"),
        ("libx264", {"x264-params": "chromaloc=1"}, "center"),
        ("libx264", {"x264-params": "chromaloc=2"}, "topleft"),
        ("libx264", {"x264-params": "chromaloc=3"}, "top"),
        ("libx265", {"x265-params": "log-level=none:chromaloc=2"}, "topleft"),
        ("libsvtav1", {"svtav1-params": "lp=1:chroma-sample-position=topleft"}, "topleft"),
        ("libsvtav1", {"svtav1-params": "lp=1:chroma-sample-position=vertical"}, "left"),
        ("mpeg2video", {}, "left"),
        ("mjpeg", {}, "center"),
    ],
)
@pytest.mark.parametrize("suffix", [".mkv", ".nut"])
def test_where_chroma_lies_is_read_from_the_headers(
    tmp_path: Path, codec: str, options: dict[str, str], siting: Siting, suffix: str
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make_video(
        tmp_path / f"a{suffix}", codec=codec, pix_fmt=pix_fmt, size=(64, 64), frames=2, options=options
    )
    assert info(path).color.siting == siting


def test_headers_are_read_alike_by_many_threads(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=2, options={"x264-params": "chromaloc=2"})
    with ThreadPoolExecutor(6) as pool:
        sitings = {found.color.siting for found in pool.map(info, [path] * 24)}
    assert sitings == {"topleft"}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, ("bt601", 1, 1, "limited")),
        ({"matrix": 1, "primaries": 1, "transfer": 1, "range": 1}, ("bt709", 1, 1, "limited")),
        ({"matrix": 6, "primaries": 6, "transfer": 6, "range": 2}, ("bt601", 6, 6, "full")),
        ({"matrix": 9, "primaries": 9, "transfer": 18, "range": 1}, ("bt2020", 9, 18, "limited")),
    ],
)
def test_colour_tags_are_read(tmp_path: Path, tags: dict[str, Any], expected: tuple[Any, ...]) -> None:
    color = info(make_video(tmp_path / "a.mp4", frames=2, **tags)).color
    assert (color.matrix, color.primaries, color.transfer, color.range) == expected


def test_the_container_s_tags_stand_in_for_those_the_codec_lacks(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mkv", codec="ffv1", frames=2, matrix=1, primaries=1, transfer=1, range=2
    )
    color = info(path).color
    assert (color.matrix, color.range) == ("bt709", "full")


MASTERING = (
    "hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
def test_mastering_display_and_light_levels_are_read(tmp_path: Path, name: str) -> None:
    path = make_video(
        tmp_path / name,
        codec="libx265",
        pix_fmt="yuv420p10le",
        frames=3,
        matrix=9,
        primaries=9,
        transfer=16,
        range=1,
        options={"x265-params": f"log-level=none:repeat-headers=1:{MASTERING}:max-cll=1000,400"},
    )
    found = info(path)
    assert found.color.depth == 10
    assert (found.color.matrix, found.color.transfer) == ("bt2020", 16)

    def chroma(x: int, y: int) -> tuple[Fraction, Fraction]:
        return Fraction(x, 50000), Fraction(y, 50000)

    assert found.hdr == HdrMetadata(
        red=chroma(34000, 16000),
        green=chroma(13250, 34500),
        blue=chroma(7500, 3000),
        white=chroma(15635, 16450),
        luminance=(Fraction(50, 10000), Fraction(1000)),
        max_cll=1000,
        max_fall=400,
    )


def test_pictures_beyond_every_codec_are_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", codec="ffv1", pix_fmt="gray", frames=1, size=(2, 16400))
    with pytest.raises(InputError, match="16400x2"):
        VideoReader(path)
