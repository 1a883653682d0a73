"""Numbered pictures as a video: frames/%05d.png in and out."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from vidsr.errors import InputError, UsageError
from vidsr.frames import FrameBatch, VideoInfo
from vidsr.video.planar_formats import pixel_format_name
from vidsr.video.stills import STILL_SUFFIXES, is_still, read_still
from vidsr.video.timeline import Timeline

DEFAULT_RATE = Fraction(25)
"""Frames a second of pictures that nobody gave a rate; that of FFmpeg's image2 demuxer."""

_NUMBER = re.compile(r"%(?:0(\d+))?d")


def is_sequence(path: Path) -> bool:
    """Whether a path is a pattern for numbered pictures, such as frames/%05d.png."""
    return _NUMBER.search(path.name) is not None and path.suffix.lower() in STILL_SUFFIXES


def numbered_files(pattern: Path) -> dict[int, Path]:
    """The files of a pattern by their numbers, rising.

    Raises:
        InputError: there is no such folder or no such file, or numbers are missing in between.
    """
    place = _place(pattern)
    width = place.group(1)
    digits = r"(\d+)" if width is None else rf"(\d{{{int(width)},}})"
    name = pattern.name
    matcher = re.compile(re.escape(name[: place.start()]) + digits + re.escape(name[place.end() :]))
    try:
        names = [entry.name for entry in pattern.parent.iterdir()]
    except OSError as error:
        raise InputError(
            f"{pattern.parent}: {(error.strerror or 'cannot be listed').lower()}"
        ) from error
    found = {}
    for each in names:
        match = matcher.fullmatch(each)
        # 00012 and 0012 are one number; only the form that the pattern itself writes counts.
        if match and each == numbered(pattern, int(match.group(1))).name:
            found[int(match.group(1))] = pattern.parent / each
    if not found:
        raise InputError(f"{pattern}: no file in {pattern.parent} fits the pattern")
    for number in range(min(found), max(found)):
        if number not in found:
            raise InputError(
                f"{numbered(pattern, number)}: missing; the pictures must be numbered without a gap"
            )
    return dict(sorted(found.items()))


def numbered(pattern: Path, number: int) -> Path:
    """The file of a pattern with a number: frames/%05d.png and 7 give frames/00007.png."""
    place = _place(pattern)
    digits = f"{number:0{place.group(1) or 1}d}"
    return pattern.with_name(pattern.name[: place.start()] + digits + pattern.name[place.end() :])


class SequenceReader:
    """Numbered pictures, or a single one, read as VideoReader reads; frame n is shown at n / rate."""

    def __init__(self, path: Path, *, rate: Fraction = DEFAULT_RATE) -> None:
        """Open the pictures of a pattern, or one picture.

        Raises:
            InputError: there are none, a number is missing, or the first cannot be read.
        """
        self.path = path
        files = {0: path} if is_still(path) else numbered_files(path)
        self.first_number = min(files)
        self.files = tuple(files.values())
        self.errors = 0  # a picture that is damaged is refused, not shown
        self.converted = 0
        self.notices: list[str] = []
        self.on_card = False
        first = read_still(self.files[0])
        height, width = first.size
        count = len(self.files)
        time_base = 1 / rate
        self.timeline = Timeline(
            time_base, tuple(range(count)), (1,) * count, keyframes=tuple(range(count))
        )
        self.info = VideoInfo(
            width=width,
            height=height,
            time_base=time_base,
            frame_rate=rate,
            frame_count=count,
            color=first.color,
            pixel_format=pixel_format_name(first.color),
            codec=STILL_SUFFIXES[path.suffix.lower()],
            duration_s=float(count * time_base),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """No file stays open between pictures."""

    def batches(
        self,
        size: int,
        *,
        start_pts: int | None = None,
        end_pts: int | None = None,
        cuts: Sequence[int] = (),
    ) -> Iterator[FrameBatch]:
        """Give the frames with start_pts <= pts < end_pts, as VideoReader.batches does.

        Raises:
            InputError: a picture cannot be read, or differs in size or kind from the first.
        """
        pts = self.timeline.pts
        at = 0 if start_pts is None else bisect_left(pts, start_pts)
        end = len(pts) if end_pts is None else bisect_left(pts, end_pts)
        while at < end:
            cut = bisect_right(cuts, at)
            until = min(end, at + size, cuts[cut] if cut < len(cuts) else end)
            frames = [self._frame(index) for index in range(at, until)]
            planes = zip(*(frame.planes for frame in frames), strict=True)
            yield FrameBatch(
                tuple(np.concatenate(each) for each in planes),
                self.info.color,
                pts[at:until],
                self.info.time_base,
                (1,) * (until - at),
            )
            at = until

    def _frame(self, index: int) -> FrameBatch:
        file = self.files[index]
        frame = read_still(file)
        if frame.size != (self.info.height, self.info.width):
            height, width = frame.size
            raise InputError(
                f"{file}: {width}x{height} pixels, but {self.files[0].name} has"
                f" {self.info.width}x{self.info.height}; all pictures of a sequence need one size"
            )
        if frame.color != self.info.color:
            raise InputError(
                f"{file}: {pixel_format_name(frame.color)}, but {self.files[0].name} is"
                f" {self.info.pixel_format}; all pictures of a sequence need one pixel format"
            )
        return frame


def _place(pattern: Path) -> re.Match[str]:
    found = list(_NUMBER.finditer(pattern.name))
    if len(found) != 1:
        raise UsageError(f"{pattern}: needs one number in its name, such as %05d")
    return found[0]
