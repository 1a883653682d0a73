"""What the user sees: progress, notices, tables. The only file that prints."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from vidsr.progress import Advanced, Event, Finished, Notice, Started

PLAIN_EVERY_S = 10.0
"""Seconds between two lines of progress where standard error is a file or a pipe."""


class _RateColumn(ProgressColumn):
    """Units per second, of this run alone: what a resumed job found finished does not count."""

    def render(self, task: Task) -> Text:
        done = task.completed - task.fields["begun"]
        if not done or not task.elapsed:
            return Text("")
        return Text(f"{done / task.elapsed:.1f}/s", style="progress.data.speed")


class Console:
    """Shows progress events on standard error and results on standard output; a context manager.

    Calling it takes an event, so it is a `Progress`. On a terminal there is a live bar; elsewhere a
    plain line every few seconds. `quiet` leaves only warnings and errors.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._out = RichConsole(soft_wrap=True, highlight=False)
        self._err = RichConsole(stderr=True, soft_wrap=True, highlight=False)
        self._quiet = quiet
        self._lock = threading.Lock()
        self._live = self._err.is_terminal and not quiet
        self._bar = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            _RateColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=self._err,
            transient=True,
        )
        self._tasks: dict[str, _PlainTask] = {}

    def __enter__(self) -> Self:
        if self._live:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event; safe from any thread."""
        with self._lock:
            match event:
                case Notice(text, level):
                    self._notice(text, level)
                case Started():
                    self._start(event)
                case Advanced():
                    self._advance(event)
                case Finished(name):
                    self._finish(name)

    def _notice(self, text: str, level: str) -> None:
        if level == "warning":
            self._err.print(f"[yellow]warning:[/yellow] {escape(text)}")
        elif not self._quiet:
            self._err.print(escape(text))

    def _start(self, event: Started) -> None:
        task = _PlainTask(event)
        self._tasks[event.task] = task
        if self._live:
            task.bar_id = self._bar.add_task(
                event.task,
                total=event.total,
                completed=event.done,
                unit=event.unit,
                begun=event.done,
                detail="",
            )

    def _advance(self, event: Advanced) -> None:
        task = self._tasks[event.task]
        parts = [f"{name} {value:.4g}" for name, value in event.values.items()]
        if event.bottleneck:
            parts.append(f"waiting for {event.bottleneck}")
        detail = ", ".join(parts)
        if self._live:
            assert task.bar_id is not None
            self._bar.update(task.bar_id, completed=event.done, detail=detail)
        elif not self._quiet and task.due():
            self._err.print(escape(task.line(event.done, detail)))

    def _finish(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None and task.bar_id is not None:
            self._bar.remove_task(task.bar_id)

    def error(self, text: str) -> None:
        """One line about what went wrong."""
        self._err.print(f"[bold red]vidsr:[/bold red] {escape(text)}")

    def result(self, text: str) -> None:
        """One line about what came out; not printed with `quiet`."""
        if not self._quiet:
            self._out.print(escape(text))

    def json(self, content: object) -> None:
        """A machine-readable report: one line of JSON on standard output, always printed."""
        sys.stdout.write(json.dumps(content) + "\n")
        sys.stdout.flush()

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table on standard output; not printed with `quiet`."""
        if self._quiet:
            return
        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self._out.print(table)

    def facts(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and what they are, one per line, on standard output."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in rows:
            grid.add_row(escape(name), escape(value))
        self._out.print(grid)


class _PlainTask:
    """A running task, as lines where there is no terminal."""

    def __init__(self, event: Started) -> None:
        self._event = event
        self._began = self._last = time.monotonic()
        self.bar_id: TaskID | None = None

    def due(self) -> bool:
        """Whether it is time for the next line."""
        now = time.monotonic()
        if now - self._last < PLAIN_EVERY_S:
            return False
        self._last = now
        return True

    def line(self, done: int, detail: str) -> str:
        """Where the task stands."""
        rate = (done - self._event.done) / max(time.monotonic() - self._began, 1e-9)
        total = self._event.total
        text = f"{self._event.task}: {done}{f'/{total}' if total else ''} {self._event.unit}"
        if (
            self._event.unit != "s"
        ):  # of a task that is measured by the clock, seconds pass at one a second
            text += f", {rate:.1f}/s"
        if total and rate > 0:
            # The last step of a task that is measured by the clock may end behind it.
            text += f", {_clock(max(0, total - done) / rate)} left"
        return f"{text}, {detail}" if detail else text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
