"""The process of one device: what is said to it, what it answers, and what it does in between."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vidsr.config import UpscaleConfig
from vidsr.cores import use_threads
from vidsr.errors import BackendUnavailable
from vidsr.inference.tally import Tally
from vidsr.models.weights import Weights
from vidsr.pipelines.ability import Ability
from vidsr.pipelines.ledger import new_clocks
from vidsr.pipelines.manner import Material
from vidsr.pipelines.orders import BackendOpener, Orders
from vidsr.pipelines.segment import Reader, Segment
from vidsr.pipelines.worker import Worker
from vidsr.progress import Event
from vidsr.video.job import draft_path

Say = Callable[[object], None]


@dataclass(frozen=True)
class Setting:
    """What a process needs to open its backend."""

    device: str  # the number of a card, or "cpu"
    visible: str  # what CUDA is to see: that card alone, or nothing
    threads: int | None  # of PyTorch; None: as it finds best
    weights: Weights
    config: UpscaleConfig
    opener: BackendOpener


@dataclass(frozen=True)
class AskManner:
    """To the process: how would it compute a job of such frames? It answers with a Manner."""

    config: UpscaleConfig
    material: Material


@dataclass(frozen=True)
class Begin:
    """To the process: a job begins, whose folder takes drafts of segments."""

    reader: Reader
    orders: Orders
    folder: Path


@dataclass(frozen=True)
class Do:
    """To the process: segments that follow each other."""

    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Opened:
    """From the process: its backend is open."""

    ability: Ability


@dataclass(frozen=True)
class Told:
    """From the process: something for the user."""

    event: Event


@dataclass(frozen=True)
class Frames:
    """From the process: so many more frames are written."""

    count: int


@dataclass(frozen=True)
class Drafted:
    """From the process: a segment is whole and on the disk, as a draft."""

    segment: Segment
    draft: Path


@dataclass(frozen=True)
class Idle:
    """From the process: all that was asked for is done."""

    busy_s: tuple[float, ...]  # that each stage worked at it
    work: Tally  # of the network, since the job began


@dataclass(frozen=True)
class Failed:
    """From the process: it ends, and why."""

    error: Exception


def serve(connection: Connection[Any, Any], setting: Setting) -> None:
    """Open the device's backend and do what is asked for until the connection is closed.

    Ctrl-C reaches every process of a terminal; only the one that the user began answers it, and ends
    the others. One whose parent was killed finds the connection broken with its next frames, and ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["CUDA_VISIBLE_DEVICES"] = setting.visible  # read when CUDA is first used
    lock = threading.Lock()  # engines are built, and told of, in the background

    def say(message: object) -> None:
        with lock:
            connection.send(message)

    try:
        _serve(connection, setting, say)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:
        say(Failed(error))


def _serve(connection: Connection[Any, Any], setting: Setting, say: Say) -> None:
    if setting.threads is not None:
        use_threads(setting.threads)
    backend = setting.opener(setting.weights, setting.config, lambda event: say(Told(event)))
    if (backend.device.type == "cpu") != (setting.device == "cpu"):
        raise BackendUnavailable(
            f"--devices: {setting.device} cannot be used (the backend is {backend.name}); "
            "see --backend, and nvidia-smi for the numbers of cards"
        )
    with Worker(backend) as worker:
        say(Opened(worker.ability))
        job: Begin | None = None
        while True:
            match connection.recv():
                case AskManner(config, material):
                    say(worker.choose(config, material))
                case Begin() as job:
                    worker.begin(job.orders)
                case Do(segments):
                    assert job is not None
                    _do(worker, job, segments, say)


def _do(worker: Worker, job: Begin, segments: Sequence[Segment], say: Say) -> None:
    suffix = job.orders.encoding.segment_suffix

    def draft(segment: Segment) -> Path:
        return draft_path(job.folder, segment.index, os.getpid(), suffix)

    clocks = new_clocks()
    worker.do(
        job.reader,
        segments,
        draft,
        clocks=clocks,
        on_frames=lambda count: say(Frames(count)),
        on_segment=lambda segment: say(Drafted(segment, draft(segment))),
    )
    say(Idle(tuple(clock.busy_s for clock in clocks), worker.work))
