"""How fast the job is here: every stage alone, then all at once, beside what the machine could do."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from vidsr.config import BackendName, BenchmarkConfig, UpscaleConfig, UpscalePrecision
from vidsr.errors import BackendUnavailable, InputError
from vidsr.frames import FrameBatch
from vidsr.inference.backend import Backend, open_backend
from vidsr.inference.memory import free_bytes
from vidsr.inference.tiling import plan_tiles, upscale_tiled
from vidsr.inference.upscaler import Upscaler, WorkPlan, plan_work
from vidsr.models.operations import operations_a_pixel
from vidsr.models.weights import Weights, load_generator
from vidsr.pipelines.benchmark_report import BenchmarkReport, Machine, NetworkTime, StageTime
from vidsr.pipelines.machine import look_at_machine, matrix_peaks, peak_rss_bytes
from vidsr.pipelines.segment import Reader, Segment, upscale_segments
from vidsr.pipelines.stages import StageClock
from vidsr.pipelines.upscale_plan import UpscalePlan, open_reader, plan_upscale
from vidsr.progress import Finished, Progress, Started, silent
from vidsr.video import color
from vidsr.video.writer import VideoWriter

KEPT_BYTES = 512 * 1024 * 1024
"""Of enlarged frames held between network and encoder; larger pictures are measured on fewer frames."""

OTHERS: tuple[tuple[BackendName, UpscalePrecision], ...] = (
    ("openvino", "int8"),
    ("openvino", "fp32"),
    ("cpu", "fp32"),
)
"""What the processor's user could also choose, measured beside what was chosen."""

COMPARED_S = 3.0
"""How long each of them is measured: a large model is a second a frame on a small machine."""


def benchmark(config: BenchmarkConfig, progress: Progress = silent) -> BenchmarkReport:
    """Measure `vidsr upscale` on the first frames of a video; the result is thrown away.

    The stages are measured in turn, so that none disturbs another, and what one gives the next takes.
    Raises VidsrError as upscaling does.
    """
    progress(Started("benchmark", None))
    machine = look_at_machine()
    with TemporaryDirectory(prefix="vidsr-benchmark-") as folder:
        job = UpscaleConfig(
            input=config.input,
            output=Path(folder) / f"out{config.container}",
            scale=config.scale,
            model=config.model,
            detail=config.detail,
            backend=config.backend,
            precision=config.precision,
            compile=config.compile,
            tile=config.tile,
            batch=config.batch,
            hwaccel=config.hwaccel,
            drop_incompatible=True,
            encode=config.encode,
        )
        with open_reader(job) as reader:
            plan = plan_upscale(job, reader)
            began = time.perf_counter()
            with open_backend(plan.weights, job, progress) as backend:
                opened_s = time.perf_counter() - began
                info = reader.info
                work = plan_work(
                    (info.height, info.width),
                    backend,
                    free_bytes(backend.device),
                    config.batch,
                    config.tile,
                )
                bench = _Bench(reader, plan, backend, work, Path(folder))
                frames, end_pts = bench.first_frames(config.frames)
                lr, first_s, clocks = bench.stages_alone(end_pts)
                together = bench.together(end_pts)
            # The backend is closed: PyTorch has its threads back.
            machine = _with_peaks(machine)
            gflop = gflop_a_frame(plan.weights, info.height, info.width)
            peaks = {"fp32": machine.fp32_gflops, "int8": machine.int8_gops}
            chosen = _network_time(backend, opened_s, first_s, clocks[2].frame_ms, gflop, peaks)
            others: list[NetworkTime] = []
            if config.compare:
                ways = [way for way in OTHERS if way != (backend.name, backend.precision)]
                others = _others(ways, plan.weights, job, lr, gflop, peaks)
    progress(Finished("benchmark"))
    return BenchmarkReport(
        input=str(config.input),
        input_size=(info.width, info.height),
        output_size=(plan.output.width, plan.output.height),
        frames=frames,
        model=plan.weights.name,
        scale=backend.scale,
        backend=backend.name,
        precision=backend.precision,
        encoder=plan.encoding.encoder,
        batch=work.batch,
        tile=work.tile,
        network_gflop=round(gflop, 2),
        stages=tuple(clock.result(frames) for clock in clocks),
        networks=(chosen, *others),
        together_s=together.wall_s,
        together_cpu_s=together.cpu_s,
        together_busy_s=together.busy_s,
        peak_rss_bytes=peak_rss_bytes(),
        machine=machine,
    )


def gflop_a_frame(weights: Weights, height: int, width: int) -> float:
    """Billions of operations for a frame of (height, width) LR pixels; multiply and add are two."""
    generator = load_generator(weights, torch.device("cpu"))
    return operations_a_pixel(generator.config) * height * width / 1e9


def _with_peaks(machine: Machine) -> Machine:
    """The better of two looks, before and after the stages: others may have disturbed one."""
    fp32, int8 = matrix_peaks()
    best = None if int8 is None or machine.int8_gops is None else max(int8, machine.int8_gops)
    return replace(machine, fp32_gflops=max(fp32, machine.fp32_gflops), int8_gops=best)


