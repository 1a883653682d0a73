"""The process of a command: begun and ended without work that nobody needs.

PyTorch, OpenVINO and FFmpeg bring 250,000 Python objects and tables of thousands of operators. None of
it is garbage while the command runs, and all of it goes back to the system with the process.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable

YOUNG_OBJECTS = 200_000
"""Objects made, less those gone, between two searches for unreachable ones; Python's own is 700.

Of 1.4 s of imports, PyTorch's among them, 0.2 s were such searches, which found next to nothing; without
PyTorch there is none before the first frame. Neither 80 frames of
upscaling nor 30 updates of training leave one object to be found."""


def run(command: Callable[[], object]) -> None:
    """Run a command that is all this process is for; with the SystemExit it raises, the process ends.

    Threads are waited for, handlers of `atexit` called and streams flushed as ever; what is left out is
    to take apart, one by one, what the libraries built (0.5 s of processor time with PyTorch).
    """
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    end = _End()
    atexit.register(end)  # the first to be registered is the last to be called
    try:
        command()
    except SystemExit as leaving:
        code = 0 if leaving.code is None else leaving.code
        end.code = code if isinstance(code, int) else None
        raise


class _End:
    """The last handler of `atexit`: leaves with the exit code it was given, if it was given one."""

    code: int | None = None

    def __call__(self) -> None:
        if self.code is None:
            return
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # the shell closed it: >&-
                    stream.flush()
        except (OSError, ValueError):
            return  # Python tries again, and says what is wrong
        os._exit(self.code)
