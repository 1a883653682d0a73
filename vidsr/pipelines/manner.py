"""What a job's first run chooses for all of its runs: each can change the last bit of a sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vidsr.config import UpscaleConfig
from vidsr.cores import threads, use_threads
from vidsr.errors import BackendUnavailable, JobError
from vidsr.frames import ColorSpec
from vidsr.inference.backend import Backend, Tunable

if TYPE_CHECKING:
    from vidsr.inference.upscaler import WorkPlan


@dataclass(frozen=True)
class Material:
    """The frames of a job: what they are, and what becomes of them."""

    size: tuple[int, int]  # (height, width) of the source's, pixels
    source: ColorSpec
    target: ColorSpec


@dataclass(frozen=True)
class Manner:
    """How a job is computed."""

    batch: int  # frames a call
    tile: int | None  # side in LR pixels; None: whole frames
    compute_threads: int
    way: str | None  # of a backend that has several; None: it has one, or each worker takes its own

    @classmethod
    def kept(cls, chosen: Mapping[str, Any]) -> Manner:
        """As the job's first run chose (`Job.chosen`)."""
        return cls(chosen["batch"], chosen["tile"], chosen["compute_threads"], chosen["way"])

    @property
    def work(self) -> WorkPlan:
        """How much goes through the network at once."""
        from vidsr.inference.upscaler import WorkPlan

        return WorkPlan(self.batch, self.tile)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def choose(backend: Backend, config: UpscaleConfig, material: Material) -> Manner:
    """What a backend finds best for these frames, with the memory that is free now."""
    from vidsr.inference.memory import free_bytes
    from vidsr.inference.upscaler import plan_work

    free = free_bytes(backend.device)
    work = plan_work(material.size, backend, free, config.batch, config.tile)
    call = work.usual_call(material.size, material.source, material.target)
    way = backend.tune(call) if isinstance(backend, Tunable) else None
    return Manner(work.batch, work.tile, threads(), way)


def choose_common(manners: Sequence[Manner], *, mixed: bool) -> Manner:
    """What all workers can do, whichever has the least memory; `mixed` ones each take their own way."""
    tiles = [manner.tile for manner in manners if manner.tile is not None]
    return Manner(
        min(manner.batch for manner in manners),
        min(tiles, default=None),
        min(manner.compute_threads for manner in manners),
        None if mixed else manners[0].way,
    )


def compute_as_chosen(manner: Manner, backend: Backend, material: Material) -> None:
    """Make this process compute as was chosen. Raises BackendUnavailable where it cannot."""
    use_threads(manner.compute_threads)
    if isinstance(backend, Tunable):
        call = manner.work.usual_call(material.size, material.source, material.target)
        backend.use(manner.way or backend.tune(call), call)


def compute_job(manner: Manner, backend: Backend, material: Material) -> None:
    """Make this process compute as a job's first run did. Raises JobError where it cannot any more.

    That is a matter of this job alone: another may be done on the same machine.
    """
    try:
        compute_as_chosen(manner, backend, material)
    except BackendUnavailable as error:
        raise JobError(str(error)) from error
