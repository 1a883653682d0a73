"""Files that appear whole or not at all, and are on the disk when they do.

A name that a crash may find is given only to content that was synced before: write beside, sync, rename,
sync the folder. POSIX promises that the rename is seen whole, and only the two syncs that it outlasts a
power cut (T. S. Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014, section 4.4).
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidsr.errors import OutputError

PART_SUFFIX = ".part"
"""Ends the name of every unfinished file; one that nobody is writing may be deleted."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def part_path(path: Path) -> Path:
    """The name under which `path` is written until it is whole: in its folder, so that a rename does."""
    return path.with_name(path.name + PART_SUFFIX)


def put_in_place(part: Path, path: Path) -> None:
    """Give the finished file `part` its name `path`, so that it is on the disk when this returns.

    Raises:
        OutputError: the file or its folder cannot be synced or renamed.
    """
    with disk_errors(path):
        _sync(part)
        part.replace(path)
        sync_folder(path.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file so that `path` holds either what it held before or all of `data`.

    Raises:
        OutputError: no space, no permission, no folder.
    """
    part = part_path(path)
    with disk_errors(path):
        try:
            part.write_bytes(data)
            put_in_place(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def existing_folder(path: Path) -> Path:
    """The path, or the nearest folder above it that is there: on whose disk it lies, or would."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; Windows has no such call and needs none."""
    if os.name == "posix":
        _sync(folder)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say what the operating system refused about `path` in the user's words.

    Raises:
        OutputError: in the place of any OSError; a full disk is told apart from the rest.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise OutputError(
                f"{path}: {_reason(error)}: free some space and run the same command again; "
                "all finished segments are kept"
            ) from error
        raise OutputError(f"{path}: cannot be written: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _sync(path: Path) -> None:
    # Windows syncs only what is open for writing, POSIX opens folders only for reading.
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
