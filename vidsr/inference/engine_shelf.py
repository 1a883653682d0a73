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

    To be asked by one thread, once a batch. An engine that is built beside the work waits until it is
    taken over: its owner says when, for from then on frames come out with other last bits.
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
        self._progress = progress
        self.when: EngineBuild = when
        self._engines: dict[SizeT, EngineT | None] = {}  # None: this size has none, and gets none
        self._builds: dict[SizeT, threading.Thread] = {}
        self._built: dict[SizeT, EngineT | None] = {}  # not taken over yet; written by a build's thread
        self._unused: list[EngineT] = []  # open all the same, and to be closed
        self._closing = False

    def __call__(self, size: SizeT) -> EngineT | None:
        """The engine for frames of a size, as far as it is in use now."""
        if size in self._engines:
            return self._engines[size]
        if size in self._builds:
            return None
        if self.look(size) is None and size not in self._engines:
            self._begin(size)
        return self._engines.get(size)

    def look(self, size: SizeT) -> EngineT | None:
        """The engine for frames of a size that is ready; none is built."""
        if size not in self._engines:
            engine = self._attempt(self._find, size)
            if engine is not None:
                self._engines[size] = engine
        return self._engines.get(size)

    def do_without(self, size: SizeT) -> None:
        """Frames of a size have no engine from now on, and get none."""
        engine = self._engines.get(size)
        if engine is not None:
            self._say(f"the TensorRT engine for {size} is not used: this job was begun without")
            self._unused.append(engine)
        elif size not in self._engines:
            self._say(f"no TensorRT engine for {size}; PyTorch takes its place")
        self._engines[size] = None

    def take_over(self) -> bool:
        """Use what was built beside the work; whether there was anything."""
        ready = [size for size, thread in self._builds.items() if not thread.is_alive()]
        for size in ready:
            self._builds.pop(size).join()
            self._engines[size] = self._built.pop(size, None)
        return any(self._engines[size] is not None for size in ready)

    def close(self) -> list[EngineT]:
        """Wait for builds, which whoever owns the shelf has told to stop; the engines, to be closed."""
        self._closing = True
        for thread in self._builds.values():
            thread.join()
        self.take_over()
        engines = [engine for engine in self._engines.values() if engine is not None]
        engines += self._unused
        self._engines.clear()
        self._unused.clear()
        return engines

    def _begin(self, size: SizeT) -> None:
        if self.when == "never":
            self.do_without(size)
        elif self.when == "wait":
            self._engines[size] = self._attempt(self._build, size)
        else:
            self._say(f"building a TensorRT engine for {size}; PyTorch takes its place until then")
            thread = threading.Thread(
                target=self._build_beside, args=(size,), name="engine-shelf", daemon=True
            )
            self._builds[size] = thread
            thread.start()

    def _build_beside(self, size: SizeT) -> None:
        engine = self._attempt(self._build, size)
        self._built[size] = engine
        if engine is not None:
            self._say(f"the TensorRT engine for {size} is ready and takes over with the next segment")

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
