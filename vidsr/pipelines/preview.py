"""A look at a job while it runs: its newest frame beside what a plain enlargement would be.

The picture is made beside the work, never in it: the writing stage hands over a frame when one is due
and goes on. How often one is due follows from what the last one took, so that a large frame costs no
more than a small one.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vidsr.errors import VidsrError
from vidsr.frames import ColorSpec, FrameBatch, upright
from vidsr.pipelines.segment import FramePair
from vidsr.video.color import to_rgb
from vidsr.video.resize_taps import resize_weights
from vidsr.video.stills import write_still

LEAST_S = 1.5
"""Seconds between two pictures, at least."""

SHARE = 0.1
"""Of one processor that pictures may take: after one of a fifth of a second the next is due in two."""

SHOWN = (1080, 1920)
"""Height and width of what is shown of a frame, at most: of larger ones the middle, pixel for pixel, as
reduced they would look alike."""

GAP_PX = 4
"""White between the two halves."""

STOP_WITHIN_S = 1.0
"""How long the end of a run waits for a picture that is being made."""


class Preview:
    """Writes the picture, now and then, in a thread of its own; a context manager.

    The file appears whole each time. Where it cannot be written there is none: that is no reason to end
    a job. Without a path there is nothing to write, and nothing is done.
    """

    def __init__(self, path: Path | None, rotation: int = 0) -> None:
        """`rotation`, of `VideoInfo`, is how players turn the video."""
        self._path, self._rotation = path, rotation
        self._wanted = threading.Condition()
        self._pair: FramePair | None = None
        self._closed = False
        self._due = time.monotonic()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            run = functools.partial(self._run, self._path)
            self._thread = threading.Thread(target=run, name="preview", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._wanted:
            self._closed = True
            self._wanted.notify()
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_S if kind is not None else None)

    def show(self, pair: FramePair) -> None:
        """Show the last of these frames, if a picture is due; returns at once."""
        if self._thread is None or self._pair is not None or time.monotonic() < self._due:
            return
        with self._wanted:
            self._pair = pair
            self._wanted.notify()

    def _run(self, path: Path) -> None:
        while True:
            with self._wanted:
                while self._pair is None and not self._closed:
                    self._wanted.wait()
                pair, self._pair = self._pair, None
            if pair is None:
                return
            began = time.thread_time()
            try:
                write_preview(path, pair, self._rotation)
            except VidsrError:
                return
            cost = time.thread_time() - began
            self._due = time.monotonic() + max(LEAST_S, cost / SHARE)


def write_preview(path: Path, pair: FramePair, rotation: int = 0) -> None:
    """Write the last frame of a pair as a picture: left by Lanczos, right as it was made; both upright.

    Raises VidsrError where that is not possible.
    """
    own = path.with_name(f"{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write_still(own, side_by_side(pair, rotation), quickly=True)
        own.replace(path)
    except OSError as error:
        raise VidsrError(f"{path}: cannot be written: {error}") from error
    finally:
        own.unlink(missing_ok=True)


def side_by_side(pair: FramePair, rotation: int = 0) -> FrameBatch:
    """The last frame of a pair, enlarged by Lanczos and as it was made, as one picture of RGB bytes.

    Both are turned by `rotation`, degrees counter-clockwise, as players turn the video.
    """
    made, source = (list(batch.split(1))[-1] for batch in (pair.enlarged, pair.source))
    (top, height), (left, width) = (
        _middle(length, most) for length, most in zip(made.size, SHOWN, strict=True)
    )
    plain = _lanczos(to_rgb(source), made.size, (top, left), (height, width))
    result = _bytes(to_rgb(_cut(made, top, left, height, width)))
    before, after = (upright(half, rotation) for half in (plain, result))
    gap = np.full((1, before.shape[1], GAP_PX, 3), 255, np.uint8)
    halves = np.concatenate((before, gap, after), axis=2)
    color = ColorSpec("rgb", made.color.primaries, made.color.transfer, "full", 8, (1, 1))
    return FrameBatch(tuple(halves[..., channel] for channel in range(3)), color, (0,), made.time_base)


def _middle(length: int, most: int) -> tuple[int, int]:
    """(first, count) of what is shown of a side, in whole blocks of chroma."""
    if length <= most:
        return 0, length
    return (length - most) // 2 // 4 * 4, most


def _cut(frame: FrameBatch, top: int, left: int, height: int, width: int) -> FrameBatch:
    down, across = frame.color.subsampling if frame.color.matrix not in ("rgb", "gray") else (1, 1)
    planes = []
    for index, plane in enumerate(frame.planes[: frame.color.channels - frame.color.alpha]):
        v, h = (down, across) if index in (1, 2) else (1, 1)
        rows = slice(top // v, -(-(top + height) // v))
        columns = slice(left // h, -(-(left + width) // h))
        planes.append(plane[:, rows, columns])
    color = replace(frame.color, alpha=False)
    return FrameBatch(tuple(planes), color, frame.pts, frame.time_base)


def _lanczos(
    rgb: NDArray[Any], size: tuple[int, int], first: tuple[int, int], shown: tuple[int, int]
) -> NDArray[np.uint8]:
    """The part of (1, h, w, 3) at `size` that begins at `first`; bytes (1, *shown, 3)."""
    down, across = (
        resize_weights(length, out, out / length, "lanczos3", True)[begin : begin + count]
        for length, out, begin, count in zip(rgb.shape[1:3], size, first, shown, strict=True)
    )
    signal = rgb[0].transpose(2, 0, 1).astype(np.float32)
    if rgb.dtype == np.uint8:
        signal /= 255
    made = down.astype(np.float32) @ signal @ across.T.astype(np.float32)
    return _bytes(made.transpose(1, 2, 0)[None])


def _bytes(rgb: NDArray[Any]) -> NDArray[np.uint8]:
    if rgb.dtype == np.uint8:
        return rgb
    return (rgb.clip(0, 1) * 255 + 0.5).astype(np.uint8)
