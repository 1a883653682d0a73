"""Runs of the tests themselves: with this project's settings, whatever goes wrong comes to an end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a folder in two processes, as README.md does."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    command = ["-m", "pytest", "-q", "-n", "2", "--dist", "loadscope", "-p", "tests.workers"]
    return subprocess.run(
        [sys.executable, *command, *options, str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_worker_that_dies_ends_the_run_and_names_its_test(tmp_path: Path) -> None:
    for number in range(6):
        end = "import os; os._exit(1)" if number == 3 else "pass"
        code = f"def test_first(): pass\ndef test_second(): {end}\n"
        (tmp_path / f"test_{number}.py").write_text(code)
    done = run(tmp_path)
    assert done.returncode == 1
    assert "crashed while running 'test_3.py::test_second'" in done.stdout


def test_a_test_that_hangs_fails_and_shows_where(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "import threading\ndef test_waits(): threading.Event().wait()\ndef test_goes_on(): pass\n"
    )
    done = run(tmp_path, "-o", "timeout=1")
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "test_waits(): threading.Event().wait()" in done.stdout
    assert "Timeout (>1.0s)" in done.stdout


def test_a_worker_that_dies_before_its_first_test_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "import os\n"
        "if os.environ['PYTEST_XDIST_WORKER'] == 'gw1': os._exit(1)\n"
        "def test_passes(): pass\n"
    )
    done = run(tmp_path)
    assert done.returncode == 1
    assert "node down" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="hangs in a lock of the system's C library")
def test_a_test_that_hangs_in_native_code_ends_the_run_and_shows_where(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "import ctypes\n"
        "def test_waits():\n"
        "    c, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)\n"
        "    c.pthread_mutex_lock(mutex), c.pthread_mutex_lock(mutex)\n"
    )
    done = run(tmp_path, "-o", "timeout=1", "-o", "faulthandler_timeout=2")
    assert done.returncode == 1
    assert "crashed while running 'test_one.py::test_waits'" in done.stdout
    assert 'test_one.py", line 4 in test_waits' in done.stderr
