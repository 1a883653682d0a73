"""The segments of a job on the machines of a Ray cluster; the only file that imports Ray.

The driver, which is the process that the user began, cuts pieces and takes segments in; actors, one for
each card or group of cores, do them. Neither needs a disk that the other sees.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# Before the import: Ray reads it there. Nobody asked us to report what they do.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import RayError, RayTaskError

from vidsr.config import UpscaleConfig
from vidsr.cores import usable_cores
from vidsr.errors import BackendUnavailable, OutputError, UsageError, VidsrError
from vidsr.models.weights import Weights
from vidsr.pipelines.ability import Ability, agree
from vidsr.pipelines.dispatch import AT_ONCE, Dispatch
from vidsr.pipelines.far_worker import FarWorker, Finished, Introduction
from vidsr.pipelines.ledger import Ledger
from vidsr.pipelines.luggage import Luggage
from vidsr.pipelines.manner import Manner, Material, choose_common
from vidsr.pipelines.orders import BackendOpener, Orders
from vidsr.pipelines.places import find_places
from vidsr.pipelines.resume import software
from vidsr.pipelines.segment import Reader, Segment
from vidsr.progress import Notice, Progress
from vidsr.video.cutting import cut_excerpt
from vidsr.video.job import Job
from vidsr.video.reader import VideoReader
from vidsr.video.scratch import Scratch

UNDERWAY_BYTES = 256 * 1024 * 1024
"""Pieces of the source that are cut and not yet done, at most: a bound for the driver's object store,
however many workers there are. One always fits."""

LOCAL_STORE_BYTES = 2 * UNDERWAY_BYTES
"""Object store of a cluster that is started here: the pieces, and the segments that come back."""

ANSWERED_WITHIN_S = 5.0
"""How long a cluster's address may take to answer at all."""

PLACED_WITHIN_S = 60.0
"""How long to wait for workers to be given a place; the job begins with those that have one."""

TICK_S = 0.5
"""How often slow segments are looked for while nothing comes back."""

FETCHED_WITHIN_S = 120.0
"""How long a finished segment may take on its way here: longer means a network that is gone."""

STOP_WITHIN_S = 1.0
"""How long actors may take to remove their files; then they are ended."""

TIDYING = "tidying"
"""Ray's name for the thread of an actor that answers while another one works."""


@dataclass(frozen=True)
class _Hand:
    """An actor, known to the user by its name."""

    name: str
    actor: Any


@dataclass(frozen=True)
class _Call:
    """A segment that an actor was asked for."""

    hand: _Hand
    segment: Segment
    nbytes: int  # of its piece


@dataclass
class _Work:
    """A job on its way through the cluster."""

    reader: VideoReader
    orders: Any  # Ray's reference to them
    dispatch: Dispatch
    calls: dict[Any, _Call] = field(default_factory=dict)  # by Ray's reference to the answer
    joining: dict[Any, _Hand] = field(default_factory=dict)  # actors asked for in mid-job, likewise
    underway_bytes: int = 0  # of the pieces that were handed out


