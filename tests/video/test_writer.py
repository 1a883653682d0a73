from __future__ import annotations

import json
import subprocess
import textwrap
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from tests.video.segments import (
    DISPLAY_P3,
    HDR10,
    SIZE,
    TICKS,
    encoding_for,
    flat,
    info_of,
    noise,
    plane_sizes,
    read_back,
    samples,
)
from tests.warm import Command
from vidsr.errors import OutputError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.video.encoder_formats import pixel_format
from vidsr.video.encoders import Encoding
from vidsr.video.writer import SegmentRecord, VideoWriter, record_path

LOSSY = ("h264", "hevc", "av1", "vp9", "prores")
TARGETS = {"prores": "out.mov", "ffv1": "out.mkv", "vp9": "out.webm"}
# Times as files have them: uneven, a gap of half an hour, one tick apart.
UNEVEN = (0, 3003, 6006, 9010, 9011, 162_009_011, 162_012_014, 162_013_000, 162_020_000, 162_020_001)


def codec_encoding(codec: str, color: ColorSpec | None = None, **config: object) -> Encoding:
    return encoding_for(
        info_of(color or ColorSpec()), TARGETS.get(codec, "out.mp4"), codec=codec, **config
    )


def write(path: Path, encoding: Encoding, *batches: FrameBatch, **changes: object) -> SegmentRecord:
    info = info_of(encoding.color, size=batches[0].size if batches else SIZE, **changes)
    with VideoWriter(path, info, encoding) as writer:
        for batch in batches:
            writer.write(batch)
    record = SegmentRecord.load(record_path(path))
    assert record is not None
    return record


def seconds(frame: VideoFrame) -> Fraction:
    assert frame.pts is not None
    assert frame.time_base is not None
    return frame.pts * frame.time_base


def assert_same_samples(path: Path, batch: FrameBatch, encoding: Encoding) -> None:
    layout = pixel_format(encoding.pixel_format)
    assert layout is not None
    frames = read_back(path)
    assert len(frames) == len(batch)
    sizes = plane_sizes(batch.color, batch.size)
    for index, frame in enumerate(frames):
        assert frame.format.name == encoding.pixel_format
        for plane, part, size in zip(batch.planes, layout.components, sizes, strict=True):
            found = samples(frame, part.plane, size, part.step, part.offset)
            assert np.array_equal(found >> part.shift, plane[index])


YUV = [("yuv", depth, sub) for depth in (8, 9, 10, 12, 14, 16) for sub in ((2, 2), (1, 2), (1, 1))]
RGB = [("rgb", depth, (1, 1)) for depth in (8, 9, 10, 12, 14, 16)]
GRAY = [("gray", depth, (1, 1)) for depth in (8, 10, 12, 16)]
ODD_ONES = [("yuv", 8, (2, 1)), ("yuv", 8, (1, 4)), ("yuv", 8, (4, 4)), ("yuv", 12, (2, 1))]


@pytest.mark.parametrize(("kind", "depth", "subsampling"), [*YUV, *RGB, *GRAY, *ODD_ONES])
def test_a_lossless_codec_returns_every_bit(
    tmp_path: Path, kind: str, depth: int, subsampling: tuple[int, int]
) -> None:
    matrix = {"yuv": "bt709", "rgb": "rgb", "gray": "gray"}[kind]
    color = ColorSpec(matrix=matrix, depth=depth, subsampling=subsampling)  # type: ignore[arg-type]
    encoding = codec_encoding("ffv1", color)
    assert encoding.color == color
    assert encoding.notices == ()
    batch = noise(color, (0, 3003))
    write(tmp_path / "a.nut", encoding, batch)
    assert_same_samples(tmp_path / "a.nut", batch, encoding)


@pytest.mark.parametrize("depth", [8, 10])
def test_tensors_are_written_as_arrays_are(tmp_path: Path, depth: int) -> None:
    encoding = codec_encoding("ffv1", ColorSpec(depth=depth))
    batch = noise(encoding.color, (0, 3003))
    arrays = write(tmp_path / "arrays.nut", encoding, batch)
    assert write(tmp_path / "tensors.nut", encoding, batch.tensors()) == arrays


