"""Colour: the equations against hand-computed values and FFmpeg's, and the way there and back."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation
from torch import Tensor

from vidsr.frames import ColorSpec, FrameBatch, Matrix, Range, Siting
from vidsr.video import color
from vidsr.video.chroma import chroma_size, enlarge_chroma

CLIP = Path(__file__).parents[1] / "data" / "bunny_320x180_h264_aac.mp4"
YUV: tuple[Matrix, ...] = ("bt601", "bt709", "bt2020", "smpte240m", "fcc")
RANGES: tuple[Range, ...] = get_args(Range)
SITINGS: tuple[Siting, ...] = get_args(Siting)
SUBSAMPLINGS = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (4, 4))


def batch_of(planes: tuple[Tensor, ...], spec: ColorSpec) -> FrameBatch:
    return FrameBatch(planes, spec, tuple(range(planes[0].shape[0])), Fraction(1, 25))


def round_trip(planes: tuple[Tensor, ...], spec: ColorSpec) -> tuple[Tensor, ...]:
    return color.to_planes(color.to_rgb(batch_of(planes, spec)), spec)


def difference(ours: Tensor, theirs: Tensor) -> Tensor:
    return (ours.to(torch.int64) - theirs.to(torch.int64)).abs()


def exact_rgb(planes: tuple[Tensor, ...], spec: ColorSpec) -> Tensor:
    """RGB in float64, not clipped: H.273 written down once more, as a matrix to be inverted."""
    kr, kb = color.LUMA_WEIGHTS[spec.matrix]
    kg = 1 - kr - kb
    forward = torch.tensor(
        [
            [kr, kg, kb],
            [-kr / (1 - kb) / 2, -kg / (1 - kb) / 2, 0.5],
            [0.5, -kg / (1 - kr) / 2, -kb / (1 - kr) / 2],
        ],
        dtype=torch.float64,
    )
    unit, peak = 2.0 ** (spec.depth - 8), 2.0**spec.depth - 1
    y, u, v = (plane.to(torch.float64) for plane in planes)
    size = (y.shape[1], y.shape[2])
    if spec.range == "limited":
        y, u, v = (y / unit - 16) / 219, (u / unit - 128) / 224, (v / unit - 128) / 224
    else:
        y, u, v = y / peak, (u - 128 * unit) / peak, (v - 128 * unit) / peak
    full = [y, enlarge_chroma(u, size, spec), enlarge_chroma(v, size, spec)]
    return torch.stack(full, -1) @ torch.linalg.inv(forward).T


def first_picture() -> tuple[Tensor, ...]:
    """The planes of the real clip's first frame, uint8."""
    with av.open(str(CLIP)) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == "yuv420p"
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        planes.append(torch.from_numpy(rows[None, :, : plane.width].copy()))
    return tuple(planes)


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    """Three kinds of content, (3, H, W, 3) in [0, 1], inside the cube after any chroma filter."""
    spec = ColorSpec(matrix="bt601")
    real = color.to_rgb(batch_of(first_picture(), spec))[0, 40:112, 100:196].double() / 255
    # Contrast and saturation reduced, or sharp coloured edges would leave the cube in 4:2:0.
    real = 0.5 + 0.4 * (real - real.mean(-1, keepdim=True)) + 0.6 * (real.mean(-1, keepdim=True) - 0.5)
    y, x = torch.meshgrid(torch.linspace(0, 1, 72), torch.linspace(0, 1, 96), indexing="ij")
    smooth = torch.stack([x, y, 1 - (x + y) / 2], -1).double() * 0.96 + 0.02
    generator = torch.Generator().manual_seed(1)
    blocks = torch.rand(9, 12, 2, generator=generator).round().repeat_interleave(8, 0)
    blocks = blocks.repeat_interleave(8, 1).roll((3, 5), (0, 1)).double() - 0.5
    # Red and blue jump by half the cube at constant luma of BT.601: hard edges of chroma alone.
    red, blue = blocks[..., 0] * 0.5, blocks[..., 1] * 0.5
    edges = 0.5 + torch.stack([red, -(0.299 * red + 0.114 * blue) / 0.587, blue], -1)
    return torch.stack([real, smooth, edges])


