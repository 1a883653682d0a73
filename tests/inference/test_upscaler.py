from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference.nearest import NearestBackend, repeated
from tests.video.kinds import ARRAYS, TENSORS, Kind, both_kinds
from vidsr.arrays import Array, is_floating
from vidsr.errors import VidsrError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.memory import free_bytes
from vidsr.inference.upscaler import Upscaler, WorkPlan, plan_work

YUV = ColorSpec()
RGB = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1))
DEEP = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1), depth=10)


def frames(count: int, height: int, width: int, color: ColorSpec = RGB) -> FrameBatch:
    random = np.random.default_rng(count)
    v, h = color.subsampling
    sizes = [(height, width)] + [(-(-height // v), -(-width // h))] * 2
    if color.alpha:
        sizes.append((height, width))
    dtype = np.uint8 if color.depth == 8 else np.uint16
    planes = tuple(random.integers(0, 1 << color.depth, (count, *size), dtype) for size in sizes)
    return FrameBatch(planes, color, tuple(range(5, 5 + count)), Fraction(1, 25), (1,) * count)


def nearest(kind: Kind, most_pixels: int | None = None) -> NearestBackend:
    return NearestBackend(2, most_pixels=most_pixels, device=kind.device)


@both_kinds
@pytest.mark.parametrize("color", [RGB, DEEP])
def test_frames_come_back_larger_with_their_times(color: ColorSpec, kind: Kind) -> None:
    batch = frames(3, 10, 14, color)
    out = Upscaler(nearest(kind), WorkPlan(2, None), color)(batch)
    assert (out.pts, out.durations, out.time_base) == (batch.pts, batch.durations, batch.time_base)
    assert out.size == (20, 28)
    assert out.color == color
    for mine, source in zip(out.planes, batch.planes, strict=True):
        assert isinstance(mine, np.ndarray) and mine.dtype == source.dtype
        assert np.array_equal(mine, repeated(source, 2))


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("size", [None, (51, 70)])
def test_arrays_and_tensors_come_out_alike(size: tuple[int, int] | None, depth: int) -> None:
    color = ColorSpec(depth=depth)
    batch = frames(3, 33, 46, color)
    mine, other = (
        Upscaler(nearest(kind), WorkPlan(2, 32), color, size)(batch) for kind in (ARRAYS, TENSORS)
    )
    for one, another in zip(mine.planes, other.planes, strict=True):
        assert one.shape == another.shape and one.dtype == another.dtype
        apart: NDArray[np.int32] = np.abs(one.astype(np.int32) - another.astype(np.int32))
        # Sums in another order: what lies between two levels may go to the other one.
        assert apart.max() <= 1 and np.count_nonzero(apart) <= one.size // 1000


@both_kinds
def test_out_of_memory_halves_the_batch_then_the_tiles_and_remembers(kind: Kind) -> None:
    batch = frames(8, 60, 60)
    backend = nearest(kind, most_pixels=32 * 32)
    upscaler = Upscaler(backend, WorkPlan(8, None), RGB)
    out = upscaler(batch)
    assert np.array_equal(out.planes[0], repeated(batch.planes[0], 2))
    assert upscaler.plan.batch == 1
    assert upscaler.plan.tile == 32  # 60, 32: nothing below the least tile
    backend.calls.clear()
    upscaler(frames(1, 60, 60))
    assert all(call[1:3] == (32, 32) for call in backend.calls)


def test_out_of_memory_at_the_smallest_is_an_error_that_says_what_to_do() -> None:
    upscaler = Upscaler(NearestBackend(2, most_pixels=100), WorkPlan(1, None), RGB)
    with pytest.raises(VidsrError, match="take a smaller model"):
        upscaler(frames(1, 60, 60))


@both_kinds
def test_other_sizes_by_an_antialiased_resize(kind: Kind) -> None:
    flat = frames(1, 16, 16)
    flat = FrameBatch(
        tuple(np.full_like(plane, 77) for plane in flat.planes), RGB, flat.pts, flat.time_base
    )
    out = Upscaler(nearest(kind), WorkPlan(1, None), RGB, (24, 20))(flat)
    assert out.size == (24, 20)
    assert all(bool((plane == 77).all()) for plane in out.planes)


@both_kinds
def test_alpha_goes_along(kind: Kind) -> None:
    color = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1), alpha=True)
    batch = frames(1, 8, 8, color)
    opaque = FrameBatch(
        (*batch.planes[:3], np.full_like(batch.planes[3], 255)), color, batch.pts, batch.time_base
    )
    out = Upscaler(nearest(kind), WorkPlan(1, None), color)(opaque)
    assert out.planes[3].shape == (1, 16, 16)
    assert bool((out.planes[3] == 255).all())


@both_kinds
def test_eight_bits_into_ten_pass_no_eight_bit_step(kind: Kind) -> None:
    class Halfway(NearestBackend):
        def __call__(self, lr: Array) -> Array:
            assert is_floating(lr)
            return (super().__call__(lr) + 0.5 / 255).clip(0, 1)

    batch = frames(1, 16, 16)
    out = Upscaler(Halfway(2, device=kind.device), WorkPlan(1, None), DEEP)(batch)
    expected = ((repeated(batch.planes[0], 2).astype(np.float64) + 0.5) / 255 * 1023).clip(0, 1023)
    assert np.abs(out.planes[0] - expected.round()).max() <= 1


def test_work_is_planned_by_memory() -> None:
    backend = NearestBackend()
    assert plan_work((100, 100), backend, 10**9, None, None) == WorkPlan(1, None)
    tight = plan_work((100, 100), backend, 2 * backend.bytes_per_pixel * 64 * 64, None, None)
    assert tight == WorkPlan(1, 64)
    assert plan_work((100, 100), backend, 10**9, 7, 50) == WorkPlan(7, 50)
    assert all(free_bytes(kind.device) > 10**7 for kind in (ARRAYS, TENSORS))
