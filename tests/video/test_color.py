"""Colour: the equations against hand-computed values and FFmpeg's, and the way there and back."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from tests.video.kinds import ARRAYS, TENSORS, Kind, both_kinds
from vidsr import cores
from vidsr.arrays import Array
from vidsr.frames import ColorSpec, FrameBatch, Matrix, Range, Siting
from vidsr.video import color
from vidsr.video.chroma import chroma_size, enlarge_chroma

CLIP = Path(__file__).parents[1] / "data" / "bunny_320x180_h264_aac.mp4"
YUV: tuple[Matrix, ...] = ("bt601", "bt709", "bt2020", "smpte240m", "fcc")
RANGES: tuple[Range, ...] = get_args(Range)
SITINGS: tuple[Siting, ...] = get_args(Siting)
SUBSAMPLINGS = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (4, 4))

Planes = tuple[NDArray[Any], ...]


def batch_of(planes: tuple[Array, ...], spec: ColorSpec) -> FrameBatch:
    return FrameBatch(planes, spec, tuple(range(planes[0].shape[0])), Fraction(1, 25))


def to_rgb(planes: Planes, spec: ColorSpec, kind: Kind = ARRAYS) -> NDArray[Any]:
    """What `color.to_rgb` makes of planes of one kind or the other."""
    return kind.back(color.to_rgb(batch_of(tuple(map(kind.of, planes)), spec)))


def to_planes(rgb: NDArray[Any], spec: ColorSpec, kind: Kind = ARRAYS) -> Planes:
    """What `color.to_planes` makes of a picture of one kind or the other."""
    return tuple(map(kind.back, color.to_planes(kind.of(rgb), spec)))


def difference(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.int64]:
    return np.abs(ours.astype(np.int64) - theirs.astype(np.int64))


def exact_rgb(planes: Planes, spec: ColorSpec) -> NDArray[np.float64]:
    """RGB in float64, not clipped: H.273 written down once more, as a matrix to be inverted."""
    kr, kb = color.LUMA_WEIGHTS[spec.matrix]
    kg = 1 - kr - kb
    forward = np.array(
        [
            [kr, kg, kb],
            [-kr / (1 - kb) / 2, -kg / (1 - kb) / 2, 0.5],
            [0.5, -kg / (1 - kr) / 2, -kb / (1 - kr) / 2],
        ]
    )
    unit, peak = 2.0 ** (spec.depth - 8), 2.0**spec.depth - 1
    y, u, v = (plane.astype(np.float64) for plane in planes)
    size = (y.shape[1], y.shape[2])
    if spec.range == "limited":
        y, u, v = (y / unit - 16) / 219, (u / unit - 128) / 224, (v / unit - 128) / 224
    else:
        y, u, v = y / peak, (u - 128 * unit) / peak, (v - 128 * unit) / peak
    full = [y, enlarge_chroma(u, size, spec), enlarge_chroma(v, size, spec)]
    exact: NDArray[np.float64] = np.stack(full, -1) @ np.linalg.inv(forward).T
    return exact


def first_picture() -> Planes:
    """The planes of the real clip's first frame, uint8."""
    with av.open(str(CLIP)) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == "yuv420p"
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        planes.append(rows[None, :, : plane.width].copy())
    return tuple(planes)


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.float64]:
    """Three kinds of content, (3, H, W, 3) in [0, 1], inside the cube after any chroma filter."""
    spec = ColorSpec(matrix="bt601")
    real: NDArray[Any] = to_rgb(first_picture(), spec)[0, 40:112, 100:196] / 255
    # Contrast and saturation reduced, or sharp coloured edges would leave the cube in 4:2:0.
    gray = real.mean(-1, keepdims=True)
    real = 0.5 + 0.4 * (real - gray) + 0.6 * (gray - 0.5)
    y, x = np.meshgrid(np.linspace(0, 1, 72), np.linspace(0, 1, 96), indexing="ij")
    smooth = np.stack([x, y, 1 - (x + y) / 2], -1) * 0.96 + 0.02
    halves = np.random.default_rng(1).choice([-0.5, 0.5], (9, 12, 2))
    blocks = np.roll(halves.repeat(8, 0).repeat(8, 1), (3, 5), (0, 1))
    # Red and blue jump by half the cube at constant luma of BT.601: hard edges of chroma alone.
    red, blue = blocks[..., 0] * 0.5, blocks[..., 1] * 0.5
    edges = 0.5 + np.stack([red, -(0.299 * red + 0.114 * blue) / 0.587, blue], -1)
    return np.stack([real, smooth, edges])


