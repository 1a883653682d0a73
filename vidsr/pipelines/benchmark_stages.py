"""An upscale run taken to pieces: each stage alone, then more and more of them at once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vidsr.arrays import Array, Device, is_card
from vidsr.errors import InputError
from vidsr.frames import FrameBatch
from vidsr.inference.backend import Backend
from vidsr.inference.lanes import Planes, lanes_of
from vidsr.inference.passage import Passage
from vidsr.inference.tiling import plan_tiles, upscale_tiled
from vidsr.inference.upscaler import Upscaler, WorkPlan
from vidsr.pipelines.benchmark_report import StageTime
from vidsr.pipelines.segment import QUEUE_BYTES, Reader, Segment, upscale_segments
from vidsr.pipelines.stages import StageClock, run_stages
from vidsr.pipelines.upscale_plan import UpscalePlan
from vidsr.video.writer import VideoWriter

KEPT_BYTES = 512 * 1024 * 1024
"""Of enlarged frames held between network and encoder; larger pictures are measured on fewer frames."""

STAGES = "decode", "copy up", "colour in", "network", "colour out", "copy down", "encode"
"""In the order of the work; the processor's network needs no copies."""

THROUGH_S = 1.0
"""How long decoded batches go through the device at least, over and over: a card needs some to fill."""


class Stopwatch:
    """Wall and processor time of one stage, batch by batch."""

    def __init__(self, name: str, device: Device) -> None:
        self._name = name
        self._device = device
        self.frame_ms: list[float] = []  # of each batch
        self._cpu_s = 0.0
        self._began = 0.0, 0.0

    def start(self) -> None:
        """The stage begins a batch."""
        self._began = time.perf_counter(), time.process_time()

    def stop(self, frames: int) -> None:
        """The stage has done a batch of so many frames, its device included."""
        if is_card(self._device):
            torch.cuda.synchronize(self._device)  # calls return before the work is done
        wall_s, cpu_s = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        self.frame_ms.append(1000 * wall_s / frames)
        self._cpu_s += cpu_s

    def result(self, frames: int) -> StageTime:
        """What it measured, over so many frames in all."""
        return StageTime.of(self._name, self.frame_ms, 1000 * self._cpu_s / frames)


@dataclass(frozen=True)
class Alone:
    """Every stage alone, and what they handed on."""

    watches: tuple[Stopwatch, ...]  # in the order of the work
    network: Stopwatch  # the one of them that is the network
    first_s: float  # the network's first call in the frames' own shape
    sources: tuple[FrameBatch, ...]
    lr: Array  # RGB of the first batch, on the device
    bytes_up: int  # a frame, host to device; 0 where nothing is copied
    bytes_down: int


@dataclass(frozen=True)
class Together:
    """All stages at once."""

    wall_s: float
    cpu_s: float
    busy_s: dict[str, float]