@pytest.mark.parametrize("levels", RANGES)
@pytest.mark.parametrize("matrix", YUV)
def test_identity_comes_back_within_one_code(matrix: Matrix, levels: Range, pictures: Tensor) -> None:
    # Left out, here and below: codes whose colour lies outside the RGB cube; they are clipped to it.
    for subsampling, siting, depth in product(SUBSAMPLINGS, SITINGS, (8, 10, 12)):
        spec = ColorSpec(
            matrix=matrix, range=levels, depth=depth, subsampling=subsampling, siting=siting
        )
        planes = color.to_planes(pictures, spec)
        wanted = exact_rgb(planes, spec)
        assert wanted.min() > 0 and wanted.max() < 1, spec
        for ours, theirs in zip(round_trip(planes, spec), planes, strict=True):
            # Deeper than 8 bits nothing is rounded on the way, so nothing may change.
            assert difference(ours, theirs).max() <= (1 if depth == 8 else 0), spec
        rgb = color.to_rgb(batch_of(planes, spec)).double()
        error = rgb / 255 - wanted if depth == 8 else rgb - wanted
        assert error.abs().max() < (0.5 / 255 + 1e-6 if depth == 8 else 2e-6), spec


def test_real_picture_comes_back_where_it_lies_in_the_cube() -> None:
    planes = first_picture()
    for matrix, siting in product(("bt601", "bt709"), SITINGS):
        spec = ColorSpec(matrix=matrix, siting=siting)
        rgb = exact_rgb(planes, spec)
        clipped = ((rgb < 0) | (rgb > 1)).any(-1).float()
        assert clipped.mean() < 0.06
        luma, *chroma = (
            difference(ours, theirs)
            for ours, theirs in zip(round_trip(planes, spec), planes, strict=True)
        )
        assert luma[clipped == 0].max() == 0
        # A clipped pixel reaches the chroma samples whose filter covers it: five pixels to each side.
        near = torch.nn.functional.max_pool2d(clipped, 11, 1, 5)[:, ::2, ::2] > 0
        assert near.float().mean() < 0.35
        for plane in chroma:
            assert plane[~near].max() <= 1
            assert (plane > 1).float().mean() < 0.01


