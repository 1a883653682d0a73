"""How much of a job is done: whoever does its segments counts here, and the user sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from vidsr.inference.tally import Tally
from vidsr.pipelines.segment import Segment
from vidsr.pipelines.stages import StageClock, slowest
from vidsr.progress import Advanced, Progress

Clocks = tuple[StageClock, StageClock, StageClock]
"""Of decoder, network and encoder."""


def new_clocks() -> Clocks:
    """Three clocks that have not run yet."""
    return StageClock("decode"), StageClock("network"), StageClock("encode")


@dataclass
class Ledger:
    """Frames and segments done so far, and the work of each stage, over all workers."""

    progress: Progress
    frames: int  # done, of the timeline; those of earlier runs too
    segments: int  # done, likewise
    workers: int = 1
    clocks: Clocks = field(default_factory=new_clocks)
    _networks: dict[str, Tally] = field(default_factory=dict)  # by worker

    def on_frames(self, count: int) -> None:
        """So many more frames are written."""
        self.frames += count
        self._tell()

    def on_segment(self, segment: Segment) -> None:
        """A segment is finished, on the disk and on record."""
        self.segments += 1
        if self.workers > 1:
            self._tell()

    @property
    def work(self) -> Tally:
        """What the networks of all workers had to do in this run."""
        total = Tally()
        for each in self._networks.values():
            total.include(each)
        return total

    def network(self, worker: str, work: Tally) -> None:
        """What the network of one worker had to do so far, since the job began."""
        self._networks[worker] = work

    def stages(self, busy_s: Iterable[float]) -> None:
        """Decoder, network and encoder of a worker elsewhere were at work for so many seconds."""
        for clock, seconds in zip(self.clocks, busy_s, strict=True):
            clock.busy_s += seconds

    def _tell(self) -> None:
        values: dict[str, float] = {}
        if self.workers > 1:
            values = {"workers": self.workers, "segments": self.segments}
        self.progress(Advanced("upscale", self.frames, slowest(self.clocks), values))