@dataclass(frozen=True)
class Bench:
    """The parts of an upscale run."""

    reader: Reader
    plan: UpscalePlan
    backend: Backend
    work: WorkPlan
    folder: Path

    def first_frames(self, wanted: int) -> tuple[int, int | None]:
        """How many frames are measured, and the time at which they end."""
        output, target = self.plan.output, self.plan.encoding.color
        enlarged = output.height * output.width * target.channels * (2 if target.depth > 8 else 1)
        pts = self.reader.timeline.pts
        frames = min(wanted, len(pts), max(self.work.batch, KEPT_BYTES // enlarged))
        return frames, pts[frames] if frames < len(pts) else None

    def stages_alone(self, end_pts: int | None) -> Alone:
        """Each stage in turn, so that none disturbs another; what one gives the next takes."""
        device, encoding = self.backend.device, self.plan.encoding
        copies = device.type == "cuda"
        decode, up, colour_in, network, colour_out, down, encode = watches = tuple(
            Stopwatch(name, device)
            for name in (
                "decode",
                "copy up",
                "colour in",
                "network",
                "colour out",
                "copy down",
                "encode",
            )
        )
        lanes = lanes_of(device)
        # What goes up goes by a stage of its own.
        passage = Passage(lambda planes: planes, encoding.color, self._size)
        sources = self._decoded(decode, end_pts)
        tiles = plan_tiles(*sources[0].size, self.work.tile, self.backend.receptive_radius)
        _, first = passage.lr(_there(sources[0], lanes.up(sources[0].planes)))
        began = time.perf_counter()
        upscale_tiled(first, self.backend, tiles)
        first_s = time.perf_counter() - began
        enlarged: list[FrameBatch] = []
        for source in sources:
            count = len(source)
            with lanes.computing():
                up.start()
                there = _there(source, lanes.up(source.planes))
                up.stop(count)
                colour_in.start()
                there, lr = passage.lr(there)
                colour_in.stop(count)
                network.start()
                sr = upscale_tiled(lr, self.backend, tiles)
                network.stop(count)
                colour_out.start()
                planes = passage.planes(there, sr)
                colour_out.stop(count)
                down.start()
                here = lanes.down(planes).wait()
                down.stop(count)
            enlarged.append(replace(source, planes=here, color=encoding.color))
        encode.start()
        frames = sum(len(batch) for batch in enlarged)
        path = self.folder / f"alone{encoding.segment_suffix}"
        with VideoWriter(path, self.plan.output, encoding) as writer:
            for source, batch in zip(sources, enlarged, strict=True):
                writer.write(batch, source)  # a job compares what it has encoded with the input
        encode.stop(frames)  # as a whole: an encoder takes frames at once and works on them later
        return Alone(
            watches=watches if copies else (decode, colour_in, network, colour_out, encode),
            network=network,
            first_s=first_s,
            sources=tuple(sources),
            lr=first,
            bytes_up=sum(batch.nbytes for batch in sources) // frames if copies else 0,
            bytes_down=sum(batch.nbytes for batch in enlarged) // frames if copies else 0,
        )

    def through(self, sources: tuple[FrameBatch, ...]) -> float:
        """Milliseconds a frame of decoded batches through copies, colour and network, as in a run."""
        upscaler = self._upscaler()
        frames = 0
        began = time.perf_counter()
        while frames == 0 or time.perf_counter() - began < THROUGH_S:
            for batch in upscaler.stream(sources):
                frames += len(batch)
        return 1000 * (time.perf_counter() - began) / frames

    def unencoded(self, end_pts: int | None) -> float:
        """Seconds of the pipeline as it is, with an encoder that takes no time."""

        def discard(batches: Iterable[FrameBatch]) -> None:
            for _ in batches:
                pass

        began = time.perf_counter()
        run_stages(
            lambda: self.reader.batches(self.work.batch, end_pts=end_pts),
            self._upscaler().stream,
            discard,
            limit=QUEUE_BYTES,
            clocks=(StageClock("decode"), StageClock("network"), StageClock("encode")),
        )
        return time.perf_counter() - began

    def together(self, end_pts: int | None) -> Together:
        """The pipeline as it is, on the same frames."""
        clocks = StageClock("decode"), StageClock("network"), StageClock("encode")
        wall, cpu = time.perf_counter(), time.process_time()
        upscale_segments(
            self.reader,
            [Segment(0, None, end_pts)],
            self._upscaler(),
            self.plan.output,
            self.plan.encoding,
            lambda segment: self.folder / f"together{self.plan.encoding.segment_suffix}",
            clocks=clocks,
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Together(wall, cpu, {clock.name: round(clock.busy_s, 3) for clock in clocks})

    @property
    def _size(self) -> tuple[int, int]:
        return self.plan.output.height, self.plan.output.width

    def _upscaler(self) -> Upscaler:
        """One that skips nothing: what is measured must not depend on what the video shows."""
        return Upscaler(self.backend, self.work, self.plan.encoding.color, self._size)

    def _decoded(self, watch: Stopwatch, end_pts: int | None) -> list[FrameBatch]:
        batches: list[FrameBatch] = []
        watch.start()
        for batch in self.reader.batches(self.work.batch, end_pts=end_pts):
            watch.stop(len(batch))
            batches.append(batch)
            watch.start()
        if not batches:
            raise InputError("not one frame could be decoded; is the file damaged?")
        return batches


def _there(batch: FrameBatch, planes: Planes) -> FrameBatch:
    return replace(batch, planes=planes)
