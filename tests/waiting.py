"""Waits with an end: what a test waits for outside itself may never come."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 120.0
"""Far more than anything takes that is waited for, on a busy machine too; less than a test may take."""


def until(true: Callable[[], object], what: str, process: subprocess.Popen[Any] | None = None) -> None:
    """Wait until something comes true, which `what` puts in words; for as long as a process lives."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert process is None or process.poll() is None, f"ended before this came true: {what}"
        assert time.monotonic() < deadline, f"after {PATIENCE_S:.0f} s still not true: {what}"
        time.sleep(0.02)


@contextmanager
def started(command: Sequence[object], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process that has ended when the block is left: by itself, or by force where the block failed.

    By force, too, after PATIENCE_S: whoever reads from it then finds the end, and the block fails.
    """
    process = subprocess.Popen([str(part) for part in command], **options)
    late: list[str] = []

    def end() -> None:
        late.append(f"ended by force after {PATIENCE_S:.0f} s: {process.args}")
        process.kill()

    limit = threading.Timer(PATIENCE_S, end)
    limit.start()
    try:
        with process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
    finally:
        limit.cancel()
        assert not late, late[0]
