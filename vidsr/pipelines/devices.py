"""One process for each device of this machine, all of them on segments of one job."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self, TypeVar

from vidsr.config import UpscaleConfig
from vidsr.cores import usable_cores
from vidsr.errors import UsageError, VidsrError
from vidsr.models.weights import Weights
from vidsr.pipelines.ability import Ability, agree
from vidsr.pipelines.device_process import (
    AskManner,
    Begin,
    Do,
    Drafted,
    Failed,
    Frames,
    Idle,
    Opened,
    Setting,
    Told,
    serve,
)
from vidsr.pipelines.ledger import Ledger
from vidsr.pipelines.manner import Manner, Material, choose_common
from vidsr.pipelines.orders import BackendOpener, Orders
from vidsr.pipelines.segment import Reader, Segment
from vidsr.progress import Notice, Progress
from vidsr.video.job import Job

STOP_WITHIN_S = 1.0
"""How long a process may take to end by itself; then it is ended."""

Answer = TypeVar("Answer")


class DeviceCrew:
    """Processes with one device each; a context manager, which starts and ends them."""

    ability: Ability

    def __init__(
        self, weights: Weights, config: UpscaleConfig, progress: Progress, opener: BackendOpener
    ) -> None:
        devices = config.crew.devices
        # Processes that share the processor share its cores, or each would start threads for all.
        cpus = devices.count("cpu")
        threads = max(1, usable_cores() // cpus) if cpus else None
        self._settings = [
            Setting(
                device=device,
                visible=_visible(device),
                threads=threads if device == "cpu" else None,
                weights=weights,
                config=config,
                opener=opener,
            )
            for device in devices
        ]
        self._progress = progress
        self._told: set[str] = set()
        self._members: list[_Member] = []
        self._allow_mixed = config.crew.allow_mixed

    @property
    def count(self) -> int:
        """How many processes there are."""
        return len(self._settings)

    def __enter__(self) -> Self:
        try:
            self._members = [
                _Member(f"{setting.device} ({number + 1} of {self.count})", setting)
                for number, setting in enumerate(self._settings)
            ]
            opened = {member.name: self._answer(member, Opened) for member in self._members}
            self.ability = agree(
                {name: one.ability for name, one in opened.items()}, allow_mixed=self._allow_mixed
            )
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def choose(self, config: UpscaleConfig, material: Material) -> Manner:
        """How all processes can compute a job of such frames."""
        for member in self._members:
            member.tell(AskManner(config, material))
        manners = [self._answer(member, Manner) for member in self._members]
        return choose_common(manners, mixed=self.ability.mixed)

    def upscale(
        self, reader: Reader, runs: Sequence[Sequence[Segment]], orders: Orders, job: Job, ledger: Ledger
    ) -> None:
        """Do the segments of the runs, each process one block after the other."""
        left = deque(list(run) for run in runs)
        busy = {member.connection: member for member in self._members}
        for member in self._members:
            member.tell(Begin(reader, orders, job.folder))
            orders = replace(orders, preview=None)  # one shows what it does: there is one picture
        for member in self._members:
            if not member.give(left, self.count):
                del busy[member.connection]
        while busy:
            for connection in wait(list(busy), timeout=0.2):  # Windows sees Ctrl-C between waits only
                member = busy[connection]  # type: ignore[index]
                match self._hear(member):
                    case Frames(count):
                        ledger.on_frames(count)
                    case Drafted(segment, draft):
                        job.adopt(segment.index, draft)
                        ledger.on_segment(segment)
                    case Idle(busy_s, work):
                        ledger.stages(busy_s)
                        ledger.network(member.name, work)
                        if not member.give(left, self.count):
                            del busy[member.connection]

    def _answer(self, member: _Member, kind: type[Answer]) -> Answer:
        """The next message of a process but for what it tells the user."""
        while True:
            message = self._hear(member)
            if isinstance(message, kind):
                return message
            assert message is None

    def _hear(self, member: _Member) -> object:
        """A message of a process; None where it was for the user. Raises what the process raised."""
        match member.hear():
            case Told(Notice(text, level)):
                if text not in self._told:  # all processes say much the same
                    self._told.add(text)
                    self._progress(Notice(text, level))
                return None
            case Told():
                return None
            case Failed(error):
                raise error
            case message:
                return message

    def _end(self) -> None:
        for member in self._members:
            member.connection.close()
        deadline = time.monotonic() + STOP_WITHIN_S
        for member in self._members:
            member.end(max(0.0, deadline - time.monotonic()))
        self._members.clear()


class _Member:
    """One process and the connection to it."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.name = name
        # Spawned: a fork of a process with threads, or with CUDA in use, is not a working process.
        context = multiprocessing.get_context("spawn")
        self.connection: Connection[Any, Any]
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(theirs, setting), name=f"vidsr on {name}", daemon=True
        )
        self._process.start()
        theirs.close()

    def tell(self, message: object) -> None:
        """Send a message; a process that has ended shows itself when it is next heard."""
        with suppress(BrokenPipeError):
            self.connection.send(message)

    def hear(self) -> object:
        """The next message. Raises VidsrError where the process has ended without one."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError) as error:
            self._process.join(STOP_WITHIN_S)
            raise VidsrError(
                f"the process on device {self.name} ended by itself (exit code "
                f"{self._process.exitcode}; -9 is mostly a lack of memory); "
                "finished segments are kept, the same command goes on"
            ) from error

    def give(self, left: deque[list[Segment]], workers: int) -> bool:
        """Let the process do the next block, if there is one."""
        block = take_block(left, workers)
        if block:
            self.tell(Do(block))
        return bool(block)

    def end(self, within_s: float) -> None:
        """End the process: by itself, now that nobody listens, else by force."""
        self._process.join(within_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def take_block(left: deque[list[Segment]], workers: int) -> tuple[Segment, ...]:
    """Take the next segments in a row for one of so many workers; empty where nothing is left.

    A block needs one decoder and one start, so it is large at first, and small towards the end, that
    all end together: half of an equal share of what is left. (Guided self-scheduling: C. D.
    Polychronopoulos and D. J. Kuck, IEEE Transactions on Computers C-36(12), 1987.)
    """
    if not left:
        return ()
    share = -(-sum(map(len, left)) // (2 * workers))
    run = left.popleft()
    if run[share:]:
        left.appendleft(run[share:])
    return tuple(run[:share])


def _visible(device: str) -> str:
    """CUDA_VISIBLE_DEVICES for a process: cards are numbered as this process sees them."""
    if device == "cpu":
        return ""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if seen is None:
        return device
    names = [name.strip() for name in seen.split(",") if name.strip()]
    number = int(device)
    if number >= len(names):
        raise UsageError(
            f"--devices: there is no card {device}; CUDA_VISIBLE_DEVICES={seen} leaves {len(names)}"
        )
    return names[number]
