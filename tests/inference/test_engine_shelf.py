"""When an engine takes over from PyTorch; the shelf knows neither, so words stand for engines."""

from __future__ import annotations

import threading

import pytest
import torch

from vidsr.errors import EngineError
from vidsr.inference.engine_shelf import EngineShelf
from vidsr.progress import Event, Notice, silent

SIZE = "320x180"


class Builder:
    """Builds a word when it is let go on."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go_on = threading.Event()
        self.calls = 0
        self._error = error

    def __call__(self, size: str) -> str:
        self.calls += 1
        assert self.go_on.wait(10)
        if self._error is not None:
            raise self._error
        return f"engine of {size}"


def nothing(size: str) -> str | None:
    return None


def wait_for_builds() -> None:
    for thread in threading.enumerate():
        if thread.name == "engine-shelf":
            thread.join(10)


def test_what_the_store_has_is_taken_at_once() -> None:
    builder = Builder()
    shelf = EngineShelf(lambda size: f"stored {size}", builder, "background", silent)
    assert shelf(SIZE) == "stored 320x180"
    assert builder.calls == 0


def test_work_goes_on_until_the_engine_is_there() -> None:
    builder = Builder()
    events: list[Event] = []
    shelf = EngineShelf(nothing, builder, "background", events.append)
    assert [shelf(SIZE) for _ in range(3)] == [None, None, None]
    assert not shelf.take_over()
    builder.go_on.set()
    wait_for_builds()
    assert shelf(SIZE) is None  # not in the middle of a segment
    assert shelf.take_over()
    assert not shelf.take_over()
    assert shelf(SIZE) == "engine of 320x180"
    assert builder.calls == 1
    texts = [event.text for event in events if isinstance(event, Notice)]
    assert len(texts) == 2
    assert "until then" in texts[0]
    assert "takes over" in texts[1]


def test_each_size_has_its_own() -> None:
    builder = Builder()
    builder.go_on.set()
    shelf = EngineShelf(nothing, builder, "wait", silent)
    assert shelf(SIZE) == "engine of 320x180"
    assert shelf("640x360") == "engine of 640x360"
    assert shelf(SIZE) == "engine of 320x180"
    assert builder.calls == 2
    assert shelf.close() == ["engine of 320x180", "engine of 640x360"]
    assert shelf.close() == []


def test_never_builds_nothing_and_says_so_once() -> None:
    builder = Builder()
    events: list[Event] = []
    shelf = EngineShelf(nothing, builder, "never", events.append)
    assert [shelf(SIZE) for _ in range(3)] == [None, None, None]
    assert builder.calls == 0
    assert len(events) == 1


@pytest.mark.parametrize("error", [EngineError("no such card"), torch.OutOfMemoryError("too large")])
@pytest.mark.parametrize("when", ["background", "wait"])
def test_a_failed_build_is_said_once_and_not_tried_again(when: str, error: Exception) -> None:
    builder = Builder(error)
    builder.go_on.set()
    events: list[Event] = []
    shelf = EngineShelf(nothing, builder, when, events.append)  # type: ignore[arg-type]
    shelf(SIZE)
    wait_for_builds()
    assert [shelf(SIZE) for _ in range(3)] == [None, None, None]
    assert not shelf.take_over()
    assert shelf(SIZE) is None
    assert builder.calls == 1
    warnings = [event for event in events if isinstance(event, Notice) and event.level == "warning"]
    assert len(warnings) == 1
    assert str(error) in warnings[0].text


def test_looking_builds_nothing() -> None:
    builder = Builder()
    shelf = EngineShelf(nothing, builder, "wait", silent)
    assert shelf.look(SIZE) is None
    assert builder.calls == 0
    builder.go_on.set()
    assert shelf(SIZE) == shelf.look(SIZE) == "engine of 320x180"


def test_a_size_may_do_without_its_engine() -> None:
    """It is open all the same, and must be closed with the others."""
    builder = Builder()
    events: list[Event] = []
    shelf = EngineShelf(lambda size: f"stored {size}", builder, "background", events.append)
    assert shelf.look(SIZE) == "stored 320x180"
    assert events == []
    for _ in range(2):
        shelf.do_without(SIZE)
    assert shelf(SIZE) is None
    assert builder.calls == 0
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "the TensorRT engine for 320x180 is not used: this job was begun without"
    ]
    assert shelf.close() == ["stored 320x180"]


def test_an_engine_that_cannot_be_opened_is_not_built_again() -> None:
    def broken(size: str) -> str | None:
        raise EngineError("refused")

    builder = Builder()
    events: list[Event] = []
    shelf = EngineShelf(broken, builder, "background", events.append)
    assert [shelf(SIZE), shelf(SIZE)] == [None, None]
    assert builder.calls == 0
    assert len(events) == 1


def test_closing_waits_for_the_build_and_says_nothing_more() -> None:
    builder = Builder(EngineError("the build of the engine was stopped"))
    events: list[Event] = []
    shelf = EngineShelf(nothing, builder, "background", events.append)
    shelf(SIZE)
    threading.Timer(0.1, builder.go_on.set).start()
    assert shelf.close() == []
    assert len(events) == 1
    assert not any(thread.name == "engine-shelf" for thread in threading.enumerate())