class ClusterCrew:
    """Actors of a Ray cluster; a context manager, which starts them and lets them go."""

    ability: Ability

    def __init__(
        self, weights: Weights, config: UpscaleConfig, progress: Progress, opener: BackendOpener
    ) -> None:
        self._luggage = Luggage.pack(weights)
        self._config, self._progress, self._opener = config, progress, opener
        self._hands: list[_Hand] = []
        self._hired = 0
        self._meeting: Scratch | None = None  # where segments come back on a shared disk

    @property
    def count(self) -> int:
        """How many actors are at work."""
        return len(self._hands)

    def __enter__(self) -> Self:
        self._ours = not ray.is_initialized()  # a cluster that the caller is in stays connected
        try:
            if self._ours:
                _connect(str(self._config.crew.cluster))
            self._meeting = _meeting_place(self._config.crew.shared)
            self._places = find_places(self._config, ray.nodes())
            self._packed = ray.put(self._luggage)
            self._hands = self._placed([self._hire() for _ in range(self._places.workers)])
            self._open()
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._let_go()

    def choose(self, config: UpscaleConfig, material: Material) -> Manner:
        """How all workers can compute a job of such frames."""
        calls = [hand.actor.choose.remote(config, material) for hand in self._hands]
        return choose_common([_answer(call) for call in calls], mixed=self.ability.mixed)

    def upscale(
        self, reader: Reader, runs: Sequence[Sequence[Segment]], orders: Orders, job: Job, ledger: Ledger
    ) -> None:
        """Do the segments of the runs; whatever dies meanwhile, what it had is done elsewhere."""
        assert isinstance(reader, VideoReader)  # pictures were refused before
        work = _Work(reader, ray.put(orders), Dispatch(segment for run in runs for segment in run))
        for begun in [hand.actor.begin.remote(work.orders) for hand in self._hands]:
            _answer(begun)
        deserted_since: float | None = None
        while not work.dispatch.finished:
            self._hand_out(work)
            # Results stay where they were made until they are asked for, one after the other.
            waiting = [*work.calls, *work.joining]
            ready, _ = ray.wait(waiting, num_returns=1, timeout=TICK_S, fetch_local=False)
            for ref in ready:
                if ref in work.joining:
                    self._welcome(work.joining.pop(ref), ref)
                else:
                    self._settle(work, work.calls.pop(ref), ref, job, ledger)
            ledger.workers = self.count
            if self._hands:
                deserted_since = None
            elif deserted_since is None:
                deserted_since = time.monotonic()
            elif time.monotonic() - deserted_since > PLACED_WITHIN_S:
                raise VidsrError(
                    "all workers of the cluster are lost, and no other took their place within "
                    f"{PLACED_WITHIN_S:.0f} s; finished segments are kept, the same command goes on"
                )

    def _hand_out(self, work: _Work) -> None:
        """Give segments to all that have room for one: a first one to each, before a second to any."""
        for _ in range(AT_ONCE):
            for hand in self._hands:
                if work.underway_bytes >= UNDERWAY_BYTES:
                    return
                segment = work.dispatch.take(hand.name, workers=self.count)
                if segment is not None:
                    piece = cut_excerpt(work.reader, segment.start_pts, segment.end_pts)
                    ref = hand.actor.do.remote(piece, segment, self._shared(hand, segment))
                    work.calls[ref] = _Call(hand, segment, piece.nbytes)
                    work.underway_bytes += piece.nbytes

    def _shared(self, hand: _Hand, segment: Segment) -> Path | None:
        """Where a worker puts a segment, apart from another's of the same one."""
        if self._meeting is None:
            return None
        return self._meeting.path / f"{segment.index:06}-{hand.name}"

    def _settle(self, work: _Work, call: _Call, ref: Any, job: Job, ledger: Ledger) -> None:
        """Take in what an actor made of a segment, or see that it is done elsewhere."""
        hand, segment = call.hand, call.segment
        work.underway_bytes -= call.nbytes
        try:
            finished: Finished = ray.get(ref, timeout=FETCHED_WITHIN_S)
        except RayTaskError as error:
            work.dispatch.failed(segment, hand.name, str(error.cause))
        except RayError:
            if hand in self._hands:  # not by another call of the same actor already
                self._progress(Notice(f"worker {hand.name} is lost: others do its work", "warning"))
                self._dismiss(hand)
                work.dispatch.lost(hand.name)
                other = self._hire()
                ref = other.actor.join.remote(self._packed, self._config, self._opener, work.orders)
                work.joining[ref] = other
        else:
            data = finished.fetch()
            if work.dispatch.done(segment):
                job.keep(segment.index, data, finished.record)
                ledger.network(hand.name, finished.work)
                ledger.stages(finished.busy_s)
                ledger.on_frames(finished.frames)
                ledger.on_segment(segment)

    def _welcome(self, hand: _Hand, ref: Any) -> None:
        """Let an actor that came later take part, if it is of the others' kind."""
        try:
            introduction: Introduction = ray.get(ref, timeout=FETCHED_WITHIN_S)
            self._check(hand, introduction)
            known = {"the others": self.ability, hand.name: introduction.ability}
            agree(known, allow_mixed=self._config.crew.allow_mixed)
        except (RayError, VidsrError) as error:
            self._progress(Notice(f"worker {hand.name} cannot take part: {_reason(error)}", "warning"))
            self._dismiss(hand)
        else:
            self._hands.append(hand)

    def _hire(self) -> _Hand:
        """Ask for one more actor; it waits where there is no room yet."""
        self._hired += 1
        places = self._places
        options = {
            "num_cpus": places.cpus,
            "num_gpus": int(places.card),
            "scheduling_strategy": "SPREAD",
        }
        actor = ray.remote(FarWorker).options(**options).remote(places.cpus)
        return _Hand(str(self._hired), actor)

    def _placed(self, hands: list[_Hand]) -> list[_Hand]:
        """Those actors that were given a place; the others are let go."""
        calls = {hand.actor.here.remote(): hand for hand in hands}
        ready, _ = ray.wait(list(calls), num_returns=len(calls), timeout=PLACED_WITHIN_S)
        placed: list[_Hand] = []
        refused = ""
        for ref in ready:
            try:
                ray.get(ref)
            except RayError as error:
                refused = _reason(error)
            else:
                placed.append(calls[ref])
        for hand in hands:
            if hand not in placed:
                self._dismiss(hand)
        if not placed and refused:
            raise BackendUnavailable(
                f"the workers of the cluster do not start ({refused}): "
                "install the same vidsr, with its extra [ray], on every machine"
            )
        if not placed:
            raise BackendUnavailable(
                f"no worker was given a place within {PLACED_WITHIN_S:.0f} s: the cluster is busy, or "
                f"no machine has {self._places.cpus} free cores; see `ray status` and --cpus-per-worker"
            )
        if len(placed) < len(hands):
            told = f"{len(placed)} of {len(hands)} workers have started; the job begins with them"
            self._progress(Notice(told, "warning"))
        return placed

    def _open(self) -> None:
        """Open all backends and see that they are of one kind."""
        calls = [
            hand.actor.open.remote(self._packed, self._config, self._opener) for hand in self._hands
        ]
        abilities: dict[str, Ability] = {}
        told: set[str] = set()
        for hand, call in zip(self._hands, calls, strict=True):
            introduction: Introduction = _answer(call)
            self._check(hand, introduction)
            abilities[f"worker {hand.name}"] = introduction.ability
            for notice in introduction.notices:
                if notice not in told:  # all of them say much the same
                    told.add(notice)
                    self._progress(Notice(notice))
        self.ability = agree(abilities, allow_mixed=self._config.crew.allow_mixed)

    def _check(self, hand: _Hand, introduction: Introduction) -> None:
        """Raise UsageError where a worker's software could make other frames than this machine's."""
        ours = software(introduction.ability.runtime)
        for name, version in introduction.software.items():
            if version != ours[name]:
                raise UsageError(
                    f"worker {hand.name} has {name} {version}, and this machine {ours[name]}: "
                    "install the same on all"
                )

    def _dismiss(self, hand: _Hand) -> None:
        if hand in self._hands:
            self._hands.remove(hand)
        with suppress(RayError):
            ray.kill(hand.actor)

    def _let_go(self) -> None:
        """End all actors, whatever they are at: their places are free at once."""
        if ray.is_initialized():
            with suppress(RayError):
                tidying = [
                    hand.actor.tidy_up.options(concurrency_group=TIDYING).remote()
                    for hand in self._hands
                ]
                if tidying:
                    ray.wait(tidying, num_returns=len(tidying), timeout=STOP_WITHIN_S)
            for hand in list(self._hands):
                self._dismiss(hand)
            if self._meeting is not None:
                self._meeting.remove()
            if self._ours:
                ray.shutdown()


