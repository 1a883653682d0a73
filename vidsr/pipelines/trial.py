"""One model on one backend, tried on samples of the real video, for a process of its own.

Network and encoder are measured in turn, each alone, because a few frames cannot show how they overlap:
an encoder holds its first forty frames back. What they take together follows from both, see `Measured`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, cycle, islice, tee
from pathlib import Path

from vidsr.config import UpscaleConfig
from vidsr.errors import InputError
from vidsr.frames import FrameBatch, VideoInfo
from vidsr.inference.backend import Backend, open_backend
from vidsr.inference.card_driver import card_answers
from vidsr.inference.memory import peak_rss_bytes
from vidsr.inference.upscaler import Upscaler
from vidsr.models.weights import Weights
from vidsr.pipelines.manner import Material, choose, compute_as_chosen
from vidsr.pipelines.samples import Run
from vidsr.pipelines.segment import QUEUE_BYTES, FramePair, Reader
from vidsr.progress import Notice
from vidsr.video.encoders import Encoding
from vidsr.video.writer import VideoWriter

LEAST_FRAMES = 2
"""Of a run: the second shows what a frame takes that is predicted from another."""

GOOD_FRAMES = 12
"""Of a run: fewer places are visited rather than fewer frames enlarged at each. The first frames of a
segment take more bytes than those that come later."""

KEPT_BYTES = 2 * QUEUE_BYTES
"""Of enlarged frames held at once: what waits in a job before and behind the network."""

ENCODER_FRAMES = 72
"""Frames that fill an encoder: x264's and x265's lookahead of 40 (preset medium), its threads and those
held for reordering. Until then it has neither its speed nor its memory."""


@dataclass(frozen=True)
class Trial:
    """What is tried, and on what."""

    reader: Reader
    runs: tuple[Run, ...]
    weights: Weights
    config: UpscaleConfig  # its backend is one by name
    output: VideoInfo
    encoding: Encoding
    seconds: float  # that network and encoder are measured, each
    folder: Path  # for what is encoded; whoever asks empties it, since this process may be ended


@dataclass(frozen=True)
class Measured:
    """What one frame takes here, each stage alone, and what the process needed."""

    precision: str
    on_cpu: bool  # whether the network shares the processor with the other stages
    frames: int  # that were enlarged
    open_s: float  # weights, graph, first small call
    network_s: float  # a frame, colour conversions included: wall time
    network_cpu_s: float  # a frame, of all cores
    network_share: float  # that is computed of a frame where another comes before it; 1: nothing skipped
    encode_s: float  # a frame
    encode_cpu_s: float
    key_bytes: float  # of a frame that begins a segment, mean
    other_bytes: float  # of any other frame, mean
    peak_rss_bytes: int | None
    device_bytes: int | None  # that the GPU had less at the end; other programs' changes included
    filled: bool  # whether the encoder saw so many frames that its memory is all there
    notices: tuple[str, ...]  # what the backend had to say


def measure(trial: Trial) -> Measured:
    """Enlarge the first frames of every run and encode them; the result is thrown away.

    Raises what opening and running the backend, and the encoder, raise.
    """
    notices: list[str] = []
    began, free = time.perf_counter(), _device_free()
    info = trial.reader.info

    def hear(event: object) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)

    with open_backend(trial.weights, trial.config, hear) as backend:
        opened_s = time.perf_counter() - began
        material = Material((info.height, info.width), info.color, trial.encoding.color)
        manner = choose(backend, trial.config, material)
        compute_as_chosen(manner, backend, material)
        size = trial.output.height, trial.output.width
        upscaler, skipping = (
            Upscaler(backend, manner.work, trial.encoding.color, size, skip=skip)
            for skip in (False, trial.config.skip)
        )
        bench = _Bench(trial, backend, upscaler, skipping)
        bench.run()
        return bench.result(opened_s, free, tuple(notices))


class _Bench:
    """The trial under way, and what was measured of it so far."""

    def __init__(
        self,
        trial: Trial,
        backend: Backend,
        upscaler: Upscaler,
        skipping: Upscaler,
    ) -> None:
        self._trial, self._backend = trial, backend
        self._upscaler = upscaler  # computes everything, as what is measured must
        self._skipping = skipping  # knows what a job leaves out
        self._path = trial.folder / f"trial{trial.encoding.segment_suffix}"
        self._passes: list[tuple[int, float, float]] = []  # frames, wall and processor seconds
        self._keys: list[float] = []
        self._others: list[float] = []
        self._shares: list[float] = []  # of the network's work, frame by frame
        self._encoded = 0, 0.0, 0.0  # frames, wall and processor seconds

    def run(self) -> None:
        """One run after the other, the middle one first; the last one's frames fill the encoder."""
        trial = self._trial
        frames: list[FramePair] = []
        middle = (len(trial.runs) - 1) / 2
        for _, run in sorted(enumerate(trial.runs), key=lambda place: abs(place[0] - middle)):
            if self._spent_s >= trial.seconds:
                break
            frames = self._enlarge(run, trial.seconds / len(trial.runs)) or frames
            if not frames:
                continue
            first = self._encode(frames[:1], compared=False)
            self._keys.append(first)
            if len(frames) > 1:
                self._others.append((self._encode(frames, compared=False) - first) / (len(frames) - 1))
        for run in trial.runs:
            batch = self._decoded(run)
            self._shares += [] if batch is None else self._skipping.foresee(batch)
        if not frames:
            raise InputError(f"{trial.config.input}: not one frame could be decoded; is it damaged?")
        wall, cpu = time.perf_counter(), time.process_time()
        count = 0

        def counted() -> Iterator[FramePair]:
            nonlocal count
            # There and back again, so that neighbours stay neighbours.
            for frame in islice(cycle(chain(frames, frames[-2:0:-1])), ENCODER_FRAMES):
                if count > LEAST_FRAMES and time.perf_counter() - wall > trial.seconds:
                    return
                count += 1
                yield frame

        self._encode(counted(), compared=trial.config.score)
        self._encoded = count, time.perf_counter() - wall, time.process_time() - cpu

    def result(self, open_s: float, free: int | None, notices: tuple[str, ...]) -> Measured:
        """The means of all that was measured."""
        passes = self._passes[1:] or self._passes  # the first one also compiles and allocates
        count = sum(frames for frames, _, _ in passes)
        encoded, encode_s, encode_cpu_s = self._encoded
        left = _device_free() if self._backend.device.type == "cuda" else None
        return Measured(
            precision=self._backend.precision,
            on_cpu=self._backend.device.type == "cpu",
            frames=sum(frames for frames, _, _ in self._passes),
            open_s=open_s,
            network_s=sum(wall for _, wall, _ in passes) / count,
            network_cpu_s=sum(cpu for _, _, cpu in passes) / count,
            network_share=sum(self._shares) / len(self._shares) if self._shares else 1.0,
            encode_s=encode_s / encoded,
            encode_cpu_s=encode_cpu_s / encoded,
            key_bytes=sum(self._keys) / len(self._keys),
            other_bytes=sum(self._others) / len(self._others) if self._others else self._keys[0],
            peak_rss_bytes=peak_rss_bytes(),
            device_bytes=None if free is None or left is None else max(0, free - left),
            filled=encoded == ENCODER_FRAMES,
            notices=notices,
        )

    @property
    def _spent_s(self) -> float:
        """Seconds that the network had so far."""
        return sum(wall for _, wall, _ in self._passes)

    def _enlarge(self, run: Run, seconds: float) -> list[FramePair]:
        """The first frames of a run, with what they became; as time and memory allow."""
        batch = self._decoded(run)
        sources = [] if batch is None else list(batch.split(self._upscaler.plan.batch))
        kept: list[FramePair] = []
        if not self._passes:
            self._timed(sources[:1], kept)
            sources = sources[1:]
        self._timed(self._while_there_is_time(sources, kept, seconds), kept)
        return kept

    def _while_there_is_time(
        self, sources: Iterable[FrameBatch], kept: list[FramePair], seconds: float
    ) -> Iterator[FrameBatch]:
        began, given = time.perf_counter(), len(kept)
        for source in sources:
            spent = time.perf_counter() - began
            done = given >= GOOD_FRAMES and spent >= seconds
            late = self._spent_s + spent >= self._trial.seconds
            held = sum(pair.enlarged.nbytes for pair in kept)
            if given >= LEAST_FRAMES and (done or late or held >= KEPT_BYTES):
                return
            given += len(source)
            yield source

    def _timed(self, sources: Iterable[FrameBatch], kept: list[FramePair]) -> None:
        """Add frames with what they became to `kept`, and a pass over them to what was measured.

        Several may be computed at once, and end at once: the time from one to the next says nothing.
        """
        wall, cpu, before = time.perf_counter(), time.process_time(), len(kept)
        shown, taken = tee(sources)
        for source, enlarged in zip(shown, self._upscaler.stream(taken), strict=True):
            kept += map(FramePair, source.split(1), enlarged.split(1))
        if count := len(kept) - before:
            spent = time.perf_counter() - wall, time.process_time() - cpu
            self._passes.append((count, *spent))

    def _decoded(self, run: Run) -> FrameBatch | None:
        """The run's first frames, no more than would wait in a job; None where the file is damaged."""
        reader = self._trial.reader
        height, width = reader.info.height, reader.info.width
        frame_bytes = 3 * height * width * (2 if reader.info.color.depth > 8 else 1)
        count = min(run.frames, max(LEAST_FRAMES, QUEUE_BYTES // frame_bytes))
        return next(iter(reader.batches(count, start_pts=run.start_pts, end_pts=run.end_pts)), None)

    def _encode(self, pairs: Iterable[FramePair], *, compared: bool) -> int:
        """Bytes of a segment of these frames; `compared` with their sources too, as a job does."""
        output = self._trial.output
        with VideoWriter(self._path, output, self._trial.encoding) as writer:
            for number, pair in enumerate(pairs):
                frame = replace(pair.enlarged, pts=(number,), durations=(), time_base=output.time_base)
                writer.write(frame, pair.source if compared else None)
        return self._path.stat().st_size


def _device_free() -> int | None:
    """Free bytes of the GPU, None where there is none."""
    if not card_answers():
        return None
    import torch

    return torch.cuda.mem_get_info()[0]
