"""A backend that does segments: in this process, in one of its own, or on a machine of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from vidsr.config import UpscaleConfig
from vidsr.inference.backend import Backend
from vidsr.inference.tally import Tally
from vidsr.inference.upscaler import Upscaler
from vidsr.pipelines.ability import ability_of
from vidsr.pipelines.ledger import Clocks, Ledger
from vidsr.pipelines.manner import Manner, Material, choose, compute_job
from vidsr.pipelines.orders import Orders
from vidsr.pipelines.preview import Preview
from vidsr.pipelines.segment import Reader, Segment, upscale_segments
from vidsr.video.job import Job


class Worker:
    """A backend that was opened and does segments; a context manager, which closes the backend."""

    count = 1

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._orders: Orders | None = None

    def __enter__(self) -> Self:
        self._backend.__enter__()
        self.ability = ability_of(self._backend)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._backend.__exit__(kind, error, trace)

    def choose(self, config: UpscaleConfig, material: Material) -> Manner:
        """How this backend would compute a job of such frames."""
        return choose(self._backend, config, material)

    def begin(self, orders: Orders) -> None:
        """Prepare for the segments of a job."""
        compute_job(orders.manner, self._backend, orders.material)
        size = orders.output.height, orders.output.width
        self._upscaler = Upscaler(
            self._backend, orders.manner.work, orders.encoding.color, size, skip=orders.skip
        )
        self._orders = orders

    @property
    def work(self) -> Tally:
        """What the network had to do for the job begun, so far."""
        return self._upscaler.tally

    def do(
        self,
        reader: Reader,
        segments: Sequence[Segment],
        path_of: Callable[[Segment], Path],
        *,
        clocks: Clocks,
        on_frames: Callable[[int], None],
        on_segment: Callable[[Segment], None],
    ) -> None:
        """Do segments of the job begun that follow each other; see `upscale_segments`."""
        assert self._orders is not None
        with Preview(self._orders.preview, self._orders.output.rotation) as preview:
            upscale_segments(
                reader,
                segments,
                self._upscaler,
                self._orders.output,
                self._orders.encoding,
                path_of,
                rate=self._orders.rate,
                clocks=clocks,
                on_frames=on_frames,
                on_segment=on_segment,
                on_pair=preview.show,
                score=self._orders.score,
            )

    def upscale(
        self, reader: Reader, runs: Sequence[Sequence[Segment]], orders: Orders, job: Job, ledger: Ledger
    ) -> None:
        """Do all of a job's missing segments here: the crew of one."""
        self.begin(orders)
        for run in runs:
            self.do(
                reader,
                run,
                lambda segment: job.segment_path(segment.index),
                clocks=ledger.clocks,
                on_frames=ledger.on_frames,
                on_segment=ledger.on_segment,
            )
        ledger.network("", self.work)
