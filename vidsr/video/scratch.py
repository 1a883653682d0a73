"""Temporary folders that do not outlive their process for long, even where it is killed.

    vidsr-k3j9x2/
        owner       held by the process that made the folder; says that it is one of ours
        ...

A process that ends removes its folder; one that is killed leaves it, and the next run of vidsr takes it
away. What proves that it may is the lock on `owner`, which the system drops with the process: numbers of
processes are given again, and on a shared disk they are another machine's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from vidsr.video.file_lock import hold

PREFIX = "vidsr-"
OWNER_NAME = "owner"
OWNER_WORDS = b"a temporary folder of vidsr, process "


class Scratch:
    """A new folder for this process alone; a context manager, which gives its path and removes it."""

    def __init__(self, parent: Path | None = None) -> None:
        """`parent` is where it lies; None: where the system has temporary files. Raises OSError."""
        sweep_scratch(parent)
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True)
        self.path = Path(self._folder.name)
        self._owner = (self.path / OWNER_NAME).open("wb", buffering=0)
        with suppress(OSError):  # a disk without locks: the folder is never taken for a dead one's
            hold(self._owner)
            # Only now: until it says so, the file is nobody's, and a lock on it proves nothing.
            self._owner.write(OWNER_WORDS + str(os.getpid()).encode())

    def remove(self) -> None:
        """Delete the folder and all that is in it; may be called twice, and while it is written to."""
        self._owner.close()
        self._folder.cleanup()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()


def sweep_scratch(parent: Path | None = None) -> None:
    """Delete the folders that killed processes have left; nothing that cannot be proven to be one."""
    for folder in (parent or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        if _is_dead(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_dead(folder: Path) -> bool:
    try:
        with (folder / OWNER_NAME).open("r+b", buffering=0) as owner:
            if owner.read(len(OWNER_WORDS)) != OWNER_WORDS:
                return False
            hold(owner)
    except OSError:  # no such file, another user's, or held by a process that lives
        return False
    return not folder.is_symlink()
