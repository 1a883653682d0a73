"""A function called in a process of its own: its memory is its own, and its crash is an answer.

`python -m vidsr.pipelines.apart MODULE FUNCTION` reads a pickled argument from standard input, calls the
function, and writes what it returns or raises, pickled, to standard output. It is a new interpreter: a
fork would inherit PyTorch's threads and the peak of the parent's memory, and `multiprocessing` runs the
caller's script again.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import vidsr
from vidsr.errors import VidsrError

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def call_apart(
    function: Callable[[Argument], Result], argument: Argument, *, timeout_s: float
) -> Result:
    """Call a function of a module with one argument, in a new process; both ways by pickle.

    A VidsrError of the function is raised here. Raises VidsrError too where the process ends without an
    answer, and TimeoutError where it takes longer than `timeout_s`; it is ended then, as by Ctrl-C.
    """
    home = str(Path(vidsr.__file__).parents[1])  # the same vidsr, however this one was found
    before = os.environ.get("PYTHONPATH")
    path = home if before is None else f"{home}{os.pathsep}{before}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, function.__module__, function.__qualname__],
            input=pickle.dumps(argument),
            capture_output=True,
            env={**os.environ, "PYTHONPATH": path},
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"took more than {timeout_s:.0f} s") from error
    if done.returncode != 0:
        raise VidsrError(_ending(done.returncode, done.stderr.decode(errors="replace")))
    answer: Result | BaseException = pickle.loads(done.stdout)
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _ending(code: int, errors: str) -> str:
    """How a process ended that gave no answer, in a few words."""
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    last = next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "no reason")
    return f"its process ended with code {code}: {last}"


def _answer(module: str, function: str) -> None:
    """What the process does."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print; the answer must stand alone
    argument = pickle.load(sys.stdin.buffer)
    try:
        answer = getattr(import_module(module), function)(argument)
    except VidsrError as error:
        answer = error
    with out:
        pickle.dump(answer, out)


if __name__ == "__main__":
    _answer(*sys.argv[1:])
