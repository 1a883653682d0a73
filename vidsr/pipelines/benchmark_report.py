"""What a benchmark found: numbers for programs, tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from vidsr.network_name import network_name


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
class WayTime:
    """One way in which the chosen backend could compute the network; see `inference.variants`."""

    way: str
    relative: float | None  # time of a call, the fastest's as the unit; None where it was refused
    taken: bool
    refused: str | None  # why


@dataclass(frozen=True)
class DeviceRates:
    """What a card can do at best, measured."""

    gflops: float  # billions of operations a second, matrix product in the network's precision
    up_gbps: float  # billions of bytes a second, pinned memory of the host to the card
    down_gbps: float  # and back
    memory_gbps: float  # within the card, bytes read and bytes written


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
    detail: float | None  # where two sets of weights are blended
    backend: str
    precision: str
    encoder: str
    batch: int
    tile: int | None
    network_gflop: float  # of one frame
    stages: tuple[StageTime, ...]
    networks: tuple[NetworkTime, ...]  # the chosen backend first
    ways: tuple[WayTime, ...]  # of the chosen backend, where it has several
    through_ms: float  # a frame through copies, colour and network, several batches on their way
    bytes_up: int  # a frame, host to device; 0 where nothing is copied
    bytes_down: int
    unencoded_s: float  # all stages at once but the encoder, the frames above
    together_s: float  # all stages at once, the frames above
    together_cpu_s: float
    together_busy_s: Mapping[str, float]  # of each stage's thread, while the others ran too
    peak_rss_bytes: int | None  # of the process, the benchmark's own copies included
    peak_device_bytes: int | None  # of the card's memory, PyTorch's reserve included
    machine: Machine
    device: DeviceRates | None  # of the card the network ran on; None: it ran on the processor

    @property
    def through_share(self) -> float:
        """Time of the network alone over that of a frame's whole way through the device; 1 is ideal."""
        return self.networks[0].median_ms / self.through_ms

    @property
    def copy_share(self) -> float | None:
        """Share of the best copy rate, of the busier direction, that a frame's way through takes."""
        if self.device is None:
            return None
        # Bytes over 10**9 bytes a second are 10**-6 milliseconds.
        up_ms = self.bytes_up / self.device.up_gbps / 1e6
        down_ms = self.bytes_down / self.device.down_gbps / 1e6
        return max(up_ms, down_ms) / self.through_ms

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
        """Milliseconds a frame of the pipeline's threads, each alone; the network's does colour too."""
        alone = {stage.name: stage.median_ms for stage in self.stages}
        return {"decode": alone["decode"], "network": self.through_ms, "encode": alone["encode"]}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **asdict(self),
            "fps": round(self.fps, 2),
            "through_share": round(self.through_share, 3),
            "copy_share": None if self.copy_share is None else round(self.copy_share, 3),
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
        if self.peak_device_bytes is not None:
            memory += f", {self.peak_device_bytes >> 20} MiB of the card's"
        name = network_name(self.model, self.detail, self.scale)
        lines = [
            f"{self.input}: {sizes}, {self.frames} frames, {name} on "
            f"{self.backend} {self.precision}, {self.encoder}",
            "",
            f"{machine.processor}, {machine.cores} cores, {machine.threads} threads{load}"
            + (f", {machine.gpu}" if machine.gpu else ""),
            f"at best: {machine.fp32_gflops:.0f} GFLOP/s fp32{int8} (matrix products)",
            *self._device_lines(),
            "",
            "| stage, alone | ms/frame | least | CPU ms |",
            "| --- | ---: | ---: | ---: |",
            *(
                f"| {stage.name} | {_ms(stage.median_ms)} | {_ms(stage.least_ms)} | "
                f"{_ms(stage.cpu_ms)} |"
                for stage in self.stages
            ),
            "",
            f"network with colour and copies: {_ms(self.through_ms)} ms/frame; alone it takes "
            f"{100 * self.through_share:.0f} % of that"
            + ("" if self.copy_share is None else f"; {100 * self.copy_share:.0f} % of the copy rate"),
            f"without an encoder: {self.unencoded_s:.2f} s, {self.frames / self.unencoded_s:.1f} fps",
            f"together: {self.together_s:.2f} s, **{self.fps:.1f} fps**, {self.overlap:.2f} times the "
            f"slowest stage, cores {100 * self.cores_busy:.0f} % busy{memory}",
            "",
            f"| network, {self.network_gflop:.1f} GFLOP a frame | ms/frame | least | of peak | open s "
            "| first frame s |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *(
                f"| {run.backend} {run.precision} | {_ms(run.median_ms)} | {_ms(run.least_ms)} | "
                f"{_percent(run.share_of_peak)} | {run.open_s:.2f} | {run.first_s:.2f} |"
                for run in self.networks
            ),
            *self._way_lines(),
        ]
        return "\n".join(lines) + "\n"

    def _device_lines(self) -> list[str]:
        device = self.device
        if device is None:
            return []
        return [
            f"the card at best: {device.gflops / 1000:.0f} TFLOP/s {self.precision}, copies "
            f"{device.up_gbps:.0f} GB/s up and {device.down_gbps:.0f} down, its memory "
            f"{device.memory_gbps:.0f} GB/s"
        ]

    def _way_lines(self) -> list[str]:
        if not self.ways:
            return []
        lines = ["", f"| {self.backend} {self.precision}, computed | time |", "| --- | ---: |"]
        for way in self.ways:
            name = f"**{way.way}**" if way.taken else way.way
            time = f"refused: {way.refused}" if way.relative is None else f"{way.relative:.2f}"
            lines.append(f"| {name} | {time} |")
        return lines


def _ms(ms: float) -> str:
    """Milliseconds with three digits that count, as far as a decimal or three."""
    return f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}" if ms >= 1 else f"{ms:.3f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