@pytest.mark.parametrize(
    ("kind", "depth"), [("bt709", 8), ("bt709", 10), ("bt709", 16), ("rgb", 8), ("rgb", 12)]
)
def test_a_lossless_codec_returns_alpha(tmp_path: Path, kind: str, depth: int) -> None:
    color = ColorSpec(matrix=kind, depth=depth, subsampling=(1, 1), alpha=True)  # type: ignore[arg-type]
    encoding = codec_encoding("ffv1", color)
    batch = noise(color, (0, 3003))
    write(tmp_path / "a.nut", encoding, batch)
    assert_same_samples(tmp_path / "a.nut", batch, encoding)


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (47, 64), (19, 33)])
@pytest.mark.parametrize("subsampling", [(2, 2), (1, 2), (1, 1)])
def test_odd_sizes_keep_every_sample(
    tmp_path: Path, size: tuple[int, int], subsampling: tuple[int, int]
) -> None:
    color = ColorSpec(subsampling=subsampling)
    encoding = codec_encoding("ffv1", color)
    batch = noise(color, (0,), size=size)
    write(tmp_path / "a.nut", encoding, batch)
    assert_same_samples(tmp_path / "a.nut", batch, encoding)


@pytest.mark.parametrize("codec", [*LOSSY, "ffv1"])
@pytest.mark.parametrize("start", [0, -7, 1 << 40])
def test_times_are_kept_to_the_tick(tmp_path: Path, codec: str, start: int) -> None:
    encoding = codec_encoding(codec)
    pts = [start + tick for tick in UNEVEN]
    path = tmp_path / f"a{encoding.segment_suffix}"
    record = write(path, encoding, flat(encoding.color, pts[:4]), flat(encoding.color, pts[4:]))
    assert list(record.pts) == pts
    assert record.time_base == TICKS
    frames = read_back(path)
    assert len(frames) == len(pts)
    if encoding.segment_format == "nut":
        assert [seconds(frame) for frame in frames] == [tick * TICKS for tick in UNEVEN]


@pytest.mark.parametrize(
    "time_base",
    [
        Fraction(1, 1000),
        Fraction(1001, 30000),
        Fraction(1, 12345),
        Fraction(1, 10**9),
        Fraction(1, 3),
        Fraction(7, 3),
    ],
)
@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_any_time_base_is_kept_in_the_file_too(tmp_path: Path, codec: str, time_base: Fraction) -> None:
    encoding = codec_encoding(codec)
    pts = (5, 6, 9, 10, 30, 31, 32)
    batch = replace(flat(encoding.color, pts), time_base=time_base)
    record = write(tmp_path / "a.nut", encoding, batch, time_base=time_base)
    assert (record.pts, record.time_base) == (pts, time_base)
    times = [seconds(frame) for frame in read_back(tmp_path / "a.nut")]
    assert times == [(tick - 5) * time_base for tick in pts]


@pytest.mark.parametrize(
    "rate",
    [None, Fraction(24000, 1001), Fraction(1, 7), Fraction(1000), Fraction(90000), Fraction(14263, 477)],
)
@pytest.mark.parametrize("codec", [*LOSSY, "ffv1"])
def test_no_frame_rate_disturbs_an_encoder(tmp_path: Path, codec: str, rate: Fraction | None) -> None:
    info = info_of(ColorSpec(), frame_rate=rate)
    encoding = encoding_for(info, TARGETS.get(codec, "out.mp4"), codec=codec)
    record = write(tmp_path / "a", encoding, flat(encoding.color, (0, 1, 5)), frame_rate=rate)
    assert record.pts == (0, 1, 5)


def test_packets_follow_the_recorded_reorder_depth(tmp_path: Path) -> None:
    encoding = codec_encoding("h264", options=(("x264-params", "b-adapt=0:bframes=3:scenecut=0"),))
    pts = tuple(3000 * index for index in range(12))
    record = write(tmp_path / "a.nut", encoding, flat(encoding.color, pts))
    with av.open(tmp_path / "a.nut") as container:
        stated = [packet.pts or 0 for packet in container.demux(video=0) if packet.size]
    ranks = [sorted(stated).index(time) for time in stated]
    assert ranks != sorted(ranks), "no B-frames, nothing is tested"
    assert record.reorder_depth == max(place - rank for place, rank in enumerate(ranks)) == 2
    for place, rank in enumerate(ranks):
        assert place - record.reorder_depth <= rank


