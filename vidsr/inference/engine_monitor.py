"""What TensorRT says while it builds: its complaints kept, its progress passed on, its cancelling.

Both are classes of TensorRT's own that it calls back from its threads, so they are made from the module
of the flavour in use.
"""

from __future__ import annotations

import re
import threading
from typing import Any

from vidsr.progress import Advanced, Progress

BUILD_TASK = "build engine"
"""The task whose progress is reported, in percent."""


def make_log(trt: Any) -> Any:
    """A logger that keeps TensorRT's complaints and prints nothing."""

    class Log(trt.ILogger):  # type: ignore[misc, name-defined, unused-ignore]
        """Called from TensorRT's own threads, and must not raise."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.activation_bytes: int | None = None

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message.strip())
            elif found := re.match(r"Total Activation Memory: (\d+) bytes", message):
                self.activation_bytes = int(found[1])

        def complaint(self) -> str:
            """What went wrong first, in one line."""
            return self.errors[0].splitlines()[0] if self.errors else "it gives no reason"

    return Log()


def make_monitor(trt: Any, progress: Progress, stop: threading.Event) -> Any:
    """A progress monitor that reports one task from 0 to 100 % and cancels when `stop` is set."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined, unused-ignore]
        """Phases form a tree, may overlap, and come from any of TensorRT's threads."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._phases = PhaseTree()
            self._lock = threading.Lock()
            self._told = 0

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            with self._lock:
                self._phases.start(name, parent, steps)

        def step_complete(self, name: str, step: int) -> bool:
            with self._lock:
                self._phases.step(name, step)
                percent = int(100 * self._phases.fraction())
                if percent > self._told:
                    self._told = percent
                    progress(Advanced(BUILD_TASK, percent))
            return not stop.is_set()

        def phase_finish(self, name: str) -> None:
            with self._lock:
                self._phases.finish(name)

    return Monitor()


class PhaseTree:
    """How far a tree of phases is: a phase's children share the step that their parent is in."""

    def __init__(self) -> None:
        self._parent: dict[str, str | None] = {}
        self._steps: dict[str, int] = {}
        self._done: dict[str, int] = {}

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins, inside a step of its parent."""
        self._parent[name], self._steps[name], self._done[name] = parent, max(steps, 1), 0

    def step(self, name: str, step: int) -> None:
        """Step number `step`, from 0, of a phase is done."""
        self._done[name] = step + 1

    def finish(self, name: str) -> None:
        """A phase is over; its parent's own steps say so too."""
        for known in (self._parent, self._steps, self._done):
            known.pop(name, None)

    def fraction(self, root: str | None = None) -> float:
        """How much is done of what runs below `root`, 0 to 1."""
        children = [name for name, parent in self._parent.items() if parent == root]
        if not children:
            return 0.0
        shares = [
            min(1.0, (self._done[name] + self.fraction(name)) / self._steps[name]) for name in children
        ]
        return sum(shares) / len(shares)
