"""Which engine serves a size of frames at this moment: one at hand, one being built, or none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import torch

from vidsr.config import EngineBuild
from vidsr.errors import EngineError
from vidsr.progress import Notice, Progress

SizeT = TypeVar("SizeT")
EngineT = TypeVar("EngineT")


class EngineShelf(Generic[SizeT, EngineT]):
    """Engines by the size of frames they serve; builds what is missing while the work goes on.

    To be asked once a batch, by one thread: the answer changes from None to an engine when a build is
    done, so the change falls between two batches.
    """

    def __init__(
        self,
        find: Callable[[SizeT], EngineT | None],
        build: Callable[[SizeT], EngineT],
        when: EngineBuild,
        progress: Progress,
    ) -> None:
        """`find` looks for an engine that is ready, `build` makes one; both may raise EngineError or
        torch.OutOfMemoryError, upon which the size has none.
        """
        self._find = find
        self._build = build
        self._when = when
        self._progress = progress
        self._engines: dict[SizeT, EngineT | None] = {}  # None: this size has none, and gets none
        self._builds: dict[SizeT, threading.Thread] = {}
        self._closing = False

    def __call__(self, size: SizeT) -> EngineT | None:
        """The engine for frames of a size, as far as there is one now."""
        if size in self._engines:
            return self._engines[size]
        if size in self._builds:
            return None
        engine = self._attempt(self._find, size)
        if engine is not None or size in self._engines:
            self._engines[size] = engine
        elif self._when == "never":
            self._say(f"no TensorRT engine for {size}; PyTorch takes its place")
            self._engines[size] = None
        elif self._when == "wait":
            self._engines[size] = self._attempt(self._build, size)
        else:
            self._say(f"building a TensorRT engine for {size}; PyTorch takes its place until then")
            thread = threading.Thread(
                target=self._build_beside, args=(size,), name="engine-shelf", daemon=True
            )
            self._builds[size] = thread
            thread.start()
        return self._engines.get(size)

    def close(self) -> list[EngineT]:
        """Wait for builds, which whoever owns the shelf has told to stop; the engines, to be closed."""
        self._closing = True
        for thread in self._builds.values():
            thread.join()
        self._builds.clear()
        engines = [engine for engine in self._engines.values() if engine is not None]
        self._engines.clear()
        return engines

    def _build_beside(self, size: SizeT) -> None:
        engine = self._attempt(self._build, size)
        if engine is not None:
            self._say(f"the TensorRT engine for {size} is ready and takes over")
        self._engines[size] = engine

    def _attempt(self, make: Callable[[SizeT], EngineT | None], size: SizeT) -> EngineT | None:
        """What `make` gives; where it fails the reason is said, and the size stays without."""
        try:
            return make(size)
        except (EngineError, torch.OutOfMemoryError) as error:
            reason = str(error).splitlines()[0]
            self._say(f"no TensorRT engine, PyTorch takes its place: {reason}", warning=True)
            self._engines[size] = None
            return None

    def _say(self, text: str, *, warning: bool = False) -> None:
        if not self._closing:
            self._progress(Notice(text, "warning" if warning else "info"))