@pytest.mark.parametrize("codec", LOSSY)
def test_lossy_frames_come_back_in_order_and_alike(tmp_path: Path, codec: str) -> None:
    encoding = codec_encoding(codec)
    batch = flat(encoding.color, [3000 * index for index in range(20)])
    path = tmp_path / f"a{encoding.segment_suffix}"
    write(path, encoding, batch)
    found = [float(samples(frame, 0, SIZE).mean()) for frame in read_back(path)]
    sent = [float(plane.mean()) for plane in batch.planes[0]]
    assert np.allclose(found, sent, atol=1.5 * (1 << (encoding.color.depth - 8)))


@pytest.mark.parametrize(
    ("codec", "color"),
    [
        ("h264", ColorSpec("bt601", 5, 6, "full", siting="center")),
        ("h264", ColorSpec("bt709", 1, 1, "limited", 10, (1, 2))),
        ("hevc", HDR10),
        ("hevc", ColorSpec("bt2020", 9, 18, "limited", 12, (1, 1))),
        ("hevc", ColorSpec("rgb", 1, 13, "full", 8, (1, 1))),
        ("av1", HDR10),
        ("av1", ColorSpec("bt601", 6, 6, "full")),
        ("prores", ColorSpec("bt601", 6, 6, "limited", 10, (1, 2))),
    ],
)
def test_color_tags_are_in_the_stream(tmp_path: Path, codec: str, color: ColorSpec) -> None:
    encoding = codec_encoding(codec, color)
    assert encoding.color == color
    path = tmp_path / f"a{encoding.segment_suffix}"
    write(path, encoding, flat(color, (0, 3000)))
    frame = read_back(path)[0]
    codes = {"bt709": 1, "bt601": 5 if color.primaries == 5 else 6, "bt2020": 9, "rgb": 0}
    assert (frame.color_primaries, frame.color_trc) == (color.primaries, color.transfer)
    assert frame.colorspace == codes[color.matrix]
    assert frame.color_range == (2 if color.range == "full" else 1)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_siting_of_chroma_changes_the_headers(tmp_path: Path, codec: str) -> None:
    headers = set()
    for siting in ("left", "topleft"):
        encoding = codec_encoding(codec, ColorSpec(siting=siting))
        headers.add(write(tmp_path / "a.nut", encoding, flat(encoding.color, (0,))).extradata_sha256)
    assert len(headers) == 2


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_pixel_shape_is_in_the_stream(tmp_path: Path, codec: str) -> None:
    encoding = codec_encoding(codec)
    ratio = Fraction(16, 11)
    write(tmp_path / "a.nut", encoding, flat(encoding.color, (0,)), sample_aspect_ratio=ratio)
    with av.open(tmp_path / "a.nut") as container:
        next(container.decode(video=0))
        assert container.streams.video[0].codec_context.sample_aspect_ratio == ratio


@pytest.mark.parametrize(("codec", "decoder"), [("h264", "h264"), ("hevc", "hevc"), ("av1", "libdav1d")])
def test_hdr_metadata_returns_from_the_decoder(tmp_path: Path, codec: str, decoder: str) -> None:
    info = info_of(HDR10, hdr=DISPLAY_P3)
    encoding = encoding_for(info, "out.mp4", codec=codec)
    write(tmp_path / "a.nut", encoding, flat(HDR10, (0, 3000)))
    data: Any = read_back(tmp_path / "a.nut", decoder)[0].side_data
    # AVMasteringDisplayMetadata: ten AVRationals (x, y of r, g, b, white; luminances), two flags.
    numbers = np.frombuffer(bytes(data["MASTERING_DISPLAY_METADATA"]), np.int32)
    found = [Fraction(int(a), int(b)) for a, b in numbers[:20].reshape(10, 2)]
    p3 = DISPLAY_P3
    assert p3.red and p3.green and p3.blue and p3.white and p3.luminance
    sent = [*p3.red, *p3.green, *p3.blue, *p3.white, *p3.luminance]
    # AV1 keeps chromaticities in 1/65536 and the least luminance in 1/16384 cd/m2.
    assert all(abs(a - b) <= Fraction(1, 16384) for a, b in zip(found, sent, strict=True))
    assert list(numbers[20:22]) == [1, 1]
    light = np.frombuffer(bytes(data["CONTENT_LIGHT_LEVEL"]), np.uint32)
    assert list(light[:2]) == [1000, 400]