def _meeting_place(shared: Path | None) -> Scratch | None:
    """A folder of this job's own on the shared disk; what lost workers leave in it goes with it."""
    if shared is None:
        return None
    try:
        return Scratch(shared.resolve())
    except OSError as error:
        raise OutputError(f"--shared {shared}: {error.strerror or error}; make it first") from error


def _connect(address: str) -> None:
    """Join a cluster, or start one here, and keep Ray's own words from the user."""
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    # A lost machine is told with thirty lines of its log, on standard output; there is no switch for it.
    ray._private.worker.print_to_stdstream = lambda data, ignore_prefix: None
    before = signal.getsignal(signal.SIGTERM)
    try:
        if ":" in address:  # Ray would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=ANSWERED_WITHIN_S).close()
        if address == "local":
            ray.init(
                address="local",
                num_cpus=usable_cores(),
                object_store_memory=LOCAL_STORE_BYTES,
                include_dashboard=False,
                **quiet,
            )
        else:
            ray.init(address=address, **quiet)
    except Exception as error:  # of a dozen types, none of which Ray documents
        raise BackendUnavailable(
            f"--cluster {address}: cannot be reached ({_reason(error)}); "
            "`ray status` tells whether it runs"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray takes it: a plain kill would not be resumable


def _answer(ref: Any) -> Any:
    """What a call came to. Raises what it raised there; BackendUnavailable where its worker is gone."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        if isinstance(error.cause, VidsrError):
            raise error.cause from None
        raise
    except RayError as error:
        raise BackendUnavailable(
            f"a worker of the cluster was lost before the first segment ({_reason(error)}): "
            "the same command tries again"
        ) from error


def _reason(error: BaseException) -> str:
    """The last line of what Ray or a worker says, which is the one that tells."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
