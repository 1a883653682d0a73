"""Weights to ONNX to a TensorRT engine in the store, so that `upscale` finds it ready."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from vidsr.config import BuildEngineConfig, UpscaleConfig
from vidsr.inference.engine_builder import probe_machine
from vidsr.inference.engine_key import Machine, ShapeRange
from vidsr.inference.engine_sizes import COMMON_SIZES
from vidsr.inference.engine_source import EngineSource
from vidsr.inference.engines import EngineStore
from vidsr.inference.rewrites import Depth
from vidsr.models.weights import default_model, find_weights, load_generator
from vidsr.pipelines.upscale_plan import open_reader
from vidsr.progress import Notice, Progress, silent


@dataclass(frozen=True)
class EngineReport:
    """One engine of a run."""

    file: str
    shapes: str  # frames x height x width
    size: int  # bytes
    found: bool  # it was there already
    seconds: float  # of this run
    computes_in: str  # fp16 or fp32
    self_check: Mapping[str, Any] | None  # decibels and levels per frame; None: it could not run here


@dataclass(frozen=True)
class BuildReport:
    """What `vidsr build-engine` did."""

    model: str
    scale: int
    detail: float | None  # where two sets of weights are blended
    precision: str  # as asked for
    depth: str  # "bytes" for 8-bit video, "floats" for deeper
    tensorrt: str  # flavour and version
    built_for: str  # a card, or compute capabilities
    folder: str
    engines: tuple[EngineReport, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def summary(self) -> str:
        """A line an engine, for a person."""
        lines = []
        for engine in self.engines:
            how = "was there already" if engine.found else f"built in {engine.seconds:.1f} s"
            if engine.self_check is None:
                checked = "not checked: no card here runs it"
            else:
                least = min(float(frame["psnr_db"]) for frame in engine.self_check.values())
                checked = f"checked, {least:.1f} dB or better"
            lines.append(
                f"{engine.file}: {engine.shapes}, {engine.computes_in}, {engine.size / 1e6:.1f} MB, "
                f"{how}, {checked}"
            )
        lines.append(f"for {self.built_for} with {self.tensorrt}, in {self.folder}")
        return "\n".join(lines)


def build_engine(
    config: BuildEngineConfig,
    progress: Progress = silent,
    *,
    store: EngineStore | None = None,
    machine: Machine | None = None,
) -> BuildReport:
    """Build the engines that are asked for, and keep them.

    Where there is no card, TensorRT-RTX builds for others' cards, and the self-check that every engine
    otherwise passes is left out, out loud. Raises EngineError, and UsageError for sizes.
    """
    store = store or EngineStore.default()
    machine = machine or probe_machine()
    machine.flavour()  # refuses before the weights are read
    name = default_model("cuda") if config.model == "auto" else config.model
    weights = find_weights(name, config.scale, detail=config.detail)
    generator = load_generator(weights, torch.device("cpu" if machine.gpu is None else "cuda"))
    sizes, deep = _sizes(config)
    depth: Depth = "floats" if deep else "bytes"
    source = EngineSource(
        weights,
        generator,
        "fp16" if config.precision == "auto" else config.precision,
        depth,
        machine,
        store,
        progress,
        targets=config.targets,
        workspace=None if config.workspace_mib is None else config.workspace_mib * 1024**2,
    )
    if machine.gpu is None:
        progress(Notice("no NVIDIA GPU here: the engines are built, but cannot be checked", "warning"))
    reports = []
    for height, width in sizes:
        kind = ShapeRange.up_to if config.dynamic else ShapeRange.fixed
        reports.append(_make(source, kind(height, width, config.batch), rebuild=config.rebuild))
    key = source.key(ShapeRange.fixed(1, 1))
    return BuildReport(
        model=weights.name,
        scale=weights.scale,
        detail=weights.detail,
        precision=key.precision,
        depth=depth,
        tensorrt=key.tensorrt,
        built_for=key.gpu,
        folder=str(store.folder),
        engines=tuple(reports),
    )


def _make(source: EngineSource, shapes: ShapeRange, *, rebuild: bool) -> EngineReport:
    began = time.perf_counter()
    found = not rebuild and source.has(shapes)
    source.get(shapes, rebuild=rebuild)
    entry = source.entry(shapes)
    return EngineReport(
        file=entry.path.name,
        shapes=str(shapes),
        size=entry.size,
        found=found,
        seconds=round(time.perf_counter() - began, 2),
        computes_in=entry.facts["computes_in"],
        self_check=entry.facts["self_check"],
    )


def _sizes(config: BuildEngineConfig) -> tuple[list[tuple[int, int]], bool]:
    """All sizes asked for, (height, width), each once, and whether frames are deeper than 8 bits."""
    sizes = list(config.sizes)
    deep = bool(config.deep)
    if config.input is not None:
        with open_reader(UpscaleConfig(config.input, config.input)) as reader:
            sizes.append((reader.info.height, reader.info.width))
            if config.deep is None:
                deep = reader.info.color.depth > 8
    if config.all_common_sizes:
        sizes += COMMON_SIZES
    return list(dict.fromkeys(sizes)), deep