@pytest.mark.parametrize("codec", [*LOSSY, "ffv1"])
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, codec: str) -> None:
    encoding = codec_encoding(codec)
    suffix = encoding.segment_suffix
    batch = noise(encoding.color, [3000 * index for index in range(12)])
    first = write(tmp_path / f"a{suffix}", encoding, batch)
    second = write(tmp_path / f"b{suffix}", encoding, *batch.split(5))
    assert first == second
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("codec", [*LOSSY, "ffv1"])
def test_segments_of_one_job_have_one_header_and_stand_alone(tmp_path: Path, codec: str) -> None:
    encoding = codec_encoding(codec)
    suffix = encoding.segment_suffix
    records = [
        write(
            tmp_path / f"a{suffix}", encoding, flat(encoding.color, [3000 * index for index in range(9)])
        ),
        write(tmp_path / f"b{suffix}", encoding, noise(encoding.color, (70_000,))),
    ]
    assert len({record.extradata_sha256 for record in records}) == 1
    assert records[1].pts == (70_000,)
    for name in "ab":
        with av.open(tmp_path / f"{name}{suffix}") as container:
            assert next(packet for packet in container.demux(video=0) if packet.size).is_keyframe


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9"])
def test_groups_of_pictures_are_closed(tmp_path: Path, codec: str) -> None:
    """No frame before a keyframe is decoded after it: each group stands alone."""
    encoding = codec_encoding(codec, options=(("g", "8"),))
    write(tmp_path / "a.nut", encoding, noise(encoding.color, [3000 * index for index in range(30)]))
    with av.open(tmp_path / "a.nut") as container:
        packets = [(p.is_keyframe, p.pts or 0) for p in container.demux(video=0) if p.size]
    assert sum(keyframe for keyframe, _ in packets) >= 4
    latest = -1
    for place, (keyframe, pts) in enumerate(packets):
        if keyframe:
            latest = pts
            assert all(earlier < pts for _, earlier in packets[:place])
        assert pts >= latest


@pytest.mark.parametrize(("name", "depth", "shift"), [("nv12", 8, 0), ("p010le", 10, 6)])
def test_formats_of_hardware_encoders_are_filled(
    tmp_path: Path, name: str, depth: int, shift: int
) -> None:
    """Semi-planar: U and V take turns in one plane; P010 keeps its ten bits at the top of sixteen."""
    encoding = Encoding("rawvideo", {}, name, ColorSpec(depth=depth), 1)
    batch = noise(encoding.color, (0,), size=(10, 18))
    write(tmp_path / "a.nut", encoding, batch)
    luma, u, v = (plane[0] << shift for plane in batch.planes)
    expected = np.concatenate([luma.ravel(), np.stack([u, v], axis=-1).ravel()])
    with av.open(tmp_path / "a.nut") as container:
        packet = next(container.demux(video=0))
    assert bytes(packet) == expected.tobytes()


def test_a_frame_that_an_encoder_drops_is_an_error(tmp_path: Path) -> None:
    dropping = (("deadline", "realtime"), ("drop-threshold", "100"), ("b", "1k"), ("maxrate", "1k"))
    encoding = codec_encoding("vp9", options=(*dropping, ("minrate", "1k"), ("bufsize", "1k")))
    batch = noise(encoding.color, range(60))
    with pytest.raises(OutputError, match=r"a\.nut: libvpx-vp9 gave \d+ packets for 60 frames"):
        write(tmp_path / "a.nut", encoding, batch)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("codec", [*LOSSY, "ffv1"])
