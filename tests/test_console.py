"""What people read while they wait: lines where there is no terminal."""

from __future__ import annotations

import pytest

from vidsr import console
from vidsr.console import Console
from vidsr.progress import Advanced, Finished, Started


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "PLAIN_EVERY_S", 0.0)


@pytest.mark.usefixtures("at_once")
def test_a_task_tells_how_far_it_is_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as shown:
        shown(Started("upscale", 10))
        shown(Advanced("upscale", 4, "network"))
        shown(Finished("upscale"))
    said = capsys.readouterr().err
    assert "upscale: 4/10 frames, " in said and "/s, 0:00 left, waiting for network" in said


@pytest.mark.usefixtures("at_once")
def test_a_task_measured_in_seconds_may_end_behind_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as shown:
        shown(Started("pixel", 60, "s"))
        shown(Advanced("pixel", 61))
        shown(Finished("pixel"))
    assert "pixel: 61/60 s, 0:00 left" in capsys.readouterr().err
