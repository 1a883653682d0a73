"""How a command ends: one line for whatever went wrong, and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer

from vidsr.console import Console
from vidsr.errors import VidsrError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 plus the number of SIGINT, as shells have it."""

BROKEN_PIPE = 141
"""Exit code after the reader of our output went away: 128 plus the number of SIGPIPE, as of `cat`."""


@contextmanager
def speaking(console: Console, *, if_stopped: str = "stopped") -> Iterator[None]:
    """Turn whatever ends a command into one line and an exit code; VIDSR_DEBUG=1 shows the trace."""
    try:
        with console:
            yield
        return
    except VidsrError as error:
        _maybe_trace()
        console.error(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        console.error(if_stopped)
        code = INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        code = BROKEN_PIPE
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        _maybe_trace()
        console.error(
            f"unexpected {type(error).__name__}: {error} "
            "(a fault of vidsr's own; VIDSR_DEBUG=1 shows where, please report it)"
        )
        code = 1
    _leave(code)


def _maybe_trace() -> None:
    if os.environ.get("VIDSR_DEBUG") == "1":
        import traceback

        traceback.print_exc()


def _leave(code: int) -> NoReturn:
    """End the process at once: a stage left deep in a long call must not hold up the exit."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # the shell closed it: >&-
            stream.flush()
    if any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
        os._exit(code)
    raise typer.Exit(code)


def stop_on_sigterm() -> None:
    """Let a plain `kill` end the command as Ctrl-C does: resumable, and said so."""
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
