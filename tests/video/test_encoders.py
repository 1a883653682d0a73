from __future__ import annotations

import io
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.video.segments import DISPLAY_P3, HDR10, encoding_for, info_of
from vidsr.config import EncodeConfig
from vidsr.errors import OutputError, UsageError
from vidsr.frames import ColorSpec, HdrMetadata
from vidsr.video.containers import container_for
from vidsr.video.encoder_formats import nearest_format, pixel_format, stored_color
from vidsr.video.encoder_kinds import CODECS, KINDS
from vidsr.video.encoders import Encoding, nominal_rate, resolve_encoding
from vidsr.video.hdr_params import hdr_params

SDR = ColorSpec()
RGB = ColorSpec("rgb", 1, 13, "full", 8, (1, 1))
GRAY = ColorSpec("gray", 1, 1, "full", 8, (1, 1))


@pytest.mark.parametrize(
    ("target", "color", "encoder"),
    [
        ("out.mp4", SDR, "libx264"),
        ("out.m4v", SDR, "libx264"),
        ("out.mov", SDR, "libx264"),
        ("out.mkv", SDR, "libx264"),
        ("out.ts", SDR, "libx264"),
        ("out.webm", SDR, "libsvtav1"),
        ("out.avi", SDR, "ffv1"),
        ("out.mp4", HDR10, "libx265"),
        ("out.mkv", replace(SDR, depth=12), "libx265"),
        ("out.mp4", replace(SDR, transfer=18), "libx265"),
        ("out.webm", HDR10, "libsvtav1"),
        ("out.webm", replace(SDR, subsampling=(1, 1)), "libvpx-vp9"),
        ("out.webm", replace(SDR, alpha=True), "libvpx-vp9"),
        ("out.mov", replace(SDR, alpha=True), "prores_ks"),
        ("out.mkv", replace(SDR, alpha=True), "ffv1"),
        ("out.mp4", replace(SDR, alpha=True), "libx264"),
    ],
)
def test_the_container_and_the_source_choose_the_encoder(
    target: str, color: ColorSpec, encoder: str
) -> None:
    assert encoding_for(info_of(color), target).encoder == encoder


def test_frames_wider_than_h264_plays_become_hevc() -> None:
    assert encoding_for(info_of(SDR, size=(16, 4098)), "out.mp4").encoder == "libx265"
    assert encoding_for(info_of(SDR, size=(16, 4096)), "out.mp4").encoder == "libx264"


@pytest.mark.parametrize(
    ("codec", "color", "expected"),
    [
        ("h264", SDR, "yuv420p"),
        ("h264", replace(SDR, range="full"), "yuv420p"),
        ("h264", replace(SDR, subsampling=(1, 2), depth=10), "yuv422p10le"),
        ("h264", replace(SDR, depth=9), "yuv420p10le"),
        ("h264", replace(SDR, subsampling=(1, 4)), "yuv422p"),
        ("h264", replace(SDR, subsampling=(4, 4)), "yuv420p"),
        ("h264", replace(SDR, subsampling=(2, 1)), "yuv444p"),
        ("h264", GRAY, "yuv420p"),
        ("hevc", RGB, "gbrp"),
        ("hevc", replace(RGB, depth=12), "gbrp12le"),
        ("prores", SDR, "yuv422p10le"),
        ("prores", replace(SDR, subsampling=(1, 1)), "yuv444p10le"),
        ("ffv1", RGB, "bgr0"),
        ("ffv1", replace(RGB, alpha=True), "bgra"),
        ("ffv1", GRAY, "gray"),
        ("vp9", replace(SDR, alpha=True), "yuva420p"),
        ("av1", HDR10, "yuv420p10le"),
    ],
)
def test_the_pixel_format_loses_nothing(codec: str, color: ColorSpec, expected: str) -> None:
    target = "out.mov" if codec == "prores" else "out.mkv"
    encoding = encoding_for(info_of(color), target, codec=codec)
    assert encoding.pixel_format == expected
    assert encoding.notices == ()
    assert encoding.color.depth >= color.depth


@pytest.mark.parametrize(
    ("codec", "color", "expected", "told"),
    [
        ("hevc", replace(SDR, depth=16), "yuv420p12le", "16 bits a sample become 12"),
        ("av1", replace(SDR, subsampling=(1, 1)), "yuv420p", "the colour has fewer samples"),
        ("h264", replace(SDR, alpha=True), "yuv420p", "alpha channel is left out"),
        ("h264", RGB, "yuv444p", "RGB is stored as YUV"),
        ("prores", replace(SDR, depth=12), "yuv422p10le", "12 bits a sample become 10"),
        ("vp9", HDR10, "yuv420p", "10 bits a sample become 8"),
        ("prores", replace(SDR, range="full"), "yuv422p10le", "no full range"),
    ],
)
def test_every_loss_is_said(codec: str, color: ColorSpec, expected: str, told: str) -> None:
    encoding = encoding_for(info_of(color), "out.mov" if codec == "prores" else "out.mkv", codec=codec)
    assert encoding.pixel_format == expected
    assert len(encoding.notices) == 1
    assert told in encoding.notices[0]


