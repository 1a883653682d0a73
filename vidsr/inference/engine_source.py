"""Where a model's engines come from: the store, else a build that is checked before it is kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from vidsr.errors import EngineError
from vidsr.inference.engine_builder import BuildSpec, BuiltPlan, build_plan, export_onnx
from vidsr.inference.engine_key import RTX_CAPABILITIES, EngineKey, Flavour, Machine, ShapeRange
from vidsr.inference.engine_runner import EngineRunner
from vidsr.inference.engines import EngineStore, StoredEngine, TimingCache
from vidsr.inference.rewrites import Depth, FrameNetwork
from vidsr.inference.self_check import check_engine
from vidsr.models.generator import Generator
from vidsr.models.weights import Weights
from vidsr.progress import Notice, Progress

DTYPES = {"fp16": torch.float16, "fp32": torch.float32}

PORTABLE_TARGETS = tuple(capability for capability in RTX_CAPABILITIES if capability != "7.5")
"""What a build without a card is for; Turing (7.5) needs a build of its own."""


class CheckedRunner(Protocol):
    """What a self-check needs of an opened engine."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the frames in and out."""

    def __call__(self, lr: Tensor) -> Tensor:
        """Enlarge (1, h, w, 3)."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


RunnerOpener = Callable[[Flavour, bytes, torch.device], CheckedRunner]


class EngineSource:
    """Finds and makes the engines of one model, in one precision, for one machine."""

    def __init__(
        self,
        weights: Weights,
        generator: Generator,
        precision: str,
        depth: Depth,
        machine: Machine,
        store: EngineStore,
        progress: Progress,
        *,
        targets: tuple[str, ...] = (),
        workspace: int | None = None,
        runner: RunnerOpener = EngineRunner,
    ) -> None:
        """`generator` is the fp32 network on the device that checks run on; `targets` are compute
        capabilities to build for, of TensorRT-RTX only; `runner` opens a built engine for its check.
        Raises EngineError where no TensorRT is here.
        """
        self.flavour = machine.flavour()
        self._weights = weights
        self._generator = generator
        self._precision = precision
        self._depth: Depth = depth
        self._machine = machine
        self._store = store
        self._progress = progress
        self._workspace = workspace
        self._runner = runner
        self._targets = self._checked_targets(targets)
        self._graph = export_onnx(FrameNetwork(generator, DTYPES[precision], depth))
        self._graph_sha = hashlib.sha256(self._graph).hexdigest()

    def key(self, shapes: ShapeRange) -> EngineKey:
        """The name of the engine for these shapes."""
        return EngineKey(
            model=self._weights.name,
            weights_sha=self._weights.sha256,
            graph_sha=self._graph_sha,
            scale=self._weights.scale,
            precision=self._precision,
            depth=self._depth,
            shapes=shapes,
            tensorrt=f"{self.flavour} {self._machine.installed[self.flavour]}",
            gpu="+".join(self._targets) or str(self._machine.gpu),
        )

    def stored_shapes(self) -> list[ShapeRange]:
        """The shapes of this network's engines that the store has for this machine."""
        wanted = self.key(ShapeRange.fixed(1, 1))
        return [
            entry.key.shapes
            for entry in self._store.entries()
            if entry.key.differs_in_shapes_only(wanted)
        ]

    def has(self, shapes: ShapeRange) -> bool:
        """Whether the store has a sound engine for these shapes."""
        try:
            return self._store.load(self.key(shapes)) is not None
        except EngineError:
            return False

    def get(
        self, shapes: ShapeRange, *, rebuild: bool = False, stop: threading.Event | None = None
    ) -> bytes:
        """The serialised engine for these shapes, from the store or built, checked and kept.

        Only one process builds it; the others wait and take it. Raises EngineError.
        """
        key = self.key(shapes)
        if rebuild:
            with self._store.locked(key):
                self._store.discard(key)
        return self._store.load_or_build(
            key,
            lambda: self._build(shapes, stop),
            lambda reason: self._progress(Notice(f"built anew: {reason}", "warning")),
        )

    def entry(self, shapes: ShapeRange) -> StoredEngine:
        """What the store says of the engine for these shapes, which must be there."""
        return next(entry for entry in self._store.entries() if entry.key == self.key(shapes))

    def discard(self, shapes: ShapeRange) -> None:
        """Forget an engine that TensorRT refused."""
        self._store.discard(self.key(shapes))

    def _build(
        self, shapes: ShapeRange, stop: threading.Event | None
    ) -> tuple[bytes, Mapping[str, Any]]:
        """Build and check; a half-precision engine that fails its check is built in fp32 instead."""
        built = self._build_in(self._precision, self._graph, shapes, stop)
        computes_in, fallback_reason = self._precision, None
        try:
            checked = self._check(built, shapes, computes_in)
        except EngineError as error:
            if self._precision == "fp32":
                raise
            fallback_reason = str(error)
            self._progress(Notice(f"{fallback_reason}; building it in fp32", "warning"))
            computes_in = "fp32"
            graph = export_onnx(FrameNetwork(self._generator, DTYPES[computes_in], self._depth))
            built = self._build_in(computes_in, graph, shapes, stop)
            checked = self._check(built, shapes, computes_in)
        return built.plan, {
            **built.facts,
            "computes_in": computes_in,
            "fallback_reason": fallback_reason,
            "self_check": checked,
            "built": datetime.now(UTC).isoformat(timespec="seconds"),
            "driver": self._machine.driver,
            "built_on": self._machine.gpu,
            "vidsr": version("vidsr-cli"),
            "detail": self._weights.detail,
        }

    def _build_in(
        self, precision: str, graph: bytes, shapes: ShapeRange, stop: threading.Event | None
    ) -> BuiltPlan:
        dtype = DTYPES[precision]
        spec = BuildSpec(
            self.flavour,
            shapes,
            dtype,
            torch.uint8 if self._depth == "bytes" else dtype,
            self._targets,
            self._workspace,
        )
        timing = None
        if self._machine.gpu is not None:
            tensorrt = self._machine.installed[self.flavour]
            timing = TimingCache(self._store.folder, tensorrt, self._machine.gpu)
        return build_plan(graph, spec, self._progress, timing=timing, stop=stop)

    def _check(self, built: BuiltPlan, shapes: ShapeRange, precision: str) -> Mapping[str, Any] | None:
        """What the self-check measured; None where there is no card to run the engine on."""
        if self._machine.gpu is None or not self._runs_here():
            return None
        device = self._generator.head.weight.device
        _, height, width = shapes.best
        with self._runner(self.flavour, built.plan, device) as runner:
            return check_engine(runner, self._generator, (height, width), runner.dtype, precision)

    def _runs_here(self) -> bool:
        return not self._targets or self._machine.capability in self._targets

    def _checked_targets(self, targets: tuple[str, ...]) -> tuple[str, ...]:
        if self.flavour == "tensorrt":
            if targets:
                raise EngineError(
                    "TensorRT builds for the card of this machine only: leave --target out; "
                    "pip install 'vidsr-cli[rtx]' builds for others"
                )
            return ()
        if not targets:
            here = self._machine.capability
            return PORTABLE_TARGETS if here is None else (here,)
        for target in targets:
            if target not in RTX_CAPABILITIES:
                raise EngineError(
                    f"TensorRT-RTX does not build for compute capability {target}: "
                    f"take of {', '.join(RTX_CAPABILITIES)}"
                )
        if "7.5" in targets and len(targets) > 1:
            raise EngineError("an engine for 7.5 serves no other: build it on its own (--target 7.5)")
        return targets
