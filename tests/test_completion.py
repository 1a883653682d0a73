"""What the shell completes: names of this installation, asked for as a shell asks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from vidsr.cli.options import backends, shipped_models

COMPLETE = (sys.executable, "-c", "from vidsr.cli import main; main()")


def completed(line: str) -> list[str]:
    words = line.split(" ")
    done = subprocess.run(
        COMPLETE,
        env={
            **os.environ,
            "_VIDSR_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.split()


@pytest.mark.parametrize("command", ["upscale", "info", "plan"])
def test_models_complete(command: str) -> None:
    assert "srgan-lite" in completed(f"vidsr {command} --model srgan-l")


def test_backends_and_commands_complete() -> None:
    assert completed("vidsr plan --backend c") == ["cuda", "cpu"]
    assert "doctor" in completed("vidsr do")


def test_only_what_begins_so_is_offered() -> None:
    assert "srgan-lite" in shipped_models("") and shipped_models("nonesuch") == []
    assert backends("o") == ["openvino"]
