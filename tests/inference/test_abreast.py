"""Several frames in the network at once: in order, whole, and with their errors in their places."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from tests.inference.nearest import CPU, NearestBackend
from tests.inference.test_skipping import EQUAL, PARTIAL, YUV, assert_same, batches, run, screen
from tests.video.kinds import Kind, both_kinds
from vidsr.arrays import Array, Device
from vidsr.errors import OutOfMemory, VidsrError
from vidsr.frames import FrameBatch
from vidsr.inference.upscaler import Upscaler, WorkPlan

CALLS = 3


class Crowd(NearestBackend):
    """Takes three small frames at once, and is done with the later ones first."""

    small_px = 1 << 20

    def __init__(self, most_pixels: int | None = None, device: Device = CPU) -> None:
        super().__init__(2, most_pixels=most_pixels, device=device)
        self.together = 0  # most calls at once
        self._inside = 0
        self._turn = 0
        self._lock = threading.Lock()
        self._invited = False

    def calls_at_once(self, pixels: int) -> int:
        """Three, where they are small."""
        return CALLS if pixels <= self.small_px else 1

    @contextmanager
    def abreast(self) -> Iterator[None]:
        """Calls from threads come only within."""
        self._invited = True
        yield
        self._invited = False

    def __call__(self, lr: Array) -> Array:
        """Repeat pixels, every third call the slowest."""
        with self._lock:
            self._inside += 1
            self._turn += 1
            turn = self._turn
            assert self._inside == 1 or self._invited
            self.together = max(self.together, self._inside)
        time.sleep(0.004 * (3 - turn % 3))
        try:
            return super().__call__(lr)
        finally:
            with self._lock:
                self._inside -= 1


def several() -> list[FrameBatch]:
    """Twice the frames of a screen, the second time with a change of everything in between."""
    frames = screen(YUV)
    return batches([*frames, *([*frame] for frame in frames[::-1])], YUV, 1)


@both_kinds
@pytest.mark.parametrize("skip", [False, True])
def test_frames_come_in_their_order_and_as_alone(skip: bool, kind: Kind) -> None:
    parts = several()
    nearest = NearestBackend(2, device=kind.device)
    everything = run(Upscaler(nearest, WorkPlan(1, None), YUV), parts)
    backend = Crowd(device=kind.device)
    upscaler = Upscaler(backend, WorkPlan(1, None), YUV, skip=skip)
    out = list(upscaler.stream(parts))
    assert [batch.pts for batch in out] == [batch.pts for batch in parts]
    assert_same([batch.planes for batch in out], everything)
    assert 1 < backend.together <= CALLS
    assert upscaler.tally.frames == len(parts)
    if skip:
        alone = Upscaler(nearest, WorkPlan(1, None), YUV, skip=True)
        run(alone, parts)
        # The shares of the frames were added up in another order.
        network = pytest.approx(upscaler.tally.network)
        assert alone.tally.network == network
        assert replace(alone.tally, network=0.0) == replace(upscaler.tally, network=0.0)
        assert (alone.tally.repeated, alone.tally.partial) > (EQUAL, PARTIAL)


def test_large_frames_come_one_by_one() -> None:
    parts = several()
    backend = Crowd()
    backend.small_px = 1000
    assert len(list(Upscaler(backend, WorkPlan(1, None), YUV).stream(parts))) == len(parts)
    assert backend.together == 1


def test_nothing_comes_of_nothing() -> None:
    assert list(Upscaler(Crowd(), WorkPlan(1, None), YUV).stream([])) == []


@pytest.mark.parametrize("skip", [False, True])
def test_a_lack_of_memory_is_answered_by_each_with_smaller_tiles(skip: bool) -> None:
    parts = several()
    everything = run(Upscaler(NearestBackend(2), WorkPlan(1, None), YUV), parts)
    upscaler = Upscaler(Crowd(most_pixels=80 * 80), WorkPlan(1, None), YUV, skip=skip)
    assert_same([batch.planes for batch in upscaler.stream(parts)], everything)
    # 197, 98, 49: three frames found the first to be too large, and halved it once.
    assert upscaler.plan.tile == 49


def test_an_error_comes_in_the_place_of_its_frame() -> None:
    class Failing(Crowd):
        def __call__(self, lr: Array) -> Array:
            sr = super().__call__(lr)
            if bool((lr == 255).all()):
                raise VidsrError("too bright")
            return sr

    dark, bright = (
        [np.full((40, 40), luma, np.uint8)] + [np.full((20, 20), 128, np.uint8)] * 2
        for luma in (30, 235)
    )
    half = [plane.copy() for plane in dark]
    half[0][:, 20:] = 60
    parts = batches([dark, half, bright, dark, half], YUV, 1)
    for skip in (False, True):
        stream = Upscaler(Failing(), WorkPlan(1, None), YUV, skip=skip).stream(parts)
        assert [next(stream).pts, next(stream).pts] == [(0,), (1,)]
        with pytest.raises(VidsrError, match="too bright"):
            next(stream)


def test_no_tile_that_fits_ends_the_run() -> None:
    upscaler = Upscaler(Crowd(most_pixels=100), WorkPlan(1, None), YUV, skip=True)
    with pytest.raises(VidsrError, match="not even one tile") as caught:
        list(upscaler.stream(several()))
    assert not isinstance(caught.value, OutOfMemory)
