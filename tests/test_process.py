"""How the process of a command ends: at once, but with all that is due before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = "import atexit, gc, os, sys, threading, time\nfrom vidsr.cli.process import run\n"


def process(command: str, *, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """A process whose command is this body of a function."""
    body = "".join(f"    {line}\n" for line in command.splitlines())
    return subprocess.run(
        [sys.executable, "-c", f"{BEGIN}def command():\n{body}run(command)\n"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(("given", "code"), [("0", 0), ("3", 3), ("", 0), ("130", 130)])
def test_the_exit_code_is_the_command_s(given: str, code: int) -> None:
    done = process(f"sys.exit({given})")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_what_is_due_at_the_end_is_done() -> None:
    done = process(
        "def slowly():\n"
        "    time.sleep(0.2)\n"
        "    print('thread')\n"
        "atexit.register(print, 'handler')\n"
        "threading.Thread(target=slowly).start()\n"
        "sys.stderr.write('said')\n"
        "print('command')\n"
        "sys.exit(2)"
    )
    assert done.stdout == "command\nthread\nhandler\n"
    assert (done.returncode, done.stderr) == (2, "said")


def test_nothing_is_taken_apart() -> None:
    command = (
        "class Library:\n"
        "    def __del__(self, write=os.write):\n"
        "        write(1, b'taken apart')\n"
        "globals()['library'] = Library()\n"
    )
    assert process(command + "sys.exit(0)").stdout == ""
    assert process(command).stdout == "taken apart"  # a command that returns is not the end


def test_an_error_and_a_message_end_it_as_python_ends() -> None:
    broken = process("raise ZeroDivisionError('by hand')")
    assert broken.returncode == 1
    assert "ZeroDivisionError: by hand" in broken.stderr
    told = process("sys.exit('no more')")
    assert (told.returncode, told.stderr) == (1, "no more\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_output_that_cannot_be_flushed_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = process("print('x')\nsys.exit(0)", stdout=full.fileno())
    assert done.returncode == 120  # Python's own
    assert "No space left" in done.stderr


def test_garbage_is_looked_for_rarely_but_found() -> None:
    done = process(
        "def loop():\n"
        "    knot = []\n"
        "    knot.append(knot)\n"
        "before = gc.get_stats()[0]['collected']\n"
        "kept = [loop() or [] for _ in range(450_000)]\n"
        "print(gc.get_stats()[0]['collected'] - before > 200_000, gc.get_threshold())\n"
        "sys.exit(0)"
    )
    assert done.stdout == "True (200000, 10, 10)\n"
