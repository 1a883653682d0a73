from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vidsr.distributed import World
from vidsr.errors import TrainingError
from vidsr.train_config import TrainConfig
from vidsr.training.edges import without_texture
from vidsr.training.patches import (
    PatchCutter,
    PatchPlan,
    Pictures,
    PictureTable,
    as_pair,
    pairs,
    plan_of,
)

SCALE = 2


def make_pictures(sizes: list[tuple[int, int]], versions: int = 1, *, noise: bool = True) -> Pictures:
    """Frames of these LR sizes; in HR every pixel names its frame, row and column, LR likewise."""
    pixels, hr_at, lr_at, at = [], [], [], 0
    for number, (height, width) in enumerate(sizes):
        hr = torch.zeros(height * SCALE, width * SCALE, 3, dtype=torch.uint8)
        hr[..., 0] = torch.arange(height * SCALE)[:, None]
        hr[..., 1] = torch.arange(width * SCALE) if noise else 7
        hr[..., 2] = number
        pixels.append(hr.view(-1, 3))
        hr_at.append(at)
        at += hr.shape[0] * hr.shape[1]
        lr_at.append([at + version * height * width for version in range(versions)])
        for version in range(versions):
            lr = hr[::SCALE, ::SCALE].clone()
            lr[..., 2] = 100 * version + number
            pixels.append(lr.reshape(-1, 3))
        at += versions * height * width
    table = PictureTable(
        hr=torch.tensor(hr_at),
        lr=torch.tensor(lr_at),
        height=torch.tensor([size[0] for size in sizes]),
        width=torch.tensor([size[1] for size in sizes]),
        clip=torch.arange(len(sizes)),
    )
    return Pictures(torch.cat(pixels), table, SCALE)


def half_flat(versions: int = 1) -> Pictures:
    """Two frames of one size: the green of the first is even, that of the second is not."""
    flat = make_pictures([(40, 40)], versions, noise=False)
    lively = make_pictures([(40, 40)], versions)
    shift = len(flat.pixels)
    table = PictureTable(
        hr=torch.cat([flat.table.hr, lively.table.hr + shift]),
        lr=torch.cat([flat.table.lr, lively.table.lr + shift]),
        height=torch.tensor([40, 40]),
        width=torch.tensor([40, 40]),
        clip=torch.tensor([0, 1]),
    )
    return Pictures(torch.cat([flat.pixels, lively.pixels]), table, SCALE)


def test_patches_are_aligned_cuts_of_the_pictures() -> None:
    pictures = make_pictures([(20, 33), (41, 17)])
    cutter = PatchCutter(pictures, PatchPlan(patch=8, batch=64, seed=3))
    seen = set()
    turns = set()
    for step in range(10):
        lr, hr = cutter.cut(step)
        assert lr.shape == (64, 8, 8, 3)
        assert hr.shape == (64, 16, 16, 3)
        assert lr.dtype == hr.dtype == torch.uint8
        for small, large in zip(lr, hr, strict=True):
            frame = int(small[0, 0, 2])
            assert bool((small[..., 2] == frame).all()) and bool((large[..., 2] == frame).all())
            # Undo the turn by what the pixels say, then the patch must be an upright cut.
            transposed = int(small[1, 0, 0]) == int(small[0, 0, 0])
            if transposed:
                small, large = small.transpose(0, 1), large.transpose(0, 1)
            down = int(small[1, 0, 0]) > int(small[0, 0, 0])
            right = int(small[0, 1, 1]) > int(small[0, 0, 1])
            flips = [axis for axis, forward in ((0, down), (1, right)) if not forward]
            small, large = small.flip(flips), large.flip(flips)
            turns.add((transposed, down, right))
            y, x = int(small[0, 0, 0]) // SCALE, int(small[0, 0, 1]) // SCALE
            upright_lr, upright_hr = pictures.frame(frame, 0)
            assert torch.equal(small, upright_lr[y : y + 8, x : x + 8])
            inside = upright_hr[y * SCALE : (y + 8) * SCALE, x * SCALE : (x + 8) * SCALE]
            assert torch.equal(large, inside)
            seen.add((frame, y, x))
    assert len(turns) == 8
    assert {frame for frame, _, _ in seen} == {0, 1}
    # 13 x 26 and 34 x 10 places: about half of the patches from each, and the borders reached.
    assert 0.35 < sum(frame == 0 for frame, _, _ in seen) / len(seen) < 0.65
    assert {0, 12} <= {y for frame, y, _ in seen if frame == 0}
    assert {0, 9} <= {x for frame, _, x in seen if frame == 1}


