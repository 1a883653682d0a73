"""See before the night: a few frames of a video, by chosen models, on a page to judge them on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from vidsr.config import UpscaleConfig
from vidsr.evaluation.page import Page, Table
from vidsr.frames import FrameBatch, VideoInfo
from vidsr.inference.backend import Backend, open_backend
from vidsr.inference.memory import free_bytes
from vidsr.inference.upscaler import Upscaler, plan_work
from vidsr.models.weights import Weights
from vidsr.page_config import SampleConfig
from vidsr.pipelines.album import (
    Album,
    Shot,
    clock,
    honesty,
    lanczos_frame,
    lay_out,
    rgb_color,
    save_upright,
    unique,
    upright_shape,
)
from vidsr.pipelines.clip import write_clip
from vidsr.pipelines.geometry import plan_geometry
from vidsr.pipelines.model_choice import choose_weights
from vidsr.pipelines.moments import choose_moments, frame_at, frame_time, seconds_after_start
from vidsr.pipelines.page_report import PageReport, publish
from vidsr.pipelines.segment import Reader
from vidsr.pipelines.upscale_plan import open_reader
from vidsr.progress import Advanced, Finished, Progress, Started, silent

BackendOpener = Callable[[Weights, UpscaleConfig, Progress], Backend]

CLASSICAL = ("nearest", "Lanczos")
"""What every page shows beside the results: the input's own pixels, and the filter of good players."""


@dataclass
class Way:
    """One of the results: a model on a backend, ready to run, and how long it took."""

    name: str
    weights: Weights
    backend: Backend
    upscaler: Upscaler
    seconds: list[float] = field(default_factory=list)  # of each frame

    def __call__(self, frame: FrameBatch) -> FrameBatch:
        """Enlarge one frame, to RGB planes, and take the time."""
        began = time.perf_counter()
        enlarged = self.upscaler(frame)
        self.seconds.append(time.perf_counter() - began)
        return enlarged

    @property
    def frame_s(self) -> float:
        """What a frame takes, the median; the first also prepares the backend for its size."""
        return median(self.seconds)


def sample_video(
    config: SampleConfig, progress: Progress = silent, *, opener: BackendOpener = open_backend
) -> PageReport:
    """Enlarge some frames of a video in every way asked for, and write a page that shows them together.

    Beside the page lie the pictures as PNG files, and a short side-by-side video where asked for. The
    page appears whole, and last. Raises VidsrError with one line for the user.
    """
    began = time.perf_counter()
    album = Album.choose(config.output, default_name(config.input), overwrite=config.overwrite)
    runs = config.upscaling
    with open_reader(runs[0]) as reader, ExitStack() as backends:
        info = reader.info
        # Every refusal before any work.
        weights = [choose_weights(run, info, reader.timeline).weights for run in runs]
        geometry = plan_geometry(runs[0], info, (1, 1))
        size = geometry.height, geometry.width
        asked = sorted({frame_time(reader, seconds) for seconds in config.at})
        times = choose_moments(reader, config.chosen_frames, asked, progress)
        ways = list(_open_ways(runs, weights, info, size, backends, opener, progress))
        album.make()  # only now: a backend that cannot be had leaves nothing behind

        progress(Started("sample", len(times)))
        shots = []
        for pts in times:
            shots.append(_take(album, reader, pts, ways, size))
            progress(Advanced("sample", len(shots)))
        progress(Finished("sample"))

        clip = None
        if config.clip_s is not None:
            clip = write_clip(
                album.folder / "clip.mp4",
                reader,
                asked[0] if asked else times[0],
                config.clip_s,
                [lambda frame: lanczos_frame(frame, size), *ways],
                geometry,
                progress,
            )
        shape, aspect = upright_shape(size, geometry.sample_aspect_ratio, info.rotation)
        moments, packed = lay_out(shots, shape, progress)
        names = (*CLASSICAL, *(way.name for way in ways))
        moving = f"Moving, side by side: {', '.join(names[1:])}"
        page = Page(
            title=config.input.name,
            summary=_summary(info, reader, size),
            size=shape,
            pixel_aspect=float(aspect),
            versions=names,
            first_pair=(1, 2),
            moments=moments,
            tables=(_table(ways),),
            notes=tuple(honesty(packed, shape, info.color)),
            link=None if clip is None else album.link(clip, moving),
        )
        return publish(
            album,
            page,
            shots,
            packed,
            began,
            frame_seconds={way.name: round(way.frame_s, 4) for way in ways},
            clip=None if clip is None else str(clip),
        )


def default_name(path: Path) -> str:
    """The folder of a page about a video: film_sample; of frames/%05d.png, frames_sample."""
    plain = re.sub(r"%\d*d", "", path.stem).strip("._- ")
    return f"{plain or path.absolute().parent.name or 'video'}_sample"


def _open_ways(
    runs: tuple[UpscaleConfig, ...],
    weights: list[Weights],
    info: VideoInfo,
    size: tuple[int, int],
    backends: ExitStack,
    opener: BackendOpener,
    progress: Progress,
) -> Iterator[Way]:
    """All results' backends, open at once: each frame is then decoded once for all of them."""
    names = unique((*CLASSICAL, *(each.label for each in weights)))[len(CLASSICAL) :]
    for run, each, name in zip(runs, weights, names, strict=True):
        # An engine that is there is used; to build one takes longer than these few frames in PyTorch.
        backend = backends.enter_context(opener(each, replace(run, engine_build="never"), progress))
        free = free_bytes(backend.device)
        work = plan_work((info.height, info.width), backend, free, run.batch, run.tile)
        yield Way(name, each, backend, Upscaler(backend, work, rgb_color(info.color), size))


def _take(album: Album, reader: Reader, pts: int, ways: list[Way], size: tuple[int, int]) -> Shot:
    """One frame in every version, each written as PNG."""
    frame = frame_at(reader, pts)
    index = reader.timeline.pts.index(pts)
    # File systems may take "Lanczos" and "lanczos" for one name.
    names = unique(("input", "lanczos", *(way.name.lower() for way in ways)))
    files = tuple(album.picture(index, name) for name in names)
    pictures = (frame, lanczos_frame(frame, size), *(way(frame) for way in ways))
    for path, picture in zip(files, pictures, strict=True):
        save_upright(path, picture, reader.info.rotation)
    return Shot(index, seconds_after_start(reader, pts), "", files)


def _summary(info: VideoInfo, reader: Reader, size: tuple[int, int]) -> str:
    timeline = reader.timeline
    length = clock((timeline.end - timeline.start) * timeline.time_base)
    return (
        f"{info.width}x{info.height} {info.codec}, {length}, {timeline.count} frames; "
        f"enlarged to {size[1]}x{size[0]}"
    )


def _table(ways: list[Way]) -> Table:
    rows = [
        (CLASSICAL[0], "every pixel of the input repeated", "", ""),
        (CLASSICAL[1], "the classical filter, three lobes; no network", "", ""),
    ]
    for way in ways:
        rows.append(
            (
                way.name,
                way.weights.title,
                f"{way.backend.name}, {way.backend.precision}",
                f"{way.frame_s:.1f} s" if way.frame_s >= 10 else f"{1000 * way.frame_s:.0f} ms",
            )
        )
    return Table("How each was made", ("version", "by", "computed with", "time a frame"), tuple(rows))