@both_kinds
@pytest.mark.parametrize("levels", RANGES)
@pytest.mark.parametrize("matrix", YUV)
def test_identity_comes_back_within_one_code(
    matrix: Matrix, levels: Range, kind: Kind, pictures: NDArray[np.float64]
) -> None:
    # Left out, here and below: codes whose colour lies outside the RGB cube; they are clipped to it.
    for subsampling, siting, depth in product(SUBSAMPLINGS, SITINGS, (8, 10, 12)):
        spec = ColorSpec(
            matrix=matrix, range=levels, depth=depth, subsampling=subsampling, siting=siting
        )
        planes = to_planes(pictures, spec, kind)
        wanted = exact_rgb(planes, spec)
        assert wanted.min() > 0 and wanted.max() < 1, spec
        rgb = to_rgb(planes, spec, kind)
        for ours, theirs in zip(to_planes(rgb, spec, kind), planes, strict=True):
            # Deeper than 8 bits nothing is rounded on the way, so nothing may change.
            assert difference(ours, theirs).max() <= (1 if depth == 8 else 0), spec
        error = np.abs((rgb / 255 if depth == 8 else rgb) - wanted)
        assert error.max() < (0.5 / 255 + 1e-6 if depth == 8 else 2e-6), spec


FEW = 1e-3
"""Of all codes, so many may be one apart between arrays and tensors. The last of 24 bits is rounded
differently, and that decides where a value lies in the middle between two codes."""


def assert_alike(depth: int, specs: list[ColorSpec], pictures: NDArray[np.float64]) -> None:
    """Arrays and tensors are converted alike, there and back."""
    noise = np.random.default_rng(8).uniform(-0.02, 0.02, pictures.shape)
    floats = (pictures + noise).clip(0, 1).astype(np.float32)
    for content in (floats, (floats * 255).round().astype(np.uint8)):
        there, back = [], []
        for spec in (replace(each, depth=depth) for each in specs):
            planes = to_planes(content, spec)
            pairs = zip(planes, to_planes(content, spec, TENSORS), strict=True)
            there += [difference(ours, theirs).ravel() for ours, theirs in pairs]
            ours, theirs = to_rgb(planes, spec), to_rgb(planes, spec, TENSORS)
            assert ours.dtype == theirs.dtype
            back.append(np.abs(ours.astype(np.float64) - theirs).ravel())
        codes, rgb = np.concatenate(there), np.concatenate(back)
        assert codes.max() <= 1
        assert codes.mean() < FEW
        assert rgb.max() <= (1 if depth == 8 else 1e-6)
        assert rgb.mean() < FEW


@pytest.mark.parametrize("levels", RANGES)
@pytest.mark.parametrize("matrix", YUV)
def test_arrays_and_tensors_are_converted_alike(
    matrix: Matrix, levels: Range, pictures: NDArray[np.float64]
) -> None:
    specs = [
        ColorSpec(matrix, range=levels, subsampling=subsampling, siting=siting)
        for subsampling, siting in product(SUBSAMPLINGS, SITINGS)
    ]
    for depth in (8, 10, 12):
        assert_alike(depth, specs, pictures)


