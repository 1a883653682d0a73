"""Standard input and output as pipes: what waits can be stopped, what is no stream stays out."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vidsr.video.standard_streams import StandardInput, StandardOutput

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors are swapped as POSIX has them")


@contextmanager
def pipe_as(number: int) -> Iterator[int]:
    """A pipe in the place of standard input (0) or output (1); gives the other end."""
    ends = os.pipe()
    kept = os.dup(number)
    os.dup2(ends[number], number)
    os.close(ends[number])
    try:
        yield ends[1 - number]
    finally:
        os.dup2(kept, number)
        os.close(kept)


def test_what_was_looked_at_is_read_again_and_what_has_come_is_not_held_up() -> None:
    with pipe_as(0) as end:
        os.write(end, b"x" * 300)
        source = StandardInput()
        assert source.peek() == b"x" * 256
        assert source.read(100) == b"x" * 100
        assert source.read(1000) == b"x" * 156
        assert source.read(1000) == b"x" * 44  # all there is, and not the thousand asked for
        os.close(end)
        assert source.read(1000) == b""


def test_a_stop_is_the_end_for_whoever_waits() -> None:
    with pipe_as(0) as end:
        source = StandardInput()
        got: list[bytes] = []
        reading = threading.Thread(target=lambda: got.append(source.read(10)))
        reading.start()
        source.stop.set()
        reading.join(timeout=30)
        assert got == [b""]
        os.close(end)


def test_an_interrupt_during_a_read_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int, size: int) -> bytes:
        raise KeyboardInterrupt

    with pipe_as(0) as end:
        os.close(end)
        source = StandardInput()
        monkeypatch.setattr(os, "read", interrupted)
        assert source.read(10) == b""  # FFmpeg, which called it, could not pass it on
        with pytest.raises(KeyboardInterrupt):
            source.raise_interrupt()


def test_only_the_stream_goes_out() -> None:
    with pipe_as(1) as end:
        with StandardOutput() as out:
            os.write(1, b"from a library\n")
            assert out.write(memoryview(b"stream")) == 6
        os.write(1, b"after")
        assert os.read(end, 100) == b"streamafter"
        os.close(end)


def test_a_reader_that_is_gone_is_a_broken_pipe() -> None:
    with pipe_as(1) as end:
        os.close(end)
        with StandardOutput() as out, pytest.raises(BrokenPipeError):
            out.write(b"x")