def test_encoders_do_not_write_to_the_terminal(
    tmp_path: Path, codec: str, capfd: pytest.CaptureFixture[str]
) -> None:
    encoding = codec_encoding(codec)
    write(tmp_path / "a", encoding, flat(encoding.color, range(5)))
    assert capfd.readouterr() == ("", "")


def test_vp9_keeps_alpha(tmp_path: Path) -> None:
    encoding = codec_encoding("vp9", ColorSpec(alpha=True))
    assert encoding.pixel_format == "yuva420p"
    batch = flat(encoding.color, (0, 3000, 6000))
    batch.planes[3][:] = np.array([20, 120, 220], np.uint8)[:, None, None]
    path = tmp_path / f"a{encoding.segment_suffix}"
    write(path, encoding, batch)
    frames = read_back(path, "libvpx-vp9")  # FFmpeg's own decoder leaves alpha out
    assert [round(float(samples(frame, 3, SIZE).mean()) / 10) for frame in frames] == [2, 12, 22]


def test_prores_keeps_alpha(tmp_path: Path) -> None:
    encoding = codec_encoding("prores", ColorSpec(alpha=True, depth=10, subsampling=(1, 1)))
    batch = noise(encoding.color, (0,))
    write(tmp_path / "a.mov", encoding, batch)
    frame = read_back(tmp_path / "a.mov")[0]
    assert frame.format.name == "yuva444p12le"
    found = samples(frame, 3, SIZE).astype(int)
    assert np.abs(found - 4 * batch.planes[3][0].astype(int)).max() <= 4  # 10 bits in 12


def test_a_padded_row_does_not_skew_the_picture(tmp_path: Path) -> None:
    """FFmpeg aligns rows to 64 bytes or so: 34 pixels leave a gap behind each."""
    color = ColorSpec(depth=10, subsampling=(1, 1))
    encoding = codec_encoding("ffv1", color)
    batch = noise(color, (0, 1), size=(6, 34))
    write(tmp_path / "a.nut", encoding, batch)
    assert_same_samples(tmp_path / "a.nut", batch, encoding)


def test_durations_and_source_errors_are_recorded(tmp_path: Path) -> None:
    encoding = codec_encoding("ffv1")
    with VideoWriter(tmp_path / "a.nut", info_of(encoding.color), encoding) as writer:
        writer.write(noise(encoding.color, (0, 3000), durations=(3000, 1500)))
        writer.write(noise(encoding.color, (5000,)))
        writer.decode_errors += 3
    record = SegmentRecord.load(tmp_path / "a.json")
    assert record is not None
    assert record.durations == (3000, 1500, 0)
    assert record.decode_errors == 3
    assert record.bytes == (tmp_path / "a.nut").stat().st_size


@pytest.mark.parametrize("codec", [*LOSSY, "ffv1"])
def test_a_segment_may_be_empty(tmp_path: Path, codec: str) -> None:
    encoding = codec_encoding(codec)
    record = write(tmp_path / f"a{encoding.segment_suffix}", encoding)
    assert (record.frames, record.pts, record.reorder_depth) == (0, (), 0)


@pytest.mark.parametrize("codec", [*LOSSY, "ffv1"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_inside_leaves_nothing(tmp_path: Path, codec: str, error: type[BaseException]) -> None:
    encoding = codec_encoding(codec)
    with (
        pytest.raises(error),
        VideoWriter(
            tmp_path / f"a{encoding.segment_suffix}", info_of(encoding.color), encoding
        ) as writer,
    ):
        writer.write(noise(encoding.color, range(20)))
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rewrite_leaves_no_finished_segment(tmp_path: Path) -> None:
    encoding = codec_encoding("ffv1")
    write(tmp_path / "a.nut", encoding, noise(encoding.color, (0,)))
    with (
        pytest.raises(RuntimeError),
        VideoWriter(tmp_path / "a.nut", info_of(encoding.color), encoding),
    ):
        raise RuntimeError
    assert SegmentRecord.load(tmp_path / "a.json") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pts": (0,)}, "after"),
        ({"time_base": Fraction(1, 1000)}, "ticks"),
        ({"color": ColorSpec("bt601")}, "expected"),
    ],
)
def test_frames_that_do_not_belong_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    encoding = codec_encoding("ffv1")
    with (
        pytest.raises(ValueError, match=message),
        VideoWriter(tmp_path / "a.nut", info_of(encoding.color), encoding) as writer,
    ):
        writer.write(noise(encoding.color, (0,)))
        writer.write(replace(noise(encoding.color, (1,)), **change))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_refused(tmp_path: Path) -> None:
    encoding = codec_encoding("ffv1")
    with (
        pytest.raises(ValueError, match="expected"),
        VideoWriter(tmp_path / "a.nut", info_of(encoding.color), encoding) as writer,
    ):
        writer.write(noise(encoding.color, (0,), size=(46, 64)))


