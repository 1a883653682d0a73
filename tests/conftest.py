"""What every test has in common."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.warm import VIDSR, Command, Vidsr, warm_python
from tests.workers import pytest_sessionfinish as pytest_sessionfinish
from tests.workers import pytest_testnodedown as pytest_testnodedown
from vidsr.cores import use_threads

# A shell lets its background jobs ignore SIGINT, and what they start inherits that: this process, where
# tests send it to themselves, and the commands that they send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Small tensors gain nothing from a second thread, and on a busy machine lose much to it.
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is measured under the load of a test run is no finding about this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDSR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def own_threads() -> Iterator[None]:
    """What a test says about this process's threads holds until its end."""
    before = torch.get_num_threads()
    yield
    use_threads(before)


@pytest.fixture(scope="session")
def python(own_cache: None) -> Iterator[Command]:
    """Python with vidsr's imports done, to run `-c CODE` in a process of its own."""
    with warm_python() as command:
        yield command


@pytest.fixture(scope="session")
def vidsr_command(python: Command) -> Command:
    """The command that takes arguments, with its imports done; for signals there is warm.VIDSR."""
    return (*python, *VIDSR[1:])


@pytest.fixture
def vidsr(vidsr_command: Command, tmp_path: Path) -> Vidsr:
    """Run the command with these arguments in the test's folder, to its end."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*vidsr_command, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100", **environment},
            timeout=120,
            check=False,
        )

    return run


class _SignalStack(ctypes.Structure):
    """stack_t of sigaltstack(2)."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


_SS_DISABLE = 2


def pytest_runtest_setup() -> None:
    """Take away an alternate signal stack that a library left behind.

    After a calibration in 8 bits the main thread is left with one that is unmapped later, and the next
    signal that Python handles on it (tests send SIGINT to themselves) ends the process.
    """
    if sys.platform == "linux":
        disabled = _SignalStack(None, _SS_DISABLE, 0)
        ctypes.CDLL(None).sigaltstack(ctypes.byref(disabled), None)
