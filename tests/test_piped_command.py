"""The command between pipes: exit codes, who is stopped how, and what is then in the stream."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO

import pytest

from tests.pipelines.piping import numbers_of, y4m_of
from tests.synthetic import make_video
from tests.waiting import started, until
from tests.warm import VIDSR, Command

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pseudo-terminals are POSIX's")


def upscaling(
    command: Command, *arguments: object, stdout: int | IO[bytes] = subprocess.PIPE
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return started(
        [*command, "upscale", *arguments],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_ctrl_c_ends_a_live_stream_properly() -> None:
    with upscaling(VIDSR, "-", "-", "--scale", 2) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(y4m_of("yuv420p:420mpeg2", frames=4))
        process.stdin.flush()
        frame = len(b"FRAME\n") + 128 * 96 * 3 // 2
        received = process.stdout.readline() + process.stdout.read(2 * frame)
        process.send_signal(signal.SIGINT)  # the sender has not closed its end, and never will
        assert process.stderr is not None
        # Not communicate(), which does not know what read() has taken already and keeps in its buffer.
        rest, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130
    assert errors.decode().endswith("vidsr: stopped\n")
    assert numbers_of(received + rest)[:2] == [0, 1]
    assert (len(rest) % frame) == 0


def test_ctrl_c_finishes_a_file_with_what_has_come(tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    part = tmp_path / "out.mkv.vidsr" / "000000.nut.part"
    with upscaling(VIDSR, "-", target, "--scale", 2, "--codec", "ffv1") as process:
        feeder = threading.Thread(target=send_for_ever, args=(process.stdin,))
        feeder.start()
        until(lambda: part.exists() and part.stat().st_size, "frames are written", process)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stderr is not None
        printed, errors = process.stdout.read(), process.stderr.read()
        feeder.join()
    assert process.returncode == 130
    assert printed == b""
    assert b"each at its time" in errors
    assert errors.endswith(b"vidsr: stopped\n")
    numbers = numbers_of(target)
    assert numbers
    assert numbers == [number % 5 for number in range(len(numbers))]
    assert list(tmp_path.iterdir()) == [target]


def send_for_ever(pipe: IO[bytes]) -> None:
    """The same five frames again and again, until nobody reads any more."""
    data = y4m_of("yuv420p:420mpeg2", frames=5)
    with suppress(BrokenPipeError), pipe:
        pipe.write(data)
        while True:
            pipe.write(data.partition(b"\n")[2])


def test_a_reader_that_has_seen_enough_is_no_error(vidsr_command: Command, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=60, size=(96, 128))
    with upscaling(vidsr_command, source, "-", "--scale", 2, "--quiet") as process:
        assert process.stdout is not None
        assert len(process.stdout.read(100)) == 100
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode == 141
    assert errors == b""


def test_the_summary_is_not_in_the_stream(vidsr_command: Command, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    with upscaling(vidsr_command, source, "-", "--scale", 2, "--format", "y4m") as process:
        stream, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(stream) == len(stream.partition(b"\n")[0]) + 1 + 2 * (6 + 128 * 96 * 3 // 2)
    assert b"standard output: 128x96, 2 frames in " in errors


def test_a_terminal_gets_no_video(vidsr_command: Command, tmp_path: Path) -> None:
    import pty

    source = make_video(tmp_path / "in.mp4", frames=2)
    controller, terminal = pty.openpty()
    try:
        with (
            os.fdopen(terminal, "wb") as stdout,
            upscaling(vidsr_command, source, "-", stdout=stdout) as process,
        ):
            _, errors = process.communicate(timeout=60)
    finally:
        os.close(controller)
    assert process.returncode == 2
    assert errors.startswith(b"vidsr: standard output is a terminal: ")
    assert errors.count(b"\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("-", "-", "--json"), 2, b"--json prints on standard output"),
        (("-", "-", "--format", "mp4"), 2, b"--format must be one of y4m, nut, matroska"),
        (("-", "out.mp4", "--format", "nut"), 2, b"needs - as OUTPUT"),
        (("-", "-"), 1, b"standard input is empty"),
    ],
)
def test_refusals_are_one_line(
    vidsr_command: Command, arguments: tuple[str, ...], code: int, words: bytes
) -> None:
    with upscaling(vidsr_command, *arguments) as process:
        stream, errors = process.communicate(b"", timeout=60)
    assert (process.returncode, stream, errors.count(b"\n")) == (code, b"", 1)
    assert words in errors