def test_an_odd_size_is_refused_where_the_encoder_cannot(tmp_path: Path) -> None:
    encoding = codec_encoding("h264")
    assert encoding.size_multiple == (2, 2)
    with pytest.raises(OutputError, match="multiples of 2x2 pixels, not 63x48"):
        VideoWriter(tmp_path / "a.nut", info_of(encoding.color, size=(48, 63)), encoding)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    encoding = codec_encoding("ffv1")
    with pytest.raises(OutputError, match=r"nowhere/a\.nut: .*no such file"):
        VideoWriter(tmp_path / "nowhere" / "a.nut", info_of(encoding.color), encoding)


FILL_THE_DISK = """
    import resource, sys
    from pathlib import Path
    from tests.video.segments import encoding_for, info_of, noise
    from vidsr.errors import OutputError
    from vidsr.frames import ColorSpec
    from vidsr.video.writer import VideoWriter

    folder, limit = Path(sys.argv[1]), int(sys.argv[2])
    encoding = encoding_for(info_of(ColorSpec()), "out.mkv", codec="ffv1")
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        with VideoWriter(folder / "a.nut", info_of(encoding.color), encoding) as writer:
            for index in range(30):
                writer.write(noise(encoding.color, (index,)))
    except OutputError as error:
        print(error)
        sys.exit(7)
"""


@pytest.mark.parametrize("limit", [40_000, 1000, 10])
def test_a_full_disk_leaves_nothing_and_says_how_to_go_on(
    python: Command, tmp_path: Path, limit: int
) -> None:
    """A limit on the size of files refuses a write just as a full disk does, with another number."""
    done = subprocess.run(
        [*python, "-c", textwrap.dedent(FILL_THE_DISK), str(tmp_path), str(limit)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
        timeout=120,
    )
    assert done.returncode == 7, done.stderr
    assert "a.nut: file too large: free some space and run the same command again" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_no_space_left_on_the_device_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.nut.part").symlink_to("/dev/full")
    encoding = codec_encoding("ffv1")
    with pytest.raises(OutputError, match=r"a\.nut: no space left on device: free some space"):
        write(tmp_path / "a.nut", encoding, noise(encoding.color, range(30)))
    assert list(tmp_path.iterdir()) == []


def test_records_return_as_they_were_saved(tmp_path: Path) -> None:
    record = SegmentRecord(
        frames=2,
        pts=(-(10**12), 5),
        durations=(0, 3),
        time_base=Fraction(1001, 30000),
        reorder_depth=2,
        bytes=10,
        sha256="ab",
        extradata_sha256="cd",
        encoder="libx264",
        decode_errors=1,
    )
    record.save(tmp_path / "a.json")
    assert SegmentRecord.load(tmp_path / "a.json") == record
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "\x00" * len(text),
        lambda text: json.dumps({**json.loads(text), "format": 99}),
        lambda text: json.dumps({**json.loads(text), "frames": 3}),
        lambda text: json.dumps({**json.loads(text), "time_base": "1/0"}),
        lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "pts"}),
    ],
)
def test_a_damaged_record_is_none(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "a.json"
    SegmentRecord(1, (0,), (0,), TICKS, 0, 1, "ab", "cd", "ffv1").save(path)
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    assert SegmentRecord.load(path) is None
