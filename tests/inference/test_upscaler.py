from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from tests.inference.nearest import NearestBackend
from vidsr.errors import VidsrError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.memory import free_bytes
from vidsr.inference.upscaler import Upscaler, WorkPlan, plan_work

YUV = ColorSpec()
RGB = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1))
DEEP = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1), depth=10)


def frames(count: int, height: int, width: int, color: ColorSpec = RGB) -> FrameBatch:
    generator = torch.Generator().manual_seed(count)
    v, h = color.subsampling
    sizes = [(height, width)] + [(-(-height // v), -(-width // h))] * 2
    if color.alpha:
        sizes.append((height, width))
    dtype = torch.uint8 if color.depth == 8 else torch.uint16
    planes = tuple(
        torch.randint(0, 1 << color.depth, (count, *size), generator=generator, dtype=torch.int32).to(
            dtype
        )
        for size in sizes
    )
    return FrameBatch(planes, color, tuple(range(5, 5 + count)), Fraction(1, 25), (1,) * count)


def larger(plane: torch.Tensor, scale: int) -> torch.Tensor:
    return plane.to(torch.int32).repeat_interleave(scale, 1).repeat_interleave(scale, 2)


@pytest.mark.parametrize("color", [RGB, DEEP])
def test_frames_come_back_larger_with_their_times(color: ColorSpec) -> None:
    batch = frames(3, 10, 14, color)
    out = Upscaler(NearestBackend(2), WorkPlan(2, None), color)(batch)
    assert (out.pts, out.durations, out.time_base) == (batch.pts, batch.durations, batch.time_base)
    assert out.size == (20, 28)
    assert out.color == color
    for mine, source in zip(out.planes, batch.planes, strict=True):
        assert torch.equal(mine.to(torch.int32), larger(source, 2))


def test_out_of_memory_halves_the_batch_then_the_tiles_and_remembers() -> None:
    batch = frames(8, 60, 60)
    backend = NearestBackend(2, most_pixels=32 * 32)
    upscaler = Upscaler(backend, WorkPlan(8, None), RGB)
    out = upscaler(batch)
    assert torch.equal(out.planes[0].int(), larger(batch.planes[0], 2))
    assert upscaler.plan.batch == 1
    assert upscaler.plan.tile == 32  # 60, 32: nothing below the least tile
    backend.calls.clear()
    upscaler(frames(1, 60, 60))
    assert all(call[1:3] == (32, 32) for call in backend.calls)


def test_out_of_memory_at_the_smallest_is_an_error_that_says_what_to_do() -> None:
    upscaler = Upscaler(NearestBackend(2, most_pixels=100), WorkPlan(1, None), RGB)
    with pytest.raises(VidsrError, match="take a smaller model"):
        upscaler(frames(1, 60, 60))


def test_other_sizes_by_an_antialiased_resize() -> None:
    flat = frames(1, 16, 16)
    flat = FrameBatch(
        tuple(torch.full_like(plane, 77) for plane in flat.planes), RGB, flat.pts, flat.time_base
    )
    out = Upscaler(NearestBackend(2), WorkPlan(1, None), RGB, (24, 20))(flat)
    assert out.size == (24, 20)
    assert all(bool((plane == 77).all()) for plane in out.planes)


def test_alpha_goes_along() -> None:
    color = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1), alpha=True)
    batch = frames(1, 8, 8, color)
    opaque = FrameBatch(
        (*batch.planes[:3], torch.full_like(batch.planes[3], 255)), color, batch.pts, batch.time_base
    )
    out = Upscaler(NearestBackend(4), WorkPlan(1, None), color)(opaque)
    assert out.planes[3].shape == (1, 32, 32)
    assert bool((out.planes[3] == 255).all())


def test_eight_bits_into_ten_pass_no_eight_bit_step() -> None:
    class Halfway(NearestBackend):
        def __call__(self, lr: torch.Tensor) -> torch.Tensor:
            assert lr.is_floating_point()
            return (super().__call__(lr) + 0.5 / 255).clamp(0, 1)

    batch = frames(1, 16, 16)
    out = Upscaler(Halfway(2), WorkPlan(1, None), DEEP)(batch)
    expected = ((larger(batch.planes[0], 2).double() + 0.5) / 255 * 1023).clamp(0, 1023).round()
    assert (out.planes[0].double() - expected).abs().max() <= 1


def test_work_is_planned_by_memory() -> None:
    backend = NearestBackend()
    assert plan_work((100, 100), backend, 10**9, None, None) == WorkPlan(1, None)
    tight = plan_work((100, 100), backend, 2 * backend.bytes_per_pixel * 64 * 64, None, None)
    assert tight == WorkPlan(1, 64)
    assert plan_work((100, 100), backend, 10**9, 7, 50) == WorkPlan(7, 50)
    assert free_bytes(torch.device("cpu")) > 10**7