@pytest.mark.parametrize("depth", [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("levels", RANGES)
@pytest.mark.parametrize("matrix", ["bt709", "gray", "rgb"])
def test_every_legal_level_survives(matrix: Matrix, levels: Range, depth: int) -> None:
    spec = ColorSpec(matrix=matrix, range=levels, depth=depth)
    unit = 1 << (depth - 8)
    least, most = (16 * unit, 235 * unit) if levels == "limited" else (0, (1 << depth) - 1)
    codes = torch.arange(least, most + 1, dtype=torch.int32).to(
        torch.uint8 if depth == 8 else torch.uint16
    )
    ramp = codes[None, None]
    chroma = torch.full((1, 1, (len(codes) + 1) // 2), 128 * unit, dtype=torch.int32).to(ramp.dtype)
    planes = {"bt709": (ramp, chroma, chroma), "gray": (ramp,), "rgb": (ramp, ramp, ramp)}[matrix]
    rgb = color.to_rgb(batch_of(planes, spec))
    assert rgb.dtype == (torch.uint8 if depth == 8 else torch.float32)
    assert rgb[0, 0, 0].max() == 0 and rgb[0, 0, -1].min() == (255 if depth == 8 else 1)
    if depth > 8:
        # No step of 8 bits on the way.
        assert len(rgb[0, 0, :, 0].unique()) == len(codes) > 256
    for ours, theirs in zip(color.to_planes(rgb, spec), planes, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours.to(torch.int32), theirs.to(torch.int32))


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
    matrix: Matrix, levels: Range, depth: int, rgb: tuple[float, ...], codes: tuple[int, ...]
) -> None:
    spec = ColorSpec(matrix=matrix, range=levels, depth=depth)
    picture = torch.tensor(rgb).expand(1, 6, 6, 3)
    planes = color.to_planes(picture, spec)
    assert tuple(int(plane.to(torch.int32).max()) for plane in planes) == codes
    assert tuple(int(plane.to(torch.int32).min()) for plane in planes) == codes
    if matrix != "gray":
        back = color.to_rgb(batch_of(planes, spec)).float() / (255 if depth == 8 else 1)
        assert (back - picture).abs().max() < 0.006


def test_bytes_and_floats_make_the_same_planes() -> None:
    picture = torch.randint(
        0, 256, (2, 9, 7, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    for matrix in (*YUV, "gray", "rgb"):
        spec = ColorSpec(matrix=matrix)
        pairs = zip(
            color.to_planes(picture, spec), color.to_planes(picture.double() / 255, spec), strict=True
        )
        assert all(difference(ours, theirs).max() <= 1 for ours, theirs in pairs)


def test_overshoot_stops_before_the_codes_of_timing_references() -> None:
    picture = torch.zeros(1, 12, 12, 3)
    picture[:, :6, :6, :2] = 1  # yellow above blue, red above cyan: the ends of both axes of chroma
    picture[:, 6:, :6, 2] = 1
    picture[:, :6, 6:, 0] = 1
    picture[:, 6:, 6:, 1:] = 1
    for depth, least, most in ((8, 1, 254), (10, 4, 1019), (12, 16, 4079)):
        for siting in SITINGS:
            planes = color.to_planes(picture, ColorSpec(depth=depth, siting=siting))
            values = torch.cat([plane.to(torch.int32).flatten() for plane in planes])
            assert least <= values.min() < 16 << (depth - 8)
            assert 240 << (depth - 8) < values.max() <= most


@pytest.mark.parametrize("siting", SITINGS)
def test_odd_sizes(siting: Siting) -> None:
    generator = torch.Generator().manual_seed(2)
    for subsampling, size in product(SUBSAMPLINGS, [(1, 1), (3, 5), (7, 2), (2, 9), (1, 6), (5, 1)]):
        spec = ColorSpec(siting=siting, subsampling=subsampling, depth=10)
        small = (-(-size[0] // subsampling[0]), -(-size[1] // subsampling[1]))
        assert chroma_size(size, subsampling) == small
        # Values around the middle, so that nothing leaves the cube.
        luma, u, v = (
            torch.randint(462, 563, (2, *shape), generator=generator).to(torch.uint16)
            for shape in (size, small, small)
        )
        rgb = color.to_rgb(batch_of((luma, u, v), spec))
        assert rgb.shape == (2, *size, 3)
        for ours, theirs in zip(color.to_planes(rgb, spec), (luma, u, v), strict=True):
            assert ours.shape == theirs.shape
            assert difference(ours, theirs).max() == 0


def ffmpeg_frame(planes: tuple[Tensor, ...], name: str) -> av.VideoFrame:
    frame = av.VideoFrame(int(planes[0].shape[2]), int(planes[0].shape[1]), name)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        data = values[0].numpy().view(np.uint8)
        rows[:, : data.shape[1]] = data
        plane.update(rows.tobytes())
    return frame


@pytest.mark.parametrize(("matrix", "code"), [("bt601", 5), ("bt709", 1), ("bt2020", 9), ("fcc", 4)])
@pytest.mark.parametrize("levels", RANGES)
@pytest.mark.parametrize("subsampling", [(1, 1), (1, 2), (2, 2)])
def test_ffmpeg_agrees(matrix: Matrix, code: int, levels: Range, subsampling: tuple[int, int]) -> None:
    # swscale takes chroma as centred; its fixed point and its own cubic differ by one level at most,
    # on content without hard edges.
    spec = ColorSpec(matrix=matrix, range=levels, subsampling=subsampling, siting="center")
    height, width = 48, 64
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [(x / 40).sin(), (y / 35).cos(), ((x + y) / 50).sin()]
    picture = torch.stack([0.5 + 0.38 * wave for wave in waves], -1)[None]
    planes = color.to_planes(picture, spec)
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
    ours = color.to_rgb(batch_of(planes, spec))
    inner = slice(4, -4)  # borders are extended differently
    error = difference(ours[0], torch.from_numpy(theirs.to_ndarray()))[inner, inner].double()
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
    again = color.to_planes(torch.from_numpy(theirs.to_ndarray())[None], spec)
    for plane, values in zip(back.planes, again, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        error = difference(values[0], torch.from_numpy(rows[:, : plane.width].copy()))[inner, inner]
        assert error.max() <= 1


def test_batch_is_frame_by_frame() -> None:
    # Large enough that frames are worked on in several goes.
    generator = torch.Generator().manual_seed(3)
    picture = torch.randint(0, 256, (3, 600, 900, 3), dtype=torch.uint8, generator=generator)
    spec = ColorSpec()
    together = color.to_planes(picture, spec)
    alone = [color.to_planes(frame[None], spec) for frame in picture]
    for plane, parts in zip(together, zip(*alone, strict=True), strict=True):
        assert torch.equal(plane, torch.cat(parts))
    rgb = color.to_rgb(batch_of(together, spec))
    assert torch.equal(rgb[2:], color.to_rgb(batch_of(alone[2], spec)))


@pytest.mark.parametrize("height", [131, 256, 264, 389])
def test_strips_leave_no_trace(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(5)
    picture = torch.rand(2, height, 90, 3, generator=generator)
    specs = [
        ColorSpec(siting=siting, subsampling=subsampling)
        for siting, subsampling in product(SITINGS, SUBSAMPLINGS)
    ]
    for spec in (*specs, ColorSpec("gray"), ColorSpec("rgb"), ColorSpec("rgb", range="full", depth=10)):
        for content in (picture, picture.mul(255).to(torch.uint8)):
            monkeypatch.setattr(color, "_CPU_PIXELS", 1 << 20)
            whole = color.to_planes(content, spec)
            monkeypatch.setattr(color, "_CPU_PIXELS", 1)  # the least there is: 128 rows
            strips = color.to_planes(content, spec)
            assert all(map(torch.equal, strips, whole)), spec


def test_alpha_is_left_out_of_rgb() -> None:
    planes = tuple(torch.full((1, 4, 4), value, dtype=torch.uint8) for value in (235, 128, 128, 7))
    spec = ColorSpec(subsampling=(1, 1), alpha=True)
    assert torch.equal(
        color.to_rgb(batch_of(planes, spec)), torch.full((1, 4, 4, 3), 255, dtype=torch.uint8)
    )
    assert len(color.to_planes(torch.zeros(1, 4, 4, 3), spec)) == 3


def test_half_precision_is_enough_for_ten_bits() -> None:
    codes = torch.arange(64, 941, dtype=torch.int32).to(torch.uint16)[None, None]
    spec = ColorSpec(matrix="gray", depth=10)
    rgb = color.to_rgb(batch_of((codes,), spec)).half()
    assert difference(color.to_planes(rgb, spec)[0], codes).max() == 0


@pytest.mark.gpu
def test_cuda_and_cpu_make_the_same_planes() -> None:
    if not torch.cuda.is_available():
        if os.environ.get("VIDSR_REQUIRE_GPU") == "1":
            pytest.fail("VIDSR_REQUIRE_GPU=1, but there is no CUDA device")
        pytest.skip("no CUDA device")
    generator = torch.Generator().manual_seed(4)
    picture = torch.randint(0, 256, (2, 90, 61, 3), dtype=torch.uint8, generator=generator)
    for siting, depth in product(SITINGS, (8, 10)):
        spec = ColorSpec(siting=siting, depth=depth)
        here = color.to_planes(picture, spec)
        there = color.to_planes(picture.cuda(), spec)
        for ours, theirs in zip(here, there, strict=True):
            assert difference(ours, theirs.cpu()).max() <= 1
        on_device = batch_of(tuple(plane.cuda() for plane in here), spec)
        error = color.to_rgb(batch_of(here, spec)).double() - color.to_rgb(on_device).cpu().double()
        assert error.abs().max() <= (1 if depth == 8 else 1e-5)


def test_gray_spec_keeps_its_own_weights() -> None:
    spec = replace(ColorSpec(), matrix="gray", range="full")
    picture = torch.tensor([[[[0, 255, 0]]]], dtype=torch.uint8)
    assert int(color.to_planes(picture, spec)[0]) == round(0.7152 * 255)
