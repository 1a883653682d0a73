"""A lock on an open file, which the system drops when the process ends, however it does."""

from __future__ import annotations

import sys
from typing import BinaryIO

_WINDOWS_LOCK_AT = 1 << 20  # beyond any content of the file


def hold(file: BinaryIO) -> None:
    """Take the lock of an open file until it is closed, or raise OSError at once.

    BlockingIOError, on Windows PermissionError, where another process has it.
    """
    if sys.platform == "win32":
        import msvcrt

        file.seek(_WINDOWS_LOCK_AT)  # locked bytes cannot be read, and what is in the file should be
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
