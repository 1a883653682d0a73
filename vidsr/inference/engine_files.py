"""Files that only their owner may change: private folders, locks between processes, and seals.

An engine is code that the graphics driver runs, so a file is loaded only if this user's vidsr wrote it.
A seal proves that: an HMAC (RFC 2104, SHA-256) of the manifest under a secret that never leaves the
user's own folder. It stops engines that came with a download, a shared folder or a copied checkout; it
does not stop someone who can already read this user's files.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vidsr.errors import EngineError
from vidsr.video.durable import PART_SUFFIX, part_path, sync_folder

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600

_SECRET_BYTES = 32


def private_folder(folder: Path, setting: str = "VIDSR_ENGINES") -> Path:
    """Make sure that a folder exists and that nobody but its owner can read or change it.

    `setting` is the environment variable that names another.

    Raises:
        EngineError: it belongs to someone else, or cannot be made.
    """
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        if os.name == "posix":
            status = folder.stat()
            if status.st_uid != os.geteuid():
                raise EngineError(
                    f"{folder}: belongs to another user; name a folder of your own in {setting}"
                )
            if stat.S_IMODE(status.st_mode) & 0o077:
                folder.chmod(PRIVATE_FOLDER)
    except OSError as error:
        raise EngineError(f"{folder}: {_reason(error)}; name another folder in {setting}") from error
    return folder


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all, and on the disk on return.

    Raises:
        EngineError: no space, no permission, no folder.
    """
    part = part_path(path)
    try:
        try:
            # Never opened, always made: whoever left a link under this name is not followed.
            part.unlink(missing_ok=True)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            sync_folder(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EngineError(f"{path}: cannot be written: {_reason(error)}") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes and threads; waits for whoever holds it.

    The system releases it with its holder, however that ends, so a lock file is never stale. It stays
    behind, empty: deleting it would let two processes lock two files of one name.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    except OSError as error:
        raise EngineError(f"{path}: cannot be locked: {_reason(error)}") from error
    try:
        _wait_for_lock(handle)
        yield
    finally:
        os.close(handle)  # which also releases it


if sys.platform == "win32":
    import msvcrt
    import time

    def _wait_for_lock(handle: int) -> None:
        while True:
            with contextlib.suppress(OSError):  # raised where it is held for longer than 10 s
                msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
                return
            time.sleep(0.1)

else:
    import fcntl

    def _wait_for_lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)


class Seal:
    """Signs manifests with a secret of this user, made on first use."""

    def __init__(self, secret_file: Path) -> None:
        self._file = secret_file

    def sign(self, manifest: Mapping[str, Any]) -> str:
        """The seal of a manifest, hexadecimal."""
        return hmac.new(self._secret(), canonical(manifest), hashlib.sha256).hexdigest()

    def proves(self, manifest: Mapping[str, Any], seal: str) -> bool:
        """Whether this user's vidsr wrote the manifest."""
        return self._file.is_file() and hmac.compare_digest(self.sign(manifest), seal)

    def _secret(self) -> bytes:
        private_folder(self._file.parent, "VIDSR_CACHE")
        with locked(self._file.with_suffix(".lock")):
            try:
                secret = self._file.read_bytes()
            except FileNotFoundError:
                secret = b""
            except OSError as error:
                raise EngineError(f"{self._file}: cannot be read: {_reason(error)}") from error
            if len(secret) != _SECRET_BYTES:
                secret = secrets.token_bytes(_SECRET_BYTES)
                write_private(self._file, secret)
        return secret


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one JSON form of plain values, for digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def is_leftover(path: Path) -> bool:
    """Whether a file was being written by a process that did not finish."""
    return path.name.endswith(PART_SUFFIX)


def user_cache() -> Path:
    """The folder for what vidsr can make again; VIDSR_CACHE names another."""
    if "VIDSR_CACHE" in os.environ:
        return Path(os.environ["VIDSR_CACHE"])
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "vidsr" / "cache"
        )
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "vidsr"
    # https://specifications.freedesktop.org/basedir-spec
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vidsr"


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
