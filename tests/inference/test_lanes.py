"""Lanes: the processor's copy nothing; a card's copy all the while and mix nothing up."""

from __future__ import annotations

import pytest
import torch

from tests.gpu import require_gpu
from tests.inference.late_lanes import LateLanes
from tests.inference.nearest import NearestBackend
from tests.inference.test_upscaler import frames
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.lanes import CudaLanes, HostLanes, lanes_of
from vidsr.inference.ring import ring
from vidsr.inference.upscaler import Upscaler, WorkPlan


def test_the_processor_copies_nothing() -> None:
    lanes = lanes_of(torch.device("cpu"))
    assert isinstance(lanes, HostLanes)
    planes = (torch.zeros(2, 3), torch.ones(4))
    with lanes.computing():
        assert lanes.up(planes) is planes
        assert lanes.down(planes).wait() is planes


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("depth", [8, 10])
def test_an_upscaler_gives_the_same_whatever_is_on_its_way(slots: int, depth: int) -> None:
    """Repeated frames among them: a result may be used twice, but never written into."""
    color = ColorSpec(depth=depth)
    first, second = frames(2, 12, 10, color), frames(3, 12, 10, color)
    # Two equal batches, two frames that differ in one pixel, and a shorter batch.
    changed = FrameBatch(
        tuple(plane.clone() for plane in first.planes), color, first.pts, first.time_base
    )
    changed.planes[0][1, 6, 5] = 20
    batches = [first, first, changed, second, first]
    lanes = LateLanes(slots)
    plan = WorkPlan(2, None)
    expected = [Upscaler(NearestBackend(2), plan, color)(batch) for batch in batches]
    found = list(Upscaler(NearestBackend(2), plan, color, lanes=lanes).stream(batches))
    assert [batch.pts for batch in found] == [batch.pts for batch in batches]
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.color == color
        assert all(map(torch.equal, mine.planes, theirs.planes))
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
        assert all(map(torch.equal, mine.planes, whole.planes))


@pytest.mark.gpu
def test_a_card_mixes_nothing_up() -> None:
    lanes = CudaLanes(require_gpu())
    sources = [torch.randint(0, 256, (4, 300, 500), dtype=torch.uint8) for _ in range(40)]
    sources += [plane.to(torch.uint16) for plane in sources[:3]]

    def begin(plane: torch.Tensor) -> object:
        with lanes.computing():
            (there,) = lanes.up((plane,))
            busy = torch.rand(2048, 2048, device="cuda")
            for _ in range(20):
                busy = busy @ busy / 1024  # so that copies would overtake, were nothing in their way
            return lanes.down((there, (there.int() * 2).flip(1)))

    results = list(ring(sources, begin, lanes.slots))  # type: ignore[arg-type]
    assert len(results) == len(sources)
    for plane, (same, doubled) in zip(sources, results, strict=True):  # type: ignore[misc]
        assert same.device.type == "cpu" and same.is_pinned()
        assert torch.equal(same, plane)
        assert torch.equal(doubled, (plane.int() * 2).flip(1))


@pytest.mark.gpu
@pytest.mark.parametrize("depth", [8, 10])
def test_a_card_gives_what_the_processor_gives(depth: int) -> None:
    """Colour, copies and several batches on their way; the network repeats pixels on either."""

    class OnCard(NearestBackend):
        device = require_gpu()

    backend = OnCard(2)
    color = ColorSpec(depth=depth)
    batches = [frames(count, 90, 122, color) for count in (4, 4, 3, 4, 1, 4)]
    plan = WorkPlan(4, None)
    expected = [Upscaler(NearestBackend(2), plan, color)(batch) for batch in batches]
    found = list(Upscaler(backend, plan, color).stream(batches))
    assert [batch.pts for batch in found] == [batch.pts for batch in batches]
    for mine, theirs in zip(found, expected, strict=True):
        for a, b in zip(mine.planes, theirs.planes, strict=True):
            # Both compute colours in fp32; a card may contract a product and a sum into one rounding.
            assert (a.int() - b.int()).abs().max() <= 1
