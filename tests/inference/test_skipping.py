"""Work left out changes no bit: every backend of the processor, beside computing everything."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.inference.late_lanes import LateLanes
from tests.inference.nearest import NearestBackend
from tests.inference.test_backend_contract import BACKENDS
from tests.video.kinds import Kind, both_kinds
from vidsr.arrays import Array, DType
from vidsr.cores import use_threads
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.backend import Abreast, SizeLimits
from vidsr.inference.exactness import exact_alone, exact_in_tiles
from vidsr.inference.tiling import plan_tiles
from vidsr.inference.upscaler import Upscaler, WorkPlan
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig, Upsampler
from vidsr.models.weights import Weights, find_weights
from vidsr.models.weights_file import save_weights
from vidsr.video.chroma import chroma_size

HEIGHT, WIDTH = 131, 197  # a patch of the generators below is about 70 on a side
YUV = ColorSpec()
ALPHA = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1), alpha=True)
PROCESSOR = ["cpu", "cpu-bf16", "openvino", "openvino-int8"]

Frame = list[NDArray[Any]]
Planes = tuple[Array, ...]

of_tensors_and_of_arrays = pytest.mark.parametrize("name", ["cpu", "openvino"])


def saved(folder: Path, upsampler: Upsampler) -> Weights:
    torch.manual_seed(3)
    path = folder / "small.safetensors"
    config = GeneratorConfig(blocks=2, channels=16, scale=2, head_kernel=5, upsampler=upsampler)
    save_weights(path, Generator(config), metadata={})
    return find_weights(str(path), 2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return saved(tmp_path_factory.mktemp("weights"), "single")


def first_frame(color: ColorSpec) -> Frame:
    random = np.random.default_rng(7)
    small = chroma_size((HEIGHT, WIDTH), color.subsampling)
    sizes = [(HEIGHT, WIDTH), small, small] + [(HEIGHT, WIDTH)] * color.alpha
    dtype = np.uint8 if color.depth == 8 else np.uint16
    return [random.integers(0, 1 << color.depth, size, dtype) for size in sizes]


def changed(planes: Sequence[NDArray[Any]], *places: tuple[int, int, int, int]) -> Frame:
    """The same planes with squares (plane, y, x, side) of other samples."""
    after = [plane.copy() for plane in planes]
    for plane, y, x, side in places:
        window = after[plane][y : y + side, x : x + side]
        window[...] = (window[::-1].astype(np.int32) + 37) % 251
    return after


def screen(color: ColorSpec) -> list[Frame]:
    """Frames as of a screen: nothing happens, a cursor moves, a word appears, a window opens."""
    a = first_frame(color)
    b = changed(a, (0, 60, 90, 5))
    c = changed(b, (0, 0, 0, 3), (0, HEIGHT - 2, WIDTH - 2, 2))  # two corners
    d = changed(c, (1, chroma_size((HEIGHT, WIDTH), color.subsampling)[0] - 1, 0, 1))  # colour alone
    e = changed(d, *((plane, 0, 0, WIDTH) for plane in range(3)))  # everything
    f = changed(e, (2, 20, 20, 4))
    return [a, a, b, b, b, c, d, d, e, f, f, a]


EQUAL, PARTIAL = 5, 4  # of those twelve


def batches(frames: list[Frame], color: ColorSpec, size: int) -> list[FrameBatch]:
    planes = tuple(map(np.stack, zip(*frames, strict=True)))
    whole = FrameBatch(planes, color, tuple(range(len(frames))), Fraction(1, 25))
    return list(whole.split(size))


def run(upscaler: Upscaler, parts: list[FrameBatch]) -> list[Planes]:
    """Every frame's planes."""
    return [frame.planes for part in parts for frame in upscaler(part).split(1)]


def assert_same(some: list[Planes], others: list[Planes]) -> None:
    for index, (one, other) in enumerate(zip(some, others, strict=True)):
        for left, right in zip(one, other, strict=True):
            assert np.array_equal(left, right), f"frame {index}"


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("name", PROCESSOR)
def test_what_comes_out_is_the_same_to_the_bit(name: str, depth: int, tmp_path: Path) -> None:
    weights = saved(tmp_path, "single" if depth == 8 else "staged")
    color = ColorSpec(depth=depth)
    parts = batches(screen(color), color, 1)
    with BACKENDS[name](weights) as backend:
        everything = run(Upscaler(backend, WorkPlan(1, None), color), parts)
        upscaler = Upscaler(backend, WorkPlan(1, None), color, skip=True)
        assert_same(run(upscaler, parts), everything)
    tally = upscaler.tally
    assert not tally.inexact
    assert (tally.frames, tally.repeated, tally.partial) == (12, EQUAL, PARTIAL)
    assert 3 < tally.network < 3 + 0.75 * PARTIAL  # three whole frames


