"""Runs of the tests themselves: with this project's settings, whatever goes wrong comes to an end."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SETTINGS = Path(__file__).parents[1] / "pyproject.toml"


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a folder in two processes, as README.md does."""
    shutil.copy(SETTINGS, folder)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadscope", *options, str(folder)],
        cwd=folder,
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
