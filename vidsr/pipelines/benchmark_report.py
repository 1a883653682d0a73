"""What a benchmark found: numbers for programs, tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class StageTime:
    """One stage alone, nothing else of the job running; milliseconds a frame."""

    name: str
    median_ms: float  # over the batches
    least_ms: float  # the quietest batch: what a shared machine disturbs least
    cpu_ms: float  # processor time over all cores, mean

    @classmethod
    def of(cls, name: str, batches_ms: list[float], cpu_ms: float) -> StageTime:
        """From the milliseconds a frame of each batch."""
        return cls(name, round(median(batches_ms), 3), round(min(batches_ms), 3), round(cpu_ms, 3))


@dataclass(frozen=True)
class NetworkTime:
    """A backend on the same frames, the network alone."""

    backend: str
    precision: str
    open_s: float  # weights, graph, first small call
    first_s: float  # first call in the frames' own shape: compilation and buffers
    median_ms: float  # a frame
    least_ms: float
    share_of_peak: float | None  # of the matmul peak in the same number format, best case


@dataclass(frozen=True)
class Machine:
    """Where it ran."""

    processor: str
    cores: int
    threads: int  # that PyTorch and OpenVINO use
    memory_bytes: int | None
    gpu: str | None
    load: float | None  # runs waiting for a core when it began, 1 minute; above 0.5 others disturb
    fp32_gflops: float  # matrix product, best of several
    int8_gops: float | None  # None where PyTorch has no such product
    versions: Mapping[str, str]


@dataclass(frozen=True)
class BenchmarkReport:
    """Every stage alone, all of them together, and what the machine could do at best."""

    input: str
    input_size: tuple[int, int]  # width, height, pixels
    output_size: tuple[int, int]
    frames: int
    model: str
    scale: int
    backend: str
    precision: str
    encoder: str
    batch: int
    tile: int | None
    network_gflop: float  # of one frame
    stages: tuple[StageTime, ...]
    networks: tuple[NetworkTime, ...]  # the chosen backend first
    together_s: float  # all stages at once, the frames above
    together_cpu_s: float
    together_busy_s: Mapping[str, float]  # of each stage's thread, while the others ran too
    peak_rss_bytes: int | None  # of the process, the benchmark's own copies included
    machine: Machine

    @property
    def fps(self) -> float:
        """Frames a second, all stages at once."""
        return self.frames / self.together_s

    @property
    def overlap(self) -> float:
        """Wall time together over the slowest stage's alone; 1 is perfect where they share nothing."""
        return 1000 * self.together_s / self.frames / max(self._threads_ms().values())

    @property
    def cores_busy(self) -> float:
        """Share of all cores that the job kept busy, 0 to 1."""
        return self.together_cpu_s / self.together_s / self.machine.cores

    def _threads_ms(self) -> dict[str, float]:
        """Milliseconds a frame of the pipeline's threads, each alone; the network's does colour."""
        alone = {stage.name: stage.median_ms for stage in self.stages}
        network = alone["colour in"] + alone["network"] + alone["colour out"]
        return {"decode": alone["decode"], "network": network, "encode": alone["encode"]}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **asdict(self),
            "fps": round(self.fps, 2),
            "overlap": round(self.overlap, 3),
            "cores_busy": round(self.cores_busy, 3),
        }

    def to_markdown(self) -> str:
        """The same in tables."""
        machine = self.machine
        sizes = " -> ".join(f"{width}x{height}" for width, height in (self.input_size, self.output_size))
        load = "" if machine.load is None else f", load {machine.load:.1f} at the start"
        int8 = "" if machine.int8_gops is None else f", {machine.int8_gops:.0f} GOP/s int8"
        memory = "" if self.peak_rss_bytes is None else f"; peak memory {self.peak_rss_bytes >> 20} MiB"
        lines = [
            f"{self.input}: {sizes}, {self.frames} frames, {self.model} x{self.scale} on "
            f"{self.backend} {self.precision}, {self.encoder}",
            "",
            f"{machine.processor}, {machine.cores} cores, {machine.threads} threads{load}"
            + (f", {machine.gpu}" if machine.gpu else ""),
            f"at best: {machine.fp32_gflops:.0f} GFLOP/s fp32{int8} (matrix products)",
            "",
            "| stage, alone | ms/frame | least | CPU ms |",
            "| --- | ---: | ---: | ---: |",
            *(
                f"| {stage.name} | {stage.median_ms:.1f} | {stage.least_ms:.1f} | {stage.cpu_ms:.1f} |"
                for stage in self.stages
            ),
            "",
            f"together: {self.together_s:.2f} s, **{self.fps:.1f} fps**, {self.overlap:.2f} times the "
            f"slowest stage, cores {100 * self.cores_busy:.0f} % busy{memory}",
            "",
            f"| network, {self.network_gflop:.1f} GFLOP a frame | ms/frame | least | of peak | open s "
            "| first frame s |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *(
                f"| {run.backend} {run.precision} | {run.median_ms:.1f} | {run.least_ms:.1f} | "
                f"{_percent(run.share_of_peak)} | {run.open_s:.2f} | {run.first_s:.2f} |"
                for run in self.networks
            ),
        ]
        return "\n".join(lines) + "\n"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
