"""Standard input and output as pipes of bytes: read once, written once, stopped at any moment."""

from __future__ import annotations

import os
import select
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from vidsr.errors import InputError, UsageError

STDIN, STDOUT = Path("standard input"), Path("standard output")
"""How messages name them."""

_LOOK_EVERY_S = 0.1
"""How often a read that waits for the other program looks whether it shall stop."""

_STDERR_FD = 2

_LINE_BYTES = 256
"""Looked at of the beginning: a y4m header has about 80."""


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes | memoryview, /) -> int: ...


class StandardInput:
    """Standard input, for PyAV to read; it ends when the other program closes it, or when it is told to.

    It has no `seek`, and on purpose no `close`: the descriptor is the process's own.
    """

    def __init__(self) -> None:
        """Refuse what cannot be a pipe of video.

        Raises:
            UsageError: it is a terminal.
            InputError: it is closed.
        """
        if sys.__stdin__ is None:
            raise InputError(f"{STDIN} is closed: pipe a video into vidsr, or give a file")
        self._fd = sys.__stdin__.fileno()
        if os.isatty(self._fd):
            raise UsageError(f"{STDIN} is a terminal: pipe a video into vidsr, or give a file")
        self.stop = threading.Event()  # set by anyone: the next read finds the end
        self._ahead = b""
        self._interrupted = False
        self._poll = select.poll() if hasattr(select, "poll") else None  # Windows waits in the read
        if self._poll is not None:
            self._poll.register(self._fd, select.POLLIN)

    def peek(self) -> bytes:
        """The first bytes, at most _LINE_BYTES, which `read` gives again; none if there are none."""
        while len(self._ahead) < _LINE_BYTES:
            more = self._receive(_LINE_BYTES - len(self._ahead))
            if not more:
                break
            self._ahead += more
        self.raise_interrupt()
        return self._ahead

    def read(self, size: int, /) -> bytes:
        """Whatever has come, at most `size` bytes and at least one; none at the end."""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return self._receive(size)

    def raise_interrupt(self) -> None:
        """Raise the KeyboardInterrupt that came during a read: FFmpeg, in between, would swallow it."""
        if self._interrupted:
            raise KeyboardInterrupt

    def _receive(self, size: int) -> bytes:
        try:
            while not self.stop.is_set():
                if self._poll is None or self._poll.poll(_LOOK_EVERY_S * 1000):
                    return os.read(self._fd, size)
        except KeyboardInterrupt:
            self._interrupted = True
            self.stop.set()
        return b""


class StandardOutput:
    """Standard output, held for one stream of bytes; a context manager.

    Meanwhile everything else in the process that prints there, libraries in C too, prints on standard
    error: a line of theirs would end the stream for whoever reads it.
    """

    def __init__(self) -> None:
        """Refuse a terminal, which the bytes of a video would only confuse.

        Raises:
            UsageError: it is a terminal, or closed.
        """
        if sys.__stdout__ is None:
            raise UsageError("standard output is closed: pipe vidsr into a program, or give a file")
        self._fd = sys.__stdout__.fileno()
        if os.isatty(self._fd):
            raise UsageError(
                "standard output is a terminal: pipe vidsr into a program (| mpv -), or give a file"
            )
        self._own: int | None = None  # where the stream goes, between entering and leaving

    def __enter__(self) -> Self:
        self._own = os.dup(self._fd)
        os.dup2(_STDERR_FD, self._fd)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._own is not None:
            os.dup2(self._own, self._fd)
            os.close(self._own)
            self._own = None

    def write(self, data: bytes | memoryview) -> int:
        """Write all of it; waits for the reader. Raises BrokenPipeError when nobody reads any more."""
        assert self._own is not None
        left = memoryview(data).cast("B")
        while left:
            left = left[os.write(self._own, left) :]
        return len(data)