def test_rgb_that_becomes_yuv_is_limited_bt709() -> None:
    color = encoding_for(info_of(RGB), "out.mp4", codec="h264").color
    assert (color.matrix, color.range, color.depth) == ("bt709", "limited", 8)
    assert (color.primaries, color.transfer) == (1, 13)


def test_gray_keeps_its_levels() -> None:
    assert encoding_for(info_of(GRAY), "out.mp4").color == replace(
        GRAY, matrix="bt709", subsampling=(2, 2), siting="left"
    )


@pytest.mark.parametrize(
    ("siting", "subsampling", "target", "expected"),
    [
        ("topleft", (2, 2), "yuv420p", "topleft"),
        ("topleft", (2, 2), "yuv422p", "left"),
        ("center", (2, 2), "yuv422p", "center"),
        ("center", (1, 2), "yuv420p", "left"),
    ],
)
def test_siting_follows_the_subsampling(
    siting: str, subsampling: tuple[int, int], target: str, expected: str
) -> None:
    layout = pixel_format(target)
    assert layout is not None
    source = ColorSpec(siting=siting, subsampling=subsampling)  # type: ignore[arg-type]
    assert stored_color(source, layout).siting == expected


def test_formats_that_cannot_be_filled_are_unknown() -> None:
    for name in ("yuvj420p", "cuda", "gbrpf16le", "yuv420p10be", "pal8", "monob", "rgb48le", "nonsense"):
        assert pixel_format(name) is None, name
    layout = pixel_format("gbrap10le")
    assert layout is not None
    assert [part.plane for part in layout.components] == [2, 0, 1, 3]


def test_yuv_never_becomes_rgb() -> None:
    rgb = pixel_format("gbrp")
    assert rgb is not None
    with pytest.raises(ValueError, match="yuv"):
        nearest_format(SDR, [rgb])


@pytest.mark.parametrize("codec", CODECS)
def test_defaults_of_each_codec_open(codec: str) -> None:
    targets = {"prores": "out.mov", "ffv1": "out.mkv"}
    encoding = encoding_for(info_of(SDR), targets.get(codec, "out.mp4"), codec=codec)
    assert encoding.codec == codec
    kind = KINDS[encoding.encoder]
    if kind.quality:
        assert encoding.options[kind.quality] == f"{kind.usual:g}"
    if kind.preset:
        assert encoding.options[kind.preset] == kind.usual_preset