@pytest.mark.parametrize("levels", RANGES)
@pytest.mark.parametrize("matrix", ["bt709", "gray", "rgb"])
def test_arrays_and_tensors_of_any_depth_are_converted_alike(
    matrix: Matrix, levels: Range, pictures: NDArray[np.float64]
) -> None:
    for depth in (8, 9, 10, 12, 14, 16):
        assert_alike(depth, [ColorSpec(matrix, range=levels)], pictures)


@both_kinds
def test_real_picture_comes_back_where_it_lies_in_the_cube(kind: Kind) -> None:
    planes = first_picture()
    for matrix, siting in product(("bt601", "bt709"), SITINGS):
        spec = ColorSpec(matrix=matrix, siting=siting)
        rgb = exact_rgb(planes, spec)
        clipped = ((rgb < 0) | (rgb > 1)).any(-1)
        assert clipped.mean() < 0.06
        luma, *chroma = (
            difference(ours, theirs)
            for ours, theirs in zip(
                to_planes(to_rgb(planes, spec, kind), spec, kind), planes, strict=True
            )
        )
        assert luma[~clipped].max() == 0
        # A clipped pixel reaches the chroma samples whose filter covers it: five pixels to each side.
        around = np.pad(clipped, ((0, 0), (5, 5), (5, 5)))
        around = np.lib.stride_tricks.sliding_window_view(around, (11, 11), (1, 2))
        near = around[:, ::2, ::2].any((-2, -1))
        assert near.mean() < 0.35
        for plane in chroma:
            assert plane[~near].max() <= 1
            assert (plane > 1).mean() < 0.01


