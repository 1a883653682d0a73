"""Python with vidsr's imports done: a process that has them forks for each call, which saves it seconds.

    python -m tests.warm SOCKET                          imports all, then waits for calls
    python -IS tests/warm.py SOCKET -c CODE ARGUMENT...  one call: as `python -c CODE ARGUMENT...`

A call hands its streams, folder and environment over to a process of its own, and ends with that one's
exit code. Only a signal must go to that process itself: its caller is another.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]

Command = tuple[str, ...]
"""A program and its first arguments."""

Vidsr = Callable[..., subprocess.CompletedProcess[str]]
"""Runs `vidsr` with arguments; keywords are added to its environment."""

VIDSR: Command = (sys.executable, "-c", "from vidsr.cli import main; main()")
"""The command as it is, imports and all."""

MODULES = (
    "vidsr.inference.openvino_backend",  # where OpenVINO is installed
    "vidsr.pipelines.benchmark",
    "vidsr.pipelines.compare",
    "vidsr.pipelines.doctor",
    "vidsr.pipelines.evaluate",
    "vidsr.pipelines.folder",
    "vidsr.pipelines.forecast",
    "vidsr.pipelines.info",
    "vidsr.pipelines.sample",
    "vidsr.pipelines.train",
)
"""What the commands import, and with that all the rest."""

READY_WITHIN_S = 120.0
"""Imports from a disk that is busy take a while."""

_PR_SET_PDEATHSIG = 1  # of prctl(2)


@contextmanager
def warm_python() -> Iterator[Command]:
    """What to put before `-c CODE`; plain Python where a process with libraries cannot be forked.

    (macOS has a fork, but libraries that do not survive it.)
    """
    if sys.platform != "linux":
        yield (sys.executable,)
        return
    # Not below tmp_path: the name of a socket has 108 bytes at most.
    with tempfile.TemporaryDirectory() as folder:
        door = f"{folder}/door"
        command = [sys.executable, "-m", "tests.warm", door]
        with subprocess.Popen(command, cwd=ROOT, process_group=0) as process:
            try:
                deadline = time.monotonic() + READY_WITHIN_S
                while not Path(door).exists():
                    assert process.poll() is None, "the warm process has ended"
                    assert time.monotonic() < deadline, f"not ready within {READY_WITHIN_S:.0f} s"
                    time.sleep(0.02)
                yield (sys.executable, "-IS", __file__, door)
            finally:
                os.killpg(process.pid, signal.SIGKILL)  # with calls that a timeout has left behind


def _serve(door: str) -> str:
    """Fork a process for each call; comes back only in such a process, with the code to run."""
    import ctypes  # here, as who calls has no need of it

    # With the process of the tests, which may die and then ends nothing.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as vidsr.cli.main does, for PyTorch to read
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy would start threads, which do not come along
    for name in MODULES:
        with suppress(ImportError):
            import_module(name)
    gc.freeze()  # else each process that ends would look through all that was imported, and so copy it
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{door}.new")
        listener.listen()
        Path(f"{door}.new").rename(door)  # there from when it can be called
        while True:
            call, _ = listener.accept()
            with call:
                if os.fork() == 0:
                    listener.close()
                    return _answer(call)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(call: socket.socket) -> str:
    """Wait for a process of the caller's and tell its exit code; comes back in that process."""
    _, streams, _, _ = socket.recv_fds(call, 1, 3)
    request = json.loads(b"".join(iter(lambda: call.recv(65536), b"")))
    child = os.fork()
    if child:
        for stream in streams:
            os.close(stream)  # who reads the other end waits until nobody has this one
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        call.sendall(str(code if code >= 0 else 128 - code).encode())
        os._exit(0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["-c", *request["arguments"]]
    return str(request["code"])


def _call(door: str, code: str, arguments: list[str]) -> int:
    """Have the code run, and give back its exit code. Imports nothing that takes time."""
    request = {
        "code": code,
        "arguments": arguments,
        "folder": os.getcwd(),  # noqa: PTH109
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX) as call:
        call.connect(door)
        socket.send_fds(call, [b"."], [0, 1, 2])
        call.sendall(json.dumps(request).encode())
        call.shutdown(socket.SHUT_WR)
        return int(call.recv(16))


if __name__ == "__main__":
    match sys.argv[1:]:
        case [door]:
            exec(_serve(door), {"__name__": "__main__"})
        case [door, "-c", code, *arguments]:
            sys.exit(_call(door, code, arguments))
