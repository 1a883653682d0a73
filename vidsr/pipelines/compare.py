"""Two videos beside each other: how close, how steady, and where to look; on a page."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch

from vidsr.errors import InputError
from vidsr.evaluation.page import Page
from vidsr.evaluation.report import FrameScore
from vidsr.page_config import CompareConfig
from vidsr.pipelines.album import (
    Album,
    Shot,
    clock,
    honesty,
    lanczos_frame,
    lay_out,
    save_upright,
    upright_shape,
)
from vidsr.pipelines.compare_page import Measured, curves_of, method_notes, score_table, video_table
from vidsr.pipelines.geometry import STRETCH_TOLERANCE
from vidsr.pipelines.moments import choose_moments, frame_at, frame_time, seconds_after_start
from vidsr.pipelines.page_report import PageReport, publish
from vidsr.pipelines.scoring import check_size
from vidsr.pipelines.segment import Reader
from vidsr.pipelines.video_scores import PairedVideos, open_together, score_frames
from vidsr.progress import Advanced, Finished, Notice, Progress, Started, silent


def compare_videos(config: CompareConfig, progress: Progress = silent) -> PageReport:
    """Write a page that shows frames of two videos together, and their measures over time.

    With a reference both are measured against it, else one against the other. Where sizes differ and
    shapes do not, smaller videos are enlarged to the largest by Lanczos' filter. Raises InputError where
    lengths or shapes differ or no frames have the same time, and VidsrError for the rest.
    """
    began = time.perf_counter()
    default = f"{config.a.stem}_and_{config.b.stem}".replace("%", "")
    album = Album.choose(config.output, default, overwrite=config.overwrite)
    paths = [config.a, config.b, *([] if config.reference is None else [config.reference])]
    readers = open_together(paths)
    names = ("A", "B", "reference")[: len(paths)]
    labels = tuple(f"{name}: {path.name}" for name, path in zip(names, paths, strict=True))
    largest = max((reader.info for reader in readers), key=lambda info: info.width * info.height)
    size = largest.height, largest.width
    _refuse_misfits(readers, progress)
    check_size(size, 0, paths[0])
    guide = readers[-1] if config.reference is not None else readers[0]
    asked = {frame_time(guide, seconds) for seconds in config.at}
    if config.reference is not None:
        pairs = [("A", guide, readers[0]), ("B", guide, readers[1])]
    else:
        pairs = [("A and B", readers[0], readers[1])]
    measured = [_measure(name, one, other, size, config.points, progress) for name, one, other in pairs]

    lowest: dict[int, list[str]] = {}  # names of the series, by time
    for each in measured:
        lowest.setdefault(each.lowest, []).append(each.name)
    alone = len(measured) == 1
    reasons = {
        pts: "lowest PSNR" + ("" if alone else f" of {' and '.join(series)}")
        for pts, series in lowest.items()
    }
    wanted = config.chosen_frames
    fixed = asked | set(list(reasons)[:wanted])
    times = choose_moments(guide, max(0, wanted - len(reasons)), fixed, progress)
    album.make()
    progress(Started("frames", len(times)))
    shots = []
    for pts in times:
        shots.append(_take(album, guide, readers, names, pts, size, reasons.get(pts, "")))
        progress(Advanced("frames", len(shots)))
    progress(Finished("frames"))

    shape, aspect = upright_shape(size, largest.sample_aspect_ratio, largest.rotation)
    moments, packed = lay_out(shots, shape, progress)
    page = Page(
        title=f"{config.a.name} and {config.b.name}",
        summary=_summary(paths),
        size=shape,
        pixel_aspect=float(aspect),
        versions=labels,
        first_pair=(0, 1),
        moments=moments,
        times=tuple(float(seconds_after_start(guide, pts)) for pts in measured[0].pts),
        curves=curves_of(measured, names),
        tables=(score_table(measured, guide, names), video_table(readers, labels, size)),
        notes=(*honesty(packed, shape, largest.color), *method_notes(measured, guide, names)),
    )
    return publish(
        album, page, shots, packed, began, measures={each.name: each.means for each in measured}
    )


def _summary(paths: Sequence[Path]) -> str:
    against = "each other" if len(paths) < 3 else f"the reference, {paths[2].name}"
    return f"A is {paths[0].name}, B is {paths[1].name}; measured against {against}"


def _refuse_misfits(readers: Sequence[Reader], progress: Progress) -> None:
    """Raise InputError where two videos differ in shape, in how they are turned, or in length."""
    first = readers[0]
    for other in readers[1:]:
        ours, theirs = _display_shape(first), _display_shape(other)
        if abs(ours / theirs - 1) > STRETCH_TOLERANCE or first.info.rotation != other.info.rotation:
            raise InputError(
                f"{other.path}: {_size_in_words(other)} is another shape than {first.path}, "
                f"{_size_in_words(first)}: cut or turn one of them first"
            )
        lengths = [_length(reader) for reader in (first, other)]
        frame = max(_frame_length(reader) for reader in (first, other))
        if abs(lengths[0] - lengths[1]) > frame:
            raise InputError(
                f"{other.path}: lasts {clock(lengths[1])}, {first.path} {clock(lengths[0])}: "
                "bring both to one length first"
            )
    if len({(reader.info.width, reader.info.height) for reader in readers}) > 1:
        progress(Notice("sizes differ: smaller videos are enlarged to the largest by Lanczos' filter"))


def _display_shape(reader: Reader) -> Fraction:
    info = reader.info
    return Fraction(info.width, info.height) * info.sample_aspect_ratio


def _size_in_words(reader: Reader) -> str:
    info = reader.info
    words = f"{info.width}x{info.height}"
    if info.sample_aspect_ratio != 1:
        words += f" with pixels of {info.sample_aspect_ratio}"
    return words + (f", turned by {info.rotation} degrees" if info.rotation else "")


def _length(reader: Reader) -> Fraction:
    return (reader.timeline.end - reader.timeline.start) * reader.timeline.time_base


def _frame_length(reader: Reader) -> Fraction:
    """Seconds of a frame, on average: what lengths may differ by, as containers round and guess."""
    return _length(reader) / reader.timeline.count


def _measure(
    name: str,
    reference: Reader,
    distorted: Reader,
    size: tuple[int, int],
    points: int,
    progress: Progress,
) -> Measured:
    """Score one video against another at `points` frames, evenly; at all of a shorter video.

    Raises InputError where no two frames have the same time.
    """
    count = reference.timeline.count
    progress(Started("measure", min(points, count), "frames"))
    pairs = PairedVideos(reference, distorted)
    pts: list[int] = []
    frames: list[FrameScore] = []

    def chosen(number: int) -> bool:
        return count <= points or number * points // count != (number - 1) * points // count

    for time_, frame in score_frames(pairs, torch.device("cpu"), size=size, chosen=chosen):
        pts.append(time_)
        frames.append(frame)
        progress(Advanced("measure", len(frames), values={"psnr": frame.score.psnr_db}))
    progress(Finished("measure"))
    if not frames:
        raise InputError(
            f"{distorted.path}: no frame has the time of a frame of {reference.path}; compare a video "
            "with one that was made from it"
        )
    for reader, side in ((reference, "reference"), (distorted, "distorted")):
        alone = pairs.unpaired[side]
        if alone:
            text = f"{alone} of {reader.timeline.count} frames have no partner of the same time"
            progress(Notice(f"{reader.path}: {text}", "warning"))
    return Measured(name, tuple(pts), tuple(frames))


def _take(
    album: Album,
    guide: Reader,
    readers: Sequence[Reader],
    names: Sequence[str],
    pts: int,
    size: tuple[int, int],
    reason: str,
) -> Shot:
    """The frame of this time, ticks of `guide`, of every video, each written as PNG."""
    index = guide.timeline.pts.index(pts)
    files = []
    for reader, name in zip(readers, names, strict=True):
        frame = frame_at(reader, _nearest(reader, pts * guide.timeline.time_base))
        if frame.size != size:
            frame = lanczos_frame(frame, size)
        path = album.picture(index, name)
        save_upright(path, frame, reader.info.rotation)
        files.append(path)
    return Shot(index, seconds_after_start(guide, pts), reason, tuple(files))


def _nearest(reader: Reader, seconds: Fraction) -> int:
    """The time, ticks, of the frame whose own is nearest to one in seconds."""
    timeline = reader.timeline
    wanted = seconds / timeline.time_base
    place = bisect_left(timeline.pts, wanted)
    return min(timeline.pts[max(0, place - 1) : place + 1], key=lambda pts: abs(pts - wanted))