@both_kinds
@pytest.mark.parametrize("depth", [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("levels", RANGES)
@pytest.mark.parametrize("matrix", ["bt709", "gray", "rgb"])
def test_every_legal_level_survives(matrix: Matrix, levels: Range, depth: int, kind: Kind) -> None:
    spec = ColorSpec(matrix=matrix, range=levels, depth=depth)
    unit = 1 << (depth - 8)
    least, most = (16 * unit, 235 * unit) if levels == "limited" else (0, (1 << depth) - 1)
    codes = np.arange(least, most + 1).astype(np.uint8 if depth == 8 else np.uint16)
    ramp = codes[None, None]
    chroma = np.full((1, 1, (len(codes) + 1) // 2), 128 * unit, codes.dtype)
    planes = {"bt709": (ramp, chroma, chroma), "gray": (ramp,), "rgb": (ramp, ramp, ramp)}[matrix]
    rgb = to_rgb(planes, spec, kind)
    assert rgb.dtype == (np.uint8 if depth == 8 else np.float32)
    assert rgb[0, 0, 0].max() == 0 and rgb[0, 0, -1].min() == (255 if depth == 8 else 1)
    if depth > 8:
        # No step of 8 bits on the way.
        assert len(np.unique(rgb[0, 0, :, 0])) == len(codes) > 256
    for ours, theirs in zip(to_planes(rgb, spec, kind), planes, strict=True):
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)


@both_kinds
@pytest.mark.parametrize(
    ("matrix", "levels", "depth", "rgb", "codes"),
    [
        ("bt709", "limited", 8, (1, 0, 0), (63, 102, 240)),
        ("bt709", "limited", 8, (0, 1, 0), (173, 42, 26)),
        ("bt709", "limited", 8, (0, 0, 1), (32, 240, 118)),
        ("bt709", "limited", 10, (1, 0, 0), (250, 409, 960)),
        ("bt601", "limited", 8, (1, 0, 0), (81, 90, 240)),
        ("bt601", "limited", 8, (0, 1, 0), (145, 54, 34)),
        ("bt601", "limited", 8, (0, 0, 1), (41, 240, 110)),
        ("bt601", "full", 8, (1, 0, 0), (76, 85, 255)),  # Cr 255.5, clamped
        ("bt601", "full", 8, (0, 1, 0), (150, 44, 21)),
        ("bt2020", "limited", 10, (1, 0, 0), (294, 387, 960)),
        ("bt2020", "limited", 12, (0, 0, 1), (464, 3840, 1904)),
        ("smpte240m", "limited", 8, (1, 0, 0), (62, 102, 240)),
        ("fcc", "limited", 8, (1, 0, 0), (82, 90, 240)),
        ("bt709", "limited", 8, (1, 1, 1), (235, 128, 128)),
        ("bt709", "limited", 8, (0, 0, 0), (16, 128, 128)),
        ("bt709", "full", 8, (1, 1, 1), (255, 128, 128)),
        ("bt709", "full", 10, (0, 0, 0), (0, 512, 512)),
        ("rgb", "full", 8, (1, 0.5, 0), (255, 128, 0)),
        ("rgb", "limited", 10, (1, 0, 0), (940, 64, 64)),
        ("gray", "limited", 8, (1, 0, 0), (63,)),
    ],
)
def test_known_values(
    matrix: Matrix,
    levels: Range,
    depth: int,
    rgb: tuple[float, ...],
    codes: tuple[int, ...],
    kind: Kind,
) -> None:
    spec = ColorSpec(matrix=matrix, range=levels, depth=depth)
    picture = np.tile(np.array(rgb, np.float32), (1, 6, 6, 1))
    planes = to_planes(picture, spec, kind)
    assert tuple(int(plane.max()) for plane in planes) == codes
    assert tuple(int(plane.min()) for plane in planes) == codes
    if matrix != "gray":
        back = to_rgb(planes, spec, kind) / (255 if depth == 8 else 1)
        assert np.abs(back - picture).max() < 0.006


@both_kinds
def test_bytes_and_floats_make_the_same_planes(kind: Kind) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), np.uint8)
    for matrix in (*YUV, "gray", "rgb"):
        spec = ColorSpec(matrix=matrix)
        pairs = zip(to_planes(picture, spec, kind), to_planes(picture / 255, spec, kind), strict=True)
        assert all(difference(ours, theirs).max() <= 1 for ours, theirs in pairs)


@both_kinds
def test_overshoot_stops_before_the_codes_of_timing_references(kind: Kind) -> None:
    picture = np.zeros((1, 12, 12, 3), np.float32)
    picture[:, :6, :6, :2] = 1  # yellow above blue, red above cyan: the ends of both axes of chroma
    picture[:, 6:, :6, 2] = 1
    picture[:, :6, 6:, 0] = 1
    picture[:, 6:, 6:, 1:] = 1
    for depth, least, most in ((8, 1, 254), (10, 4, 1019), (12, 16, 4079)):
        for siting in SITINGS:
            planes = to_planes(picture, ColorSpec(depth=depth, siting=siting), kind)
            values = np.concatenate([plane.ravel() for plane in planes])
            assert least <= values.min() < 16 << (depth - 8)
            assert 240 << (depth - 8) < values.max() <= most


@both_kinds
@pytest.mark.parametrize("siting", SITINGS)
def test_odd_sizes(siting: Siting, kind: Kind) -> None:
    generator = np.random.default_rng(2)
    for subsampling, size in product(SUBSAMPLINGS, [(1, 1), (3, 5), (7, 2), (2, 9), (1, 6), (5, 1)]):
        spec = ColorSpec(siting=siting, subsampling=subsampling, depth=10)
        small = (-(-size[0] // subsampling[0]), -(-size[1] // subsampling[1]))
        assert chroma_size(size, subsampling) == small
        # Values around the middle, so that nothing leaves the cube.
        luma, u, v = (
            generator.integers(462, 563, (2, *shape), np.uint16) for shape in (size, small, small)
        )
        rgb = to_rgb((luma, u, v), spec, kind)
        assert rgb.shape == (2, *size, 3)
        for ours, theirs in zip(to_planes(rgb, spec, kind), (luma, u, v), strict=True):
            assert ours.shape == theirs.shape
            assert difference(ours, theirs).max() == 0


def ffmpeg_frame(planes: Planes, name: str) -> av.VideoFrame:
    frame = av.VideoFrame(int(planes[0].shape[2]), int(planes[0].shape[1]), name)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        data = values[0].view(np.uint8)
        rows[:, : data.shape[1]] = data
        plane.update(rows.tobytes())
    return frame


@both_kinds
@pytest.mark.parametrize(("matrix", "code"), [("bt601", 5), ("bt709", 1), ("bt2020", 9), ("fcc", 4)])
@pytest.mark.parametrize("levels", RANGES)
@pytest.mark.parametrize("subsampling", [(1, 1), (1, 2), (2, 2)])
def test_ffmpeg_agrees(
    matrix: Matrix, code: int, levels: Range, subsampling: tuple[int, int], kind: Kind
) -> None:
    # swscale takes chroma as centred; its fixed point and its own cubic differ by one level at most,
    # on content without hard edges.
    spec = ColorSpec(matrix=matrix, range=levels, subsampling=subsampling, siting="center")
    height, width = 48, 64
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 40), np.cos(y / 35), np.sin((x + y) / 50)]
    picture = np.stack([0.5 + 0.38 * wave for wave in waves], -1)[None]
    planes = to_planes(picture, spec, kind)
    name = color.pixel_format_name(spec)
    how = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    how |= Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    ffmpeg_range = 1 if levels == "limited" else 2
    theirs = ffmpeg_frame(planes, name).reformat(
        threads=1,
        format="rgb24",
        interpolation=how,
        src_colorspace=code,
        dst_colorspace=code,
        src_color_range=ffmpeg_range,
        dst_color_range=2,
    )
    ours = to_rgb(planes, spec, kind)
    inner = slice(4, -4)  # borders are extended differently
    error = difference(ours[0], theirs.to_ndarray())[inner, inner]
    assert error.max() <= 1
    assert error.mean() < 0.1
    back = theirs.reformat(
        threads=1,
        format=name,
        interpolation=how,
        src_colorspace=code,
        dst_colorspace=code,
        src_color_range=2,
        dst_color_range=ffmpeg_range,
    )
    again = to_planes(theirs.to_ndarray()[None], spec, kind)
    for plane, values in zip(back.planes, again, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        error = difference(values[0], rows[:, : plane.width])[inner, inner]
        assert error.max() <= 1


@both_kinds
def test_batch_is_frame_by_frame(kind: Kind) -> None:
    # Large enough that frames are worked on in several goes.
    picture = np.random.default_rng(3).integers(0, 256, (3, 600, 900, 3), np.uint8)
    spec = ColorSpec()
    together = to_planes(picture, spec, kind)
    alone = [to_planes(frame[None], spec, kind) for frame in picture]
    for plane, parts in zip(together, zip(*alone, strict=True), strict=True):
        assert np.array_equal(plane, np.concatenate(parts))
    rgb = to_rgb(together, spec, kind)
    assert np.array_equal(rgb[2:], to_rgb(alone[2], spec, kind))


@both_kinds
@pytest.mark.parametrize("height", [131, 256, 264, 389])
def test_strips_leave_no_trace(height: int, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(5).random((2, height, 90, 3), np.float32)
    specs = [
        ColorSpec(siting=siting, subsampling=subsampling)
        for siting, subsampling in product(SITINGS, SUBSAMPLINGS)
    ]
    for spec in (*specs, ColorSpec("gray"), ColorSpec("rgb"), ColorSpec("rgb", range="full", depth=10)):
        for content in (picture, (picture * 255).astype(np.uint8)):
            monkeypatch.setattr(color, "_CPU_PIXELS", 1 << 20)
            whole = to_planes(content, spec, kind)
            monkeypatch.setattr(color, "_CPU_PIXELS", 1)  # the least there is: 128 rows
            strips = to_planes(content, spec, kind)
            assert all(map(np.array_equal, strips, whole)), spec


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_several_threads_make_the_planes_of_one(
    dtype: type[np.generic], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.random.default_rng(6).random((2, 900, 1100, 3), np.float32)
    if dtype == np.uint8:
        picture = (picture * 255).astype(dtype)
    names: set[str] = set()
    planes_of = color._planes_of

    def noted(*work: Any) -> None:
        names.add(threading.current_thread().name)
        planes_of(*work)

    monkeypatch.setattr(color, "_planes_of", noted)
    for spec in (ColorSpec(), ColorSpec(depth=10, siting="topleft"), ColorSpec("rgb", range="full")):
        made = []
        for count in (1, 4 * cores.BESIDE):
            names.clear()
            monkeypatch.setattr(cores, "threads", lambda count=count: count)
            made.append(to_planes(picture, spec))
            here = {threading.current_thread().name}
            assert names == here if count == 1 else not names & here
        assert all(map(np.array_equal, *made)), spec


@both_kinds
def test_alpha_is_left_out_of_rgb(kind: Kind) -> None:
    planes = tuple(np.full((1, 4, 4), value, np.uint8) for value in (235, 128, 128, 7))
    spec = ColorSpec(subsampling=(1, 1), alpha=True)
    assert np.array_equal(to_rgb(planes, spec, kind), np.full((1, 4, 4, 3), 255))
    assert len(to_planes(np.zeros((1, 4, 4, 3), np.float32), spec, kind)) == 3


@both_kinds
def test_half_precision_is_enough_for_ten_bits(kind: Kind) -> None:
    codes = np.arange(64, 941).astype(np.uint16)[None, None]
    spec = ColorSpec(matrix="gray", depth=10)
    rgb = to_rgb((codes,), spec, kind).astype(np.float16)
    assert difference(to_planes(rgb, spec, kind)[0], codes).max() == 0


@both_kinds
def test_what_is_converted_is_not_changed(kind: Kind) -> None:
    picture = np.random.default_rng(7).random((1, 16, 16, 3), np.float32)
    for spec in (ColorSpec(), ColorSpec("gray"), ColorSpec("rgb", range="full", depth=10)):
        for content in (picture, (picture * 255).astype(np.uint8)):
            before = content.copy()
            planes = to_planes(content, spec, kind)
            assert np.array_equal(content, before)
            stored = [plane.copy() for plane in planes]
            to_rgb(planes, spec, kind)
            assert all(map(np.array_equal, planes, stored))


@pytest.mark.gpu
def test_cuda_and_cpu_make_the_same_planes() -> None:
    if not torch.cuda.is_available():
        if os.environ.get("VIDSR_REQUIRE_GPU") == "1":
            pytest.fail("VIDSR_REQUIRE_GPU=1, but there is no CUDA device")
        pytest.skip("no CUDA device")
    card = Kind(torch.device("cuda", 0))
    picture = np.random.default_rng(4).integers(0, 256, (2, 90, 61, 3), np.uint8)
    for siting, depth in product(SITINGS, (8, 10)):
        spec = ColorSpec(siting=siting, depth=depth)
        here, there = to_planes(picture, spec), to_planes(picture, spec, card)
        for ours, theirs in zip(here, there, strict=True):
            assert difference(ours, theirs).max() <= 1
        error = to_rgb(here, spec).astype(np.float64) - to_rgb(here, spec, card)
        assert np.abs(error).max() <= (1 if depth == 8 else 1e-5)


@both_kinds
def test_gray_spec_keeps_its_own_weights(kind: Kind) -> None:
    spec = replace(ColorSpec(), matrix="gray", range="full")
    picture = np.array([[[[0, 255, 0]]]], np.uint8)
    assert to_planes(picture, spec, kind)[0].item() == round(0.7152 * 255)