class _Stopwatch:
    """Wall and processor time of one stage, batch by batch."""

    def __init__(self, name: str, device: torch.device) -> None:
        self._name = name
        self._device = device
        self.frame_ms: list[float] = []  # of each batch
        self._cpu_s = 0.0
        self._began = 0.0, 0.0

    def start(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def stop(self, frames: int) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # calls return before the work is done
        wall_s, cpu_s = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        self.frame_ms.append(1000 * wall_s / frames)
        self._cpu_s += cpu_s

    def result(self, frames: int) -> StageTime:
        return StageTime.of(self._name, self.frame_ms, 1000 * self._cpu_s / frames)


@dataclass(frozen=True)
class _Together:
    """All stages at once."""

    wall_s: float
    cpu_s: float
    busy_s: dict[str, float]


@dataclass(frozen=True)
class _Bench:
    """An upscale run, to be taken to pieces."""

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

    def stages_alone(self, end_pts: int | None) -> tuple[Tensor, float, tuple[_Stopwatch, ...]]:
        """The first batch's RGB, the seconds its first call took, and the stages in their order."""
        device, encoding = self.backend.device, self.plan.encoding
        names = "decode", "colour in", "network", "colour out", "encode"
        clocks = tuple(_Stopwatch(name, device) for name in names)
        decode, colour_in, network, colour_out, encode = clocks
        sources = self._decoded(decode, end_pts)
        tiles = plan_tiles(*sources[0].size, self.work.tile, self.backend.receptive_radius)
        first = self._lr(sources[0])
        began = time.perf_counter()
        upscale_tiled(first, self.backend, tiles)
        first_s = time.perf_counter() - began
        enlarged: list[FrameBatch] = []
        for source in sources:
            colour_in.start()
            lr = self._lr(source)
            colour_in.stop(len(source))
            network.start()
            sr = upscale_tiled(lr, self.backend, tiles)
            network.stop(len(source))
            colour_out.start()
            planes = self._planes(sr)
            colour_out.stop(len(source))
            enlarged.append(replace(source, planes=planes, color=encoding.color))
        encode.start()
        frames = sum(len(batch) for batch in enlarged)
        path = self.folder / f"alone{encoding.segment_suffix}"
        with VideoWriter(path, self.plan.output, encoding) as writer:
            for batch in enlarged:
                writer.write(batch)
        encode.stop(frames)  # as a whole: an encoder takes frames at once and works on them later
        return first, first_s, clocks

    def together(self, end_pts: int | None) -> _Together:
        """The pipeline as it is, on the same frames."""
        size = self.plan.output.height, self.plan.output.width
        upscaler = Upscaler(self.backend, self.work, self.plan.encoding.color, size)
        clocks = StageClock("decode"), StageClock("network"), StageClock("encode")
        wall, cpu = time.perf_counter(), time.process_time()
        upscale_segments(
            self.reader,
            [Segment(0, None, end_pts)],
            upscaler,
            self.plan.output,
            self.plan.encoding,
            lambda segment: self.folder / f"together{self.plan.encoding.segment_suffix}",
            clocks=clocks,
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return _Together(wall, cpu, {clock.name: round(clock.busy_s, 3) for clock in clocks})

    def _decoded(self, clock: _Stopwatch, end_pts: int | None) -> list[FrameBatch]:
        batches: list[FrameBatch] = []
        clock.start()
        for batch in self.reader.batches(self.work.batch, end_pts=end_pts):
            clock.stop(len(batch))
            batches.append(batch)
            clock.start()
        if not batches:
            raise InputError("not one frame could be decoded; is the file damaged?")
        return batches

    def _lr(self, batch: FrameBatch) -> Tensor:
        device = self.backend.device
        lr = color.to_rgb(replace(batch, planes=tuple(plane.to(device) for plane in batch.planes)))
        deeper = lr.dtype == torch.uint8 and self.plan.encoding.color.depth > 8
        return lr.float() / 255 if deeper else lr

    def _planes(self, sr: Tensor) -> tuple[Tensor, ...]:
        size = self.plan.output.height, self.plan.output.width
        if sr.shape[1:3] != size:
            sr = color.resize_rgb(sr, size)
        return tuple(plane.cpu() for plane in color.to_planes(sr, self.plan.encoding.color))


def _network_time(
    backend: Backend,
    open_s: float,
    first_s: float,
    frame_ms: list[float],
    gflop: float,
    peaks: dict[str, float | None],
) -> NetworkTime:
    time_ms = StageTime.of("network", frame_ms, 0.0)
    peak = peaks.get(backend.precision) if backend.device.type == "cpu" else None
    share = None if peak is None else round(1000 * gflop / time_ms.least_ms / peak, 3)
    return NetworkTime(
        backend.name,
        backend.precision,
        round(open_s, 3),
        round(first_s, 3),
        time_ms.median_ms,
        time_ms.least_ms,
        share,
    )


def _others(
    ways: Iterable[tuple[BackendName, UpscalePrecision]],
    weights: Weights,
    job: UpscaleConfig,
    lr: Tensor,
    gflop: float,
    peaks: dict[str, float | None],
) -> list[NetworkTime]:
    """The processor's other ways with the same frame, those that can be had here."""
    found: list[NetworkTime] = []
    frame = lr[:1].cpu()
    for name, precision in ways:
        began = time.perf_counter()
        try:
            opened = open_backend(weights, replace(job, backend=name, precision=precision), silent)
        except BackendUnavailable:
            continue
        with opened as backend:
            open_s = time.perf_counter() - began
            tiles = plan_tiles(frame.shape[1], frame.shape[2], job.tile, backend.receptive_radius)
            watch = _Stopwatch(name, backend.device)
            began = time.perf_counter()
            while not watch.frame_ms or time.perf_counter() - began < COMPARED_S:
                watch.start()
                upscale_tiled(frame, backend, tiles)
                watch.stop(1)
            first_s = watch.frame_ms.pop(0) / 1000 if len(watch.frame_ms) > 1 else 0.0
            found.append(_network_time(backend, open_s, first_s, watch.frame_ms, gflop, peaks))
    return found