def test_the_batch_depends_on_seed_and_step_alone() -> None:
    pictures = make_pictures([(30, 30)])
    plan = PatchPlan(patch=8, batch=4, seed=1)
    first, second = PatchCutter(pictures, plan), PatchCutter(pictures, plan)
    first.cut(0)
    assert torch.equal(first.cut(7)[1], second.cut(7)[1])
    assert not torch.equal(first.cut(7)[1], first.cut(8)[1])
    other = PatchCutter(pictures, PatchPlan(patch=8, batch=4, seed=2))
    assert not torch.equal(first.cut(7)[1], other.cut(7)[1])


def test_processes_share_one_batch_without_overlap() -> None:
    pictures = make_pictures([(30, 30)])
    whole = PatchCutter(pictures, PatchPlan(patch=8, batch=6, seed=1)).cut(5)
    parts = [
        PatchCutter(pictures, PatchPlan(patch=8, batch=6, seed=1, rank=rank, ranks=3)).cut(5)
        for rank in range(3)
    ]
    for index in range(2):
        for rank, part in enumerate(parts):
            assert torch.equal(whole[index][rank::3], part[index])


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    with pytest.raises(TrainingError, match="multiple"):
        PatchPlan(patch=8, batch=5, seed=1, ranks=2)


@pytest.mark.parametrize(("share", "low", "high"), [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.5, 0.4, 0.6)])
def test_clean_and_degraded_versions_come_in_their_shares(share: float, low: float, high: float) -> None:
    pictures = make_pictures([(30, 30)], versions=3)
    cutter = PatchCutter(pictures, PatchPlan(patch=8, batch=300, seed=1, clean_share=share))
    versions = cutter.cut(0)[0][:, 0, 0, 2] // 100
    assert low <= float((versions == 0).float().mean()) <= high
    if share == 0.5:
        assert set(versions.tolist()) == {0, 1, 2}


def test_clean_patches_come_first_in_every_part_and_no_detail_is_asked_of_the_rest() -> None:
    pictures = make_pictures([(30, 30)], versions=3)
    plan = PatchPlan(patch=8, batch=12, seed=1, clean_share=0.0, clean=4)
    cutter = PatchCutter(pictures, plan)
    for step in range(5):
        versions = cutter.cut(step)[0][:, 0, 0, 2] // 100
        assert versions[:4].tolist() == [0] * 4
        assert 0 not in versions[4:].tolist()
    mine = PatchCutter(pictures, replace(plan, rank=1, ranks=2)).pair(0, torch.device("cpu"))
    assert mine.judged == 2
    parts = mine.split(2)
    assert [part.judged for part in parts] == [1, 1]
    assert torch.equal(parts[1].lr, mine.lr[1::2])


def test_degraded_patches_may_be_held_against_their_edges() -> None:
    pictures = make_pictures([(30, 30)], versions=3)
    plan = PatchPlan(patch=8, batch=6, seed=1, clean=4, degraded_detail="edges")
    pair = PatchCutter(pictures, plan).pair(0, torch.device("cpu"))
    assert pair.judged is None and pair.real is not None
    assert torch.equal(pair.ideal[:4], pair.hr[:4])
    assert torch.equal(pair.ideal[4:], without_texture(pair.hr[4:]))
    for part, start in zip(pair.split(2), (0, 1), strict=True):
        assert torch.equal(part.ideal, pair.real[start::2])


