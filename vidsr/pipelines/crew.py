"""Who does the segments of a job: this process, one for each device, or the workers of a cluster.

Whoever it is, the same function does a segment (`upscale_segments`), and manifest, join and proof stay
with the process that began: a job may be begun by one crew and finished by another of the same ability.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from vidsr.config import PIPE, UpscaleConfig
from vidsr.errors import BackendUnavailable, UsageError
from vidsr.inference.backend import Call, open_backend
from vidsr.inference.passage import network_dtype
from vidsr.models.weights import Weights
from vidsr.pipelines.ability import Ability
from vidsr.pipelines.ledger import Ledger
from vidsr.pipelines.manner import Manner, Material
from vidsr.pipelines.orders import BackendOpener, Orders
from vidsr.pipelines.segment import Reader, Segment
from vidsr.pipelines.upscale_plan import writes_pictures
from vidsr.progress import Progress
from vidsr.video.job import Job
from vidsr.video.sequences import is_sequence
from vidsr.video.stills import is_still


class Crew(Protocol):
    """Workers with open backends, all of one ability; a context manager."""

    @property
    def ability(self) -> Ability:
        """What they compute with."""

    @property
    def count(self) -> int:
        """How many they are."""

    def choose(self, config: UpscaleConfig, material: Material) -> Manner:
        """How all of them can compute a job of such frames."""

    def upscale(
        self, reader: Reader, runs: Sequence[Sequence[Segment]], orders: Orders, job: Job, ledger: Ledger
    ) -> None:
        """Do the segments of the runs, so that the job counts them as finished.

        A run is segments that follow each other without a gap. Raises what stopped the work; what was
        finished by then stays.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def call_crew(
    weights: Weights,
    config: UpscaleConfig,
    progress: Progress,
    opener: BackendOpener,
    material: Material,
) -> Crew:
    """The crew that the options ask for, for such frames; entering it opens the backends."""
    if config.crew.cluster is not None:
        try:
            from vidsr.pipelines.cluster import ClusterCrew
        except ImportError as error:
            raise BackendUnavailable(
                f"--cluster needs Ray: install vidsr with its extra [ray] ({error})"
            ) from error
        return ClusterCrew(weights, config, progress, opener)
    if config.crew.devices:
        from vidsr.pipelines.devices import DeviceCrew

        return DeviceCrew(weights, config, progress, opener)
    from vidsr.pipelines.worker import Worker

    if opener is open_backend and config.tile is None:
        call = Call(config.batch or 1, *material.size, network_dtype(material.source, material.target))
        return Worker(open_backend(weights, config, progress, call))
    return Worker(opener(weights, config, progress))


def check_crew(config: UpscaleConfig) -> None:
    """Raise UsageError for what several processes cannot do together; looks at the options alone."""
    if not config.crew.several:
        return
    option = "--devices" if config.crew.cluster is None else "--cluster"
    if PIPE in (config.input, config.output):
        raise UsageError(f"{PIPE}: a pipe has one process at its end: leave out {option}")
    if writes_pictures(config.output):
        raise UsageError(f"{config.output}: pictures are made by one process: leave out {option}")
    if config.crew.cluster is not None and (is_still(config.input) or is_sequence(config.input)):
        raise UsageError(
            f"{config.input}: pieces of a video can travel, pictures not: leave out {option}"
        )
    if config.crew.cluster is not None and config.preview:
        raise UsageError("--preview shows what this machine computes: leave it out, or --cluster")
