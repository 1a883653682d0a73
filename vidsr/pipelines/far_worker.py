"""A worker on another machine: packed weights and pieces of a video in, finished segments out.

Nothing here knows what carries the calls; what comes and goes are plain values.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from vidsr.config import UpscaleConfig
from vidsr.cores import use_threads
from vidsr.errors import OutputError
from vidsr.inference.tally import Tally
from vidsr.pipelines.ability import Ability
from vidsr.pipelines.ledger import new_clocks
from vidsr.pipelines.luggage import Luggage
from vidsr.pipelines.manner import Manner, Material
from vidsr.pipelines.orders import BackendOpener, Orders
from vidsr.pipelines.resume import software
from vidsr.pipelines.segment import Segment
from vidsr.pipelines.worker import Worker
from vidsr.progress import Event, Notice
from vidsr.video.excerpt import Excerpt
from vidsr.video.reader import VideoReader
from vidsr.video.scratch import Scratch
from vidsr.video.writer import SegmentRecord, record_path


@dataclass(frozen=True)
class Introduction:
    """What a worker says of itself when its backend is open."""

    ability: Ability
    software: dict[str, str]  # versions of all that decides the frames
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Finished:
    """A segment, as the files of it would be."""

    data: bytes | Path  # its file's content, or where that lies on a disk that the driver sees too
    record: SegmentRecord
    frames: int  # of the source
    busy_s: tuple[float, ...]  # of decoder, network and encoder
    work: Tally  # of the network, since the job began

    def fetch(self) -> bytes:
        """The content of the segment's file; what lay on a shared disk is removed from there.

        Raises OutputError where it does not lie there.
        """
        if isinstance(self.data, bytes):
            return self.data
        try:
            content = self.data.read_bytes()
            self.data.unlink()
        except OSError as error:
            raise OutputError(
                f"{self.data}: a worker wrote it there, and it cannot be read here "
                f"({error.strerror or error}): --shared takes a folder that all machines see"
            ) from error
        return content


class FarWorker:
    """Opens its backend once, and does one segment after the other."""

    def __init__(self, threads: int) -> None:
        """`threads` are those of decoder and network: the processors it may use."""
        self._threads = threads
        self._scratch = Scratch()
        self._folder = self._scratch.path

    def here(self) -> None:
        """Answer: the worker has found a place and started."""

    def open(self, luggage: Luggage, config: UpscaleConfig, opener: BackendOpener) -> Introduction:
        """Open the backend. Raises what the opener raises, such as BackendUnavailable."""
        use_threads(self._threads)
        notices: list[str] = []

        def hear(event: Event) -> None:
            if isinstance(event, Notice):
                notices.append(event.text)

        weights = luggage.unpack(self._folder)
        self._worker = Worker(opener(weights, config, hear)).__enter__()  # until the process ends
        ability = self._worker.ability
        return Introduction(ability, software(ability.runtime), tuple(notices))

    def join(
        self, luggage: Luggage, config: UpscaleConfig, opener: BackendOpener, orders: Orders
    ) -> Introduction:
        """Open the backend and begin, for a job that others are at."""
        introduction = self.open(luggage, config, opener)
        self.begin(orders)
        return introduction

    def tidy_up(self) -> None:
        """Remove what lies on the disk, before the process is ended; may be called in mid-work."""
        self._scratch.remove()

    def choose(self, config: UpscaleConfig, material: Material) -> Manner:
        """How this worker would compute a job of such frames."""
        return self._worker.choose(config, material)

    def begin(self, orders: Orders) -> None:
        """Prepare for the segments of a job."""
        self._orders = orders
        self._worker.begin(orders)

    def do(self, excerpt: Excerpt, segment: Segment, shared: Path | None = None) -> Finished:
        """Do one segment of the job begun, out of a piece of the source that holds it.

        Its file is handed back as bytes, or put to `shared`, a path of its own on a disk that the driver
        sees. Raises OutputError where that cannot be written.
        """
        path = self._folder / f"{segment.index:06}{self._orders.encoding.segment_suffix}"
        clocks = new_clocks()
        frames = 0

        def count(more: int) -> None:
            nonlocal frames
            frames += more

        try:
            self._worker.do(
                VideoReader.of_excerpt(excerpt, threads=self._threads),
                [segment],
                lambda segment: path,
                clocks=clocks,
                on_frames=count,
                on_segment=lambda segment: None,
            )
            record = SegmentRecord.load(record_path(path))
            assert record is not None
            busy_s = tuple(clock.busy_s for clock in clocks)
            data = path.read_bytes() if shared is None else _put(path, shared)
            return Finished(data, record, frames, busy_s, self._worker.work)
        finally:
            path.unlink(missing_ok=True)
            record_path(path).unlink(missing_ok=True)


def _put(path: Path, shared: Path) -> Path:
    try:
        return shutil.copyfile(path, shared)
    except OSError as error:
        raise OutputError(
            f"{shared.parent}: a worker cannot write there ({error.strerror or error}): "
            "--shared takes a folder that all machines see"
        ) from error
