"""A call in another process: answers, errors, crashes and time limits come back."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from vidsr.errors import BackendUnavailable, VidsrError
from vidsr.pipelines.apart import call_apart

HERE = os.getpid()


def answer(value: int) -> tuple[int, int]:
    print("what libraries print is no part of the answer")
    return os.getpid(), value + 1


def refuse(reason: str) -> None:
    raise BackendUnavailable(reason)


def fail(reason: str) -> None:
    raise ValueError(reason)


def crash(number: int) -> None:
    os.kill(os.getpid(), number)


def wait(seconds: float) -> None:
    time.sleep(seconds)


@pytest.fixture(autouse=True)
def _tests_are_found_there(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))


def test_the_answer_comes_from_another_process() -> None:
    process, value = call_apart(answer, 41, timeout_s=60)
    assert process != HERE and value == 42


def test_errors_for_the_user_come_back_as_they_are() -> None:
    with pytest.raises(BackendUnavailable, match="no card"):
        call_apart(refuse, "no card", timeout_s=60)


def test_other_errors_and_crashes_are_said_in_one_line() -> None:
    with pytest.raises(VidsrError, match=r"^its process ended with code 1: ValueError: five$"):
        call_apart(fail, "five", timeout_s=60)
    if sys.platform != "win32":
        with pytest.raises(VidsrError, match="was ended by SIGKILL"):
            call_apart(crash, signal.SIGKILL, timeout_s=60)


def test_what_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError, match="more than 1 s"):
        call_apart(wait, 3600.0, timeout_s=1)
