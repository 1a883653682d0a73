"""How fast the job is here: every stage alone, then all at once, beside what the machine could do."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from vidsr.arrays import Device, is_card
from vidsr.config import BenchmarkConfig, UpscaleConfig
from vidsr.inference.backend import Backend, Measurable, open_backend
from vidsr.inference.memory import peak_rss_bytes
from vidsr.inference.torch_backend import DTYPES
from vidsr.inference.tuning import Trial
from vidsr.models.operations import operations_a_pixel
from vidsr.models.weights import Weights, load_tensors
from vidsr.pipelines.benchmark_networks import Peaks, network_time, other_networks, way_times
from vidsr.pipelines.benchmark_report import BenchmarkReport, DeviceRates, Machine, NetworkTime
from vidsr.pipelines.benchmark_stages import Bench
from vidsr.pipelines.machine import device_rates, look_at_machine, matrix_peaks
from vidsr.pipelines.manner import Material, choose, compute_as_chosen
from vidsr.pipelines.upscale_plan import open_reader, plan_upscale
from vidsr.progress import Finished, Progress, Started, silent
from vidsr.video.scratch import Scratch


def benchmark(config: BenchmarkConfig, progress: Progress = silent) -> BenchmarkReport:
    """Measure `vidsr upscale` on the first frames of a video; the result is thrown away.

    The stages are measured in turn, so that none disturbs another, and what one gives the next takes;
    then decoded frames through the device and back, then all but the encoder, then all.
    Raises VidsrError as upscaling does.
    """
    progress(Started("benchmark", None))
    machine = look_at_machine()
    with Scratch() as folder:
        job = UpscaleConfig(
            input=config.input,
            output=folder / f"out{config.container}",
            scale=config.scale,
            model=config.model,
            detail=config.detail,
            backend=config.backend,
            precision=config.precision,
            compile=config.compile,
            tile=config.tile,
            batch=config.batch,
            engine_build="wait",  # PyTorch in an engine's place is measured by its own name
            hwaccel=config.hwaccel,
            drop_incompatible=True,
            encode=config.encode,
        )
        with open_reader(job) as reader:
            plan = plan_upscale(job, reader)
            began = time.perf_counter()
            with open_backend(plan.weights, job, progress) as backend:
                info = reader.info
                material = Material((info.height, info.width), info.color, plan.encoding.color)
                manner = choose(backend, job, material)
                compute_as_chosen(manner, backend, material)
                opened_s = time.perf_counter() - began
                bench = Bench(reader, plan, backend, manner.work, folder)
                frames, end_pts = bench.first_frames(config.frames)
                alone = bench.stages_alone(end_pts)
                through_ms = bench.through(alone.sources)
                unencoded_s = bench.unencoded(end_pts)
                together = bench.together(end_pts)
                device_bytes = _device_bytes(backend.device)
                trial = Trial({}, {})
                if config.compare and isinstance(backend, Measurable):
                    call = manner.work.usual_call(material.size, material.source, material.target)
                    trial = backend.try_ways(call)
                rates = _rates(backend)
            machine = _with_peaks(machine)
            gflop = gflop_a_frame(plan.weights, info.height, info.width)
            peaks = _peaks(machine, rates, backend)
            chosen = network_time(backend, opened_s, alone.first_s, alone.network.frame_ms, gflop, peaks)
            others: list[NetworkTime] = []
            if config.compare:
                others = other_networks(backend, plan.weights, job, alone.lr, gflop, peaks)
    progress(Finished("benchmark"))
    return BenchmarkReport(
        input=str(config.input),
        input_size=(info.width, info.height),
        output_size=(plan.output.width, plan.output.height),
        frames=frames,
        model=plan.weights.name,
        scale=backend.scale,
        detail=plan.weights.detail,
        backend=backend.name,
        precision=backend.precision,
        encoder=plan.encoding.encoder,
        batch=manner.batch,
        tile=manner.tile,
        network_gflop=round(gflop, 2),
        stages=tuple(watch.result(frames) for watch in alone.watches),
        networks=(chosen, *others),
        ways=tuple(way_times(trial, manner.way or "")),
        through_ms=through_ms,
        bytes_up=alone.bytes_up,
        bytes_down=alone.bytes_down,
        unencoded_s=unencoded_s,
        together_s=together.wall_s,
        together_cpu_s=together.cpu_s,
        together_busy_s=together.busy_s,
        peak_rss_bytes=peak_rss_bytes(),
        peak_device_bytes=device_bytes,
        machine=machine,
        device=rates,
    )


def gflop_a_frame(weights: Weights, height: int, width: int) -> float:
    """Billions of operations for a frame of (height, width) LR pixels; multiply and add are two."""
    return operations_a_pixel(load_tensors(weights)[0]) * height * width / 1e9


def _with_peaks(machine: Machine) -> Machine:
    """The better of two looks, before and after the stages: others may have disturbed one."""
    fp32, int8 = matrix_peaks()
    best = None if int8 is None or machine.int8_gops is None else max(int8, machine.int8_gops)
    return replace(machine, fp32_gflops=max(fp32, machine.fp32_gflops), int8_gops=best)


def _rates(backend: Backend) -> DeviceRates | None:
    """What the card can do in the backend's precision; None for the processor, which `Machine` knows."""
    device = backend.device
    return device_rates(device, DTYPES[backend.precision]) if is_card(device) else None


def _peaks(machine: Machine, rates: DeviceRates | None, backend: Backend) -> Peaks:
    peaks = {("cpu", "fp32"): machine.fp32_gflops, ("cpu", "int8"): machine.int8_gops}
    return peaks if rates is None else {**peaks, ("cuda", backend.precision): rates.gflops}


def _device_bytes(device: Device) -> int | None:
    return torch.cuda.max_memory_reserved(device) if is_card(device) else None
