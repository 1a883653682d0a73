"""Lanes: the processor's copy nothing; a card's copy all the while and mix nothing up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.gpu import require_gpu
from tests.inference.late_lanes import LateLanes
from tests.inference.nearest import NearestBackend
from tests.inference.test_upscaler import frames
from tests.video.kinds import Kind, both_kinds
from vidsr.arrays import device_of
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.lanes import Arrival, HostLanes, Planes, joined, lanes_of
from vidsr.inference.ring import ring
from vidsr.inference.upscaler import Upscaler, WorkPlan


@both_kinds
def test_the_processor_copies_nothing(kind: Kind) -> None:
    lanes = lanes_of(kind.device)
    assert isinstance(lanes, HostLanes)
    planes: Planes = (np.zeros((2, 3), np.uint8), np.arange(4, dtype=np.uint16))
    with lanes.computing():
        there = lanes.up(planes)
        assert all(device_of(plane) == kind.device for plane in there)
        here = lanes.down(there).wait()
    for same, plane in zip(here, planes, strict=True):
        assert np.array_equal(same, plane)
        assert np.shares_memory(same, plane)


@both_kinds
def test_planes_of_several_batches_are_joined_in_their_order(kind: Kind) -> None:
    first, second = (
        tuple(kind.of(np.full((count, side, 3), 10 * count, np.uint8)) for side in (4, 2))
        for count in (1, 2)
    )
    assert joined([first]) is first
    luma, chroma = (kind.back(plane) for plane in joined([first, second, first]))
    assert luma.shape == (4, 4, 3) and chroma.shape == (4, 2, 3)
    assert luma[:, 0, 0].tolist() == chroma[:, 0, 0].tolist() == [10, 20, 20, 10]


@both_kinds
@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("depth", [8, 10])
def test_an_upscaler_gives_the_same_whatever_is_on_its_way(slots: int, depth: int, kind: Kind) -> None:
    """Repeated frames among them: a result may be used twice, but never written into."""
    color = ColorSpec(depth=depth)
    first, second = frames(2, 12, 10, color), frames(3, 12, 10, color)
    # Two equal batches, two frames that differ in one pixel, and a shorter batch.
    changed = FrameBatch(
        tuple(plane.copy() for plane in first.planes), color, first.pts, first.time_base
    )
    changed.planes[0][1, 6, 5] = 20
    batches = [first, first, changed, second, first]
    lanes = LateLanes(slots, kind.device)
    plan = WorkPlan(2, None)
    backend = NearestBackend(2, device=kind.device)
    expected = [Upscaler(backend, plan, color)(batch) for batch in batches]
    found = list(Upscaler(backend, plan, color, lanes=lanes).stream(batches))
    assert [batch.pts for batch in found] == [batch.pts for batch in batches]
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.color == color
        assert all(map(np.array_equal, mine.planes, theirs.planes))
    assert lanes.log.count("down") == len(batches)
    assert lanes.log.index("down") >= slots  # so many went up before the first came down


def test_a_lack_of_memory_with_several_on_their_way_costs_no_frame() -> None:
    color = ColorSpec()
    batches = [frames(count, 60, 60, color) for count in (2, 2, 1, 2)]
    backend = NearestBackend(2, most_pixels=60 * 60)
    upscaler = Upscaler(backend, WorkPlan(2, None), color, lanes=LateLanes())
    found = list(upscaler.stream(batches))
    assert upscaler.plan == WorkPlan(1, None)
    for batch, mine in zip(batches, found, strict=True):
        whole = Upscaler(NearestBackend(2), WorkPlan(2, None), color)(batch)
        assert mine.pts == batch.pts
        assert all(map(np.array_equal, mine.planes, whole.planes))


@pytest.mark.gpu
def test_a_card_mixes_nothing_up() -> None:
    lanes = lanes_of(require_gpu())
    random = np.random.default_rng(0)
    sources: list[NDArray[Any]] = [random.integers(0, 256, (4, 300, 500), np.uint8) for _ in range(40)]
    sources += [plane.astype(np.uint16) for plane in sources[:3]]

    def begin(plane: NDArray[Any]) -> Arrival:
        with lanes.computing():
            (there,) = lanes.up((plane,))
            busy = torch.rand(2048, 2048, device="cuda")
            for _ in range(20):
                busy = busy @ busy / 1024  # so that copies would overtake, were nothing in their way
            return lanes.down((there, (there.int() * 2).flip(1)))

    results = list(ring(sources, begin, lanes.slots))
    assert len(results) == len(sources)
    for plane, (same, doubled) in zip(sources, results, strict=True):
        assert torch.from_numpy(same).is_pinned()
        assert np.array_equal(same, plane)
        assert np.array_equal(doubled, plane[:, ::-1].astype(np.int32) * 2)


@pytest.mark.gpu
@pytest.mark.parametrize("depth", [8, 10])
def test_a_card_gives_what_the_processor_gives(depth: int) -> None:
    """Colour, copies and several batches on their way; the network repeats pixels on either."""

    backend = NearestBackend(2, device=require_gpu())
    color = ColorSpec(depth=depth)
    batches = [frames(count, 90, 122, color) for count in (4, 4, 3, 4, 1, 4)]
    plan = WorkPlan(4, None)
    expected = [Upscaler(NearestBackend(2), plan, color)(batch) for batch in batches]
    found = list(Upscaler(backend, plan, color).stream(batches))
    assert [batch.pts for batch in found] == [batch.pts for batch in batches]
    for mine, theirs in zip(found, expected, strict=True):
        for a, b in zip(mine.planes, theirs.planes, strict=True):
            # Both compute colours in fp32; a card may contract a product and a sum into one rounding.
            assert np.abs(a.astype(np.int32) - b).max() <= 1