@pytest.mark.parametrize("upsampler", get_args(Upsampler))
@pytest.mark.parametrize("name", PROCESSOR)
def test_backends_of_the_processor_are_exact_in_pieces(
    name: str, upsampler: Upsampler, tmp_path: Path
) -> None:
    weights = saved(tmp_path, upsampler)
    with BACKENDS[name](weights) as backend:
        dtypes: tuple[DType, ...] = ("uint8", "float32")
        for dtype in dtypes:
            assert exact_alone(backend, (3, 40, 52, 3), dtype)
            for side in (40, 57):
                tiles = plan_tiles(90, 110, side, backend.receptive_radius)
                assert exact_in_tiles(backend, (90, 110), dtype, tiles)
            # With less context it must show, or this test would prove nothing.
            short = plan_tiles(90, 110, 40, backend.receptive_radius // 2)
            assert not exact_in_tiles(backend, (90, 110), dtype, short)


@of_tensors_and_of_arrays
@pytest.mark.parametrize("plan", [WorkPlan(1, 72), WorkPlan(4, None), WorkPlan(3, 72)])
def test_tiles_and_batches_in_every_combination(plan: WorkPlan, name: str, weights: Weights) -> None:
    parts = batches(screen(YUV), YUV, plan.batch)
    with BACKENDS[name](weights) as backend:
        everything = run(Upscaler(backend, plan, YUV), parts)
        upscaler = Upscaler(backend, plan, YUV, skip=True)
        assert_same(run(upscaler, parts), everything)
    assert upscaler.tally.frames == 12
    assert upscaler.tally.repeated + upscaler.tally.partial > 2
    assert upscaler.tally.network < 11


def test_where_one_begins_makes_no_difference(weights: Weights) -> None:
    parts = batches(screen(YUV), YUV, 1)
    with BACKENDS["cpu"](weights) as backend:
        whole = run(Upscaler(backend, WorkPlan(1, None), YUV, skip=True), parts)
        for start in (2, 6):
            upscaler = Upscaler(backend, WorkPlan(1, None), YUV, skip=True)
            assert_same(run(upscaler, parts[start:]), whole[start:])


@of_tensors_and_of_arrays
def test_several_batches_on_their_way_at_once(name: str, weights: Weights) -> None:
    parts = batches(screen(YUV), YUV, 1)
    with BACKENDS[name](weights) as backend:
        everything = run(Upscaler(backend, WorkPlan(1, None), YUV), parts)
        lanes = LateLanes(device=backend.device)
        upscaler = Upscaler(backend, WorkPlan(1, None), YUV, lanes=lanes, skip=True)
        assert_same([batch.planes for batch in upscaler.stream(parts)], everything)
    assert lanes.log.count("up") == len(parts) - EQUAL  # what is not computed stays where it is


@pytest.mark.usefixtures("own_threads")
@pytest.mark.parametrize("name", ["openvino", "openvino-int8"])
def test_small_frames_side_by_side_are_the_same_to_the_bit(name: str, weights: Weights) -> None:
    parts = batches(screen(YUV), YUV, 1)
    use_threads(2)
    with BACKENDS[name](weights) as backend:
        assert isinstance(backend, Abreast) and backend.calls_at_once(HEIGHT * WIDTH) > 1
        everything = run(Upscaler(backend, WorkPlan(1, None), YUV), parts)
        for skip in (False, True):
            upscaler = Upscaler(backend, WorkPlan(1, None), YUV, skip=skip)
            assert_same([batch.planes for batch in upscaler.stream(parts)], everything)
    assert (upscaler.tally.frames, upscaler.tally.repeated, upscaler.tally.partial) == (
        12,
        EQUAL,
        PARTIAL,
    )


@of_tensors_and_of_arrays
def test_other_sizes_and_alpha(name: str, weights: Weights) -> None:
    frames = screen(ALPHA)
    frames.insert(2, changed(frames[1], (3, 9, 9, 30)))  # alpha alone
    parts = batches(frames, ALPHA, 1)
    size = (200, 300)
    with BACKENDS[name](weights) as backend:
        everything = run(Upscaler(backend, WorkPlan(1, None), ALPHA, size), parts)
        upscaler = Upscaler(backend, WorkPlan(1, None), ALPHA, size, skip=True)
        out = run(upscaler, parts)
    assert_same(out, everything)
    assert not np.array_equal(out[1][3], out[2][3])
    assert upscaler.tally.partial == PARTIAL + 1


class Moody(NearestBackend):
    """Another result for another size of the call, as kernels chosen by size have it."""

    def __call__(self, lr: Array) -> Array:
        """Brighter by one where frames times rows is odd."""
        return super().__call__(lr) + lr.shape[0] * lr.shape[1] % 2


@both_kinds
def test_a_backend_that_is_not_exact_has_only_whole_frames_left_out(kind: Kind) -> None:
    parts = batches(screen(YUV), YUV, 1)
    backend = Moody(2, device=kind.device)
    everything = run(Upscaler(backend, WorkPlan(1, None), YUV), parts)
    upscaler = Upscaler(backend, WorkPlan(1, None), YUV, skip=True)
    assert_same(run(upscaler, parts), everything)
    assert (upscaler.tally.repeated, upscaler.tally.partial) == (EQUAL, 0)
    assert upscaler.tally.inexact


@both_kinds
def test_a_batch_is_left_whole_where_frames_come_out_otherwise_alone(kind: Kind) -> None:
    frames = screen(YUV)[:2] * 2
    parts = batches(frames, YUV, 2)
    backend = Moody(2, device=kind.device)
    everything = run(Upscaler(backend, WorkPlan(2, None), YUV), parts)
    upscaler = Upscaler(backend, WorkPlan(2, None), YUV, skip=True)
    assert_same(run(upscaler, parts), everything)
    assert (upscaler.tally.network, upscaler.tally.repeated) == (2, 2)  # the second batch is the first


def test_sizes_that_must_be_made_ready_are_not_asked_for() -> None:
    backend = NearestBackend(2, SizeLimits(prepared=True))
    upscaler = Upscaler(backend, WorkPlan(1, None), YUV, skip=True)
    run(upscaler, batches(screen(YUV), YUV, 1))
    assert set(backend.calls) == {(1, HEIGHT, WIDTH, 3)}
    assert upscaler.tally.repeated == EQUAL


@both_kinds
def test_a_lack_of_memory_begins_anew_with_other_tiles(kind: Kind) -> None:
    parts = batches(screen(YUV), YUV, 1)
    backend = NearestBackend(2, most_pixels=80 * 80, device=kind.device)
    upscaler = Upscaler(backend, WorkPlan(1, None), YUV, skip=True)
    everything = Upscaler(NearestBackend(2, device=kind.device), WorkPlan(1, None), YUV)
    expected = run(everything, parts)
    assert_same(run(upscaler, parts), expected)
    assert upscaler.plan.tile is not None


def test_only_the_frame_before_is_remembered() -> None:
    a = first_frame(YUV)
    b = changed(a, (0, 60, 90, 5))
    backend = NearestBackend(2)
    upscaler = Upscaler(backend, WorkPlan(1, None), YUV, skip=True)
    run(upscaler, batches([a, b, a], YUV, 1))
    assert (upscaler.tally.repeated, upscaler.tally.partial) == (0, 2)


def test_what_will_be_skipped_is_known_beforehand() -> None:
    backend = NearestBackend(2)
    (frames,) = batches(screen(YUV), YUV, 12)
    upscaler = Upscaler(backend, WorkPlan(1, None), YUV, skip=True)
    foreseen = upscaler.foresee(frames)
    assert upscaler.tally.frames == 0
    assert (foreseen.count(0.0), foreseen.count(1.0)) == (EQUAL, 11 - EQUAL - PARTIAL)
    run(upscaler, list(frames.split(1)))
    assert upscaler.tally.network == pytest.approx(1 + sum(foreseen))
    assert Upscaler(backend, WorkPlan(1, None), YUV).foresee(frames) == [1.0] * 11