def test_the_user_has_the_last_word() -> None:
    encoding = encoding_for(
        info_of(SDR),
        "out.mp4",
        codec="hevc",
        crf=22.5,
        preset="fast",
        pixel_format="yuv420p10le",
        threads=5,
        options=(("x265-params", "aq-mode=3"), ("g", "48")),
    )
    assert encoding.options["crf"] == "22.5"
    assert encoding.options["preset"] == "fast"
    assert encoding.options["g"] == "48"
    assert encoding.options["x265-params"].endswith(":aq-mode=3")
    assert "open-gop=0" in encoding.options["x265-params"]
    assert (encoding.pixel_format, encoding.color.depth, encoding.threads) == ("yuv420p10le", 10, 5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"codec": "h265x"}, "--codec h265x: no such codec; use h264, hevc, av1, vp9, prores, ffv1"),
        ({"crf": 70}, "--crf for libx264 must be from 0 to 51, not 70"),
        ({"codec": "av1", "crf": 20.5}, "whole number"),
        ({"codec": "ffv1", "crf": 3}, "ffv1 has no such scale"),
        ({"codec": "ffv1", "preset": "fast"}, "ffv1 has none"),
        ({"preset": "fastish"}, "must be one of ultrafast, superfast"),
        ({"pixel_format": "yuv420p12le"}, "libx264 takes yuv420p, yuv422p"),
        ({"codec": "vp9", "pixel_format": "yuva420p"}, "the source has none"),
        ({"options": (("tunes", "film"),)}, "no such option; did you mean tune?"),
        ({"options": (("x264-params", "aq-modus=3"),)}, "Error parsing option 'aq-modus = 3'"),
        ({"codec": "hevc", "options": (("x265-params", "aq-modus=3"),)}, "Unknown option: aq-modus"),
        ({"codec": "mjpeg"}, "FFmpeg's default quality is poor"),
    ],
)
def test_what_makes_no_sense_is_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        encoding_for(info_of(SDR), "out.mkv", **config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "config", "message"),
    [
        (
            "out.mp4",
            {"codec": "prores"},
            "out.mp4: .mp4 does not hold prores video; use --codec h264 or",
        ),
        ("out.webm", {"codec": "h264"}, ".webm does not hold h264"),
        ("out.mkv", {"options": (("tune", "nonsense"),)}, "libx264 does not open for 64x48 yuv420p"),
    ],
)
def test_what_cannot_be_is_found_before_the_first_frame(
    target: str, config: dict[str, object], message: str
) -> None:
    with pytest.raises(OutputError) as caught:
        encoding_for(info_of(SDR), target, **config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoder", ["h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv"])
def test_hardware_opens_or_says_why_not(encoder: str) -> None:
    try:
        encoding = encoding_for(info_of(SDR, size=(480, 640)), "out.mp4", codec=encoder)
    except OutputError as error:
        opening, reason = str(error).split(": ", 2)[1:]
        assert opening.startswith(f"{encoder} does not open for 640x480")
        assert len(reason.split(";")[0]) > 10
    except UsageError as error:  # this build of FFmpeg lacks it
        assert "no such codec" in str(error)
    else:
        assert encoding.encoder == encoder


def test_any_encoder_of_ffmpeg_is_taken_with_its_own_options() -> None:
    encoding = encoding_for(
        info_of(SDR), "out.mkv", codec="mpeg4", options=(("qmin", "2"), ("qmax", "2"))
    )
    assert (encoding.encoder, encoding.codec, encoding.pixel_format) == ("mpeg4", "mpeg4", "yuv420p")


def test_threads_are_fixed_and_outside_the_options() -> None:
    encoding = resolve_encoding(info_of(SDR), Path("out.mp4"), EncodeConfig(codec="hevc"))
    assert 1 <= encoding.threads <= 16
    assert "pools" not in encoding.options["x265-params"]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (None, 25),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
        (Fraction(1000), 240),
        (Fraction(1, 60), 1),
        (Fraction(2997003, 100000), Fraction(30000, 1001)),
    ],
)
def test_nominal_rates_are_usable(rate: Fraction | None, expected: Fraction) -> None:
    assert nominal_rate(info_of(SDR, frame_rate=rate)) == expected


def test_hdr_metadata_in_the_words_of_x265() -> None:
    assert hdr_params("libx265", DISPLAY_P3, HDR10) == {
        "x265-params": "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
        "L(10000000,1):max-cll=1000,400:hdr10-opt=1"
    }


def test_part_of_the_hdr_metadata_is_kept() -> None:
    light = HdrMetadata(max_cll=500)
    assert hdr_params("libx264", light, HDR10) == {"x264-params": "cll=500,0"}
    assert hdr_params("libx264", HdrMetadata(), HDR10) == {}
    assert hdr_params("ffv1", DISPLAY_P3, HDR10) == {}


def test_an_encoding_survives_the_manifest() -> None:
    encoding = encoding_for(info_of(replace(HDR10, alpha=True), hdr=DISPLAY_P3), "out.mp4")
    assert encoding.notices
    again = Encoding.from_json(json.loads(json.dumps(encoding.as_json())))
    assert again == replace(encoding, notices=())


def test_probing_leaves_the_log_as_it_was() -> None:
    before = av.logging.get_level()
    encoding_for(info_of(SDR), "out.mp4")
    assert av.logging.get_level() == before


def test_video_too_narrow_for_x265_is_refused() -> None:
    with pytest.raises(OutputError, match="less than 64 pixels wide"):  # it would crash
        encoding_for(info_of(HDR10, size=(48, 62)), "out.mp4")


@pytest.mark.parametrize("name", KINDS["rawvideo"].formats)
def test_nut_says_which_format_raw_frames_have(name: str) -> None:
    assert read_back("nut", name) == name


@pytest.mark.parametrize("name", sorted(container_for(Path("x.mkv")).raw_formats or ()))
def test_matroska_says_which_format_raw_frames_have(name: str) -> None:
    assert read_back("matroska", name) == name


def read_back(container: str, name: str) -> str:
    """The format of a raw frame after it went through a container."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=container) as target:
        stream = target.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 24, 16, name
        frame = av.VideoFrame(24, 16, name)
        for plane in frame.planes:
            # What its memory held before may be another video, which FFmpeg's probe then finds instead.
            plane.update(bytes(plane.buffer_size))
        for packet in stream.encode(frame):
            target.mux(packet)
        target.close()
        with av.open(io.BytesIO(memory.getvalue())) as source:
            return next(source.decode(video=0)).format.name


def test_raw_frames_for_matroska_are_of_a_format_that_it_knows() -> None:
    encoding = encoding_for(info_of(replace(SDR, depth=10)), "out.mkv", codec="rawvideo")
    assert encoding.pixel_format == "yuv420p"
    assert any("10 bits a sample become 8" in notice for notice in encoding.notices)