def test_flat_patches_give_way_among_clean_and_degraded_ones() -> None:
    plan = PatchPlan(patch=16, batch=200, seed=0, flat_share=0.0, clean=100)
    green = PatchCutter(half_flat(versions=2), plan).cut(0)[1][..., 1].float()
    flat = green.flatten(1).std(dim=1) == 0
    # Half of the candidates are flat and there are two for each patch: few have to be taken.
    assert float(flat[:100].float().mean()) < 0.15
    assert float(flat[100:].float().mean()) < 0.15


@pytest.mark.parametrize(
    ("asked", "ranks", "accumulate", "clean"),
    [(None, 1, 1, 8), (0.25, 1, 1, 12), (0.0, 1, 1, 16), (0.99, 2, 2, 4), (0.4, 4, 1, 8)],
)
def test_degraded_patches_come_in_their_share_and_evenly_to_all_parts(
    asked: float | None, ranks: int, accumulate: int, clean: int
) -> None:
    config = TrainConfig(
        Path(), Path(), preset="small", batch=16, degraded_share=asked, accumulate=accumulate
    )
    world = World(rank=0, size=ranks)
    assert plan_of("adversarial", config, world).clean == clean
    assert plan_of("pixel", config, world).clean is None
    bicubic = replace(config, degradation="bicubic")
    assert plan_of("adversarial", bicubic, world).clean is None
    paper = replace(config, degraded_share=None, preset="paper")
    assert plan_of("adversarial", paper, world).clean is None


def test_flat_patches_give_way_to_textured_ones() -> None:
    refusing = PatchPlan(patch=16, batch=200, seed=0, flat_share=0.0)
    green = PatchCutter(half_flat(), refusing).cut(0)[1][..., 1]
    flats = float((green.float().flatten(1).std(dim=1) == 0).float().mean())
    # Half of the candidates are flat and there are two for each patch: few have to be taken.
    assert flats < 0.1
    taking = PatchPlan(patch=16, batch=200, seed=0, flat_share=1.0)
    green = PatchCutter(half_flat(), taking).cut(0)[1][..., 1]
    assert 0.4 < float((green.float().flatten(1).std(dim=1) == 0).float().mean()) < 0.6


def test_pictures_smaller_than_a_patch_are_passed_over() -> None:
    pictures = make_pictures([(7, 90), (30, 30)])
    lr, _ = PatchCutter(pictures, PatchPlan(patch=8, batch=50, seed=1)).cut(0)
    assert set(lr[..., 2].flatten().tolist()) == {1}
    with pytest.raises(TrainingError, match="smaller --patch"):
        PatchCutter(make_pictures([(7, 90)]), PatchPlan(patch=8, batch=1, seed=1))


def test_pairs_are_floats_in_channels_last_memory() -> None:
    lr, hr = PatchCutter(make_pictures([(30, 30)]), PatchPlan(patch=8, batch=4, seed=1)).cut(0)
    pair = as_pair(lr, hr, torch.device("cpu"), PatchPlan(patch=8, batch=4, seed=1))
    assert pair.lr.shape == (4, 3, 8, 8)
    assert pair.hr.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal((pair.hr * 255).round().to(torch.uint8).permute(0, 2, 3, 1), hr)
    assert float(pair.hr.max()) <= 1


def test_worker_processes_cut_the_same_patches_from_a_file(tmp_path: Path) -> None:
    pictures = make_pictures([(30, 30), (24, 40)], versions=2)
    plan = PatchPlan(patch=8, batch=4, seed=1, clean=2)
    file = tmp_path / "pixels"
    file.write_bytes(pictures.pixels.numpy().tobytes())
    cpu = torch.device("cpu")
    near = pairs(pictures, plan, cpu, first=5)
    far = pairs(pictures, plan, cpu, first=5, file=file, workers=1)
    for _ in range(3):
        one, other = next(near), next(far)
        assert torch.equal(one.lr, other.lr)
        assert torch.equal(one.hr, other.hr)
        assert one.judged == other.judged == 2
