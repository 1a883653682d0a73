"""The way a job computes with engines: chosen once, and changed between segments alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.inference.pretend_engines import BlackEngine, TwoWays, Workshop
from tests.inference.test_upscaler import frames
from vidsr.errors import BackendUnavailable, OutOfMemory
from vidsr.frames import ColorSpec
from vidsr.inference.backend import Call, Renewable, Tunable
from vidsr.inference.engine_key import ShapeRange
from vidsr.inference.skipping import Skipper
from vidsr.inference.upscaler import Upscaler, WorkPlan
from vidsr.progress import Event, Notice, silent

CALL = Call(1, 10, 12, "uint8")
LR = torch.full((1, 10, 12, 3), 200, dtype=torch.uint8)


def black(backend: object) -> bool:
    return bool((backend(LR) == 0).all())  # type: ignore[operator]


def stored(digest: str = "0123456789abcdef") -> Workshop:
    return Workshop(BlackEngine(ShapeRange.fixed(10, 12), digest))


def test_an_engine_that_is_there_is_the_way_and_no_other_will_do() -> None:
    backend = stored().backend("background", silent)
    assert isinstance(backend, Tunable) and isinstance(backend, Renewable)
    way = backend.tune(CALL)
    assert way == "engine 0123456789abcdef"
    backend.use(way, CALL)
    assert black(backend)
    for other in (stored("another"), Workshop()):
        with pytest.raises(BackendUnavailable, match=r"not in the store any more.* --restart"):
            other.backend("background", silent).use(way, CALL)
        assert other.builds == 0


def test_without_one_pytorch_computes_until_a_segment_begins() -> None:
    workshop = Workshop()
    stand_in = TwoWays()
    backend = workshop.backend("background", silent, stand_in)
    way = backend.tune(CALL)
    assert way == "pytorch plain, then engines"
    assert workshop.builds == 0  # which would disturb what is being measured
    backend.use(way, CALL)
    assert stand_in.way == "plain"
    assert not black(backend)
    workshop.finish()
    assert not black(backend)
    assert backend.renew()
    assert black(backend)
    assert not backend.renew()
    backend.__exit__(None, None, None)
    assert workshop.stored is not None and workshop.stored.closed


def test_a_run_that_goes_on_takes_the_engine_that_was_built_meanwhile() -> None:
    backend = stored().backend("background", silent)
    backend.use("pytorch plain, then engines", CALL)
    assert black(backend)


def test_pytorch_to_the_end_stays_so_whatever_the_store_has_by_then() -> None:
    workshop = Workshop()
    events: list[Event] = []
    backend = workshop.backend("never", events.append)
    assert backend.tune(CALL) == "pytorch plain"
    backend.use("pytorch plain", CALL)
    assert not black(backend)
    told = [event.text for event in events if isinstance(event, Notice)]
    assert told == ["no TensorRT engine for 12x10; PyTorch takes its place"]
    later = stored()
    backend = later.backend("background", silent)
    backend.tune(CALL)  # as each run does, before it hears what the first one chose
    backend.use("pytorch plain", CALL)
    assert not black(backend)
    assert later.builds == 0
    backend.__exit__(None, None, None)
    assert later.stored is not None and later.stored.closed


def test_to_wait_is_to_have_an_engine_from_the_first_frame() -> None:
    workshop = Workshop()
    workshop.go_on.set()
    backend = workshop.backend("wait", silent)
    way = backend.tune(CALL)
    assert way.startswith("engine ")
    backend.use(way, CALL)
    assert black(backend)
    assert workshop.builds == 1


def test_what_pytorch_cannot_do_any_more_is_said() -> None:
    with pytest.raises(BackendUnavailable, match="lost"):
        Workshop().backend("never", silent).use("pytorch lost", CALL)


def test_an_engine_out_of_memory_is_answered_with_fewer_frames() -> None:
    engine = BlackEngine(ShapeRange.fixed(10, 12, batch=4))
    engine.most_frames = 1
    backend = Workshop(engine).backend("background", silent)
    with pytest.raises(OutOfMemory, match="4 frames at once"):
        backend(LR.expand(4, -1, -1, -1).contiguous())
    color = ColorSpec()
    upscaler = Upscaler(backend, WorkPlan(4, None), color)
    result = upscaler(frames(4, 10, 12, color))
    assert len(result) == 4
    assert upscaler.plan == WorkPlan(1, None)
    assert int(result.planes[0].max()) == 16  # black, of limited range


def test_what_was_left_out_before_the_change_is_computed_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A frame that repeats the last one before the boundary is an engine's like all behind it."""
    monkeypatch.setattr(Skipper, "_exact_in_patches", lambda self, batch: True)
    workshop = Workshop()
    backend = workshop.backend("background", silent)
    backend.use(backend.tune(CALL), CALL)
    color = ColorSpec()
    upscaler = Upscaler(backend, WorkPlan(1, None), color, skip=True)
    still = frames(1, 10, 12, color)
    upscaler.begin_segment()
    first = upscaler(still)
    workshop.finish()
    second = upscaler(still)
    assert upscaler.tally.repeated == 1
    assert np.array_equal(first.planes[0], second.planes[0])
    assert int(first.planes[0].max()) > 16
    upscaler.begin_segment()
    assert int(upscaler(still).planes[0].max()) == 16
    assert upscaler.tally.repeated == 1
