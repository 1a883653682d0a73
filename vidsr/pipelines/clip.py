"""A short video of several versions side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from vidsr.config import EncodeConfig
from vidsr.frames import FrameBatch, VideoInfo, upright
from vidsr.pipelines.album import upright_shape
from vidsr.pipelines.geometry import Geometry
from vidsr.pipelines.segment import Reader
from vidsr.progress import Advanced, Finished, Notice, Progress, Started
from vidsr.video.color import to_planes, to_rgb
from vidsr.video.durable import part_path, put_in_place
from vidsr.video.encoders import Encoding, resolve_encoding
from vidsr.video.remux import join, plan_remux
from vidsr.video.writer import VideoWriter

MOST_WIDTH, MOST_HEIGHT = 3840, 2160
"""Of the whole clip, pixels: what players and screens take; of larger frames the middle is shown."""

GAP_PX = 4  # black columns between two versions

Enlarge = Callable[[FrameBatch], FrameBatch]
"""A batch of one frame to one of the enlarged size, in RGB planes."""


def write_clip(
    path: Path,
    reader: Reader,
    start: int,
    seconds: Fraction,
    versions: Sequence[Enlarge],
    geometry: Geometry,
    progress: Progress,
) -> Path:
    """Write some seconds of a video, from `start` (ticks) on, in all versions from left to right.

    Frames keep their times; there is no sound. Where the video ends earlier the clip begins earlier, and
    a shorter video is taken whole, which a notice says. Raises VidsrError as encoding does.
    """
    timeline = reader.timeline
    length = seconds / timeline.time_base
    if length > timeline.end - timeline.start:
        progress(Notice(f"{reader.path}: shorter than the clip asked for: all of it is taken"))
    begin = max(timeline.start, min(start, int(timeline.end - length)))
    times = [pts for pts in timeline.pts if begin <= pts < begin + length]
    rotation = reader.info.rotation
    shape, aspect = upright_shape(
        (geometry.height, geometry.width), geometry.sample_aspect_ratio, rotation
    )
    pane = _pane(shape, len(versions), progress)
    info = replace(
        reader.info,
        height=pane[0],
        width=pane[1] * len(versions) + GAP_PX * (len(versions) - 1),
        sample_aspect_ratio=aspect,
        frame_count=len(times),
        duration_s=None,
        rotation=0,
        display_matrix=None,
        interlaced=False,
        color=replace(reader.info.color, alpha=False),
    )
    encoding = resolve_encoding(info, path, _encode(reader.info))
    progress(Started("clip", len(times)))
    with TemporaryDirectory(dir=path.parent, prefix=".clip-") as folder:
        segment = Path(folder) / f"clip{encoding.segment_suffix}"
        with VideoWriter(segment, info, encoding) as writer:
            frames = reader.batches(1, start_pts=times[0], end_pts=times[-1] + 1)
            for done, frame in enumerate(frames, start=1):
                rgb = _side_by_side([enlarge(frame) for enlarge in versions], pane, rotation)
                writer.write(_timed(frame, rgb, encoding, times[0]))
                progress(Advanced("clip", done))
        # The segment is a video by itself, without other streams: its own source.
        plan = plan_remux(segment, 0, path, info, encoding.codec)
        part = part_path(path)
        try:
            join(plan, [segment], part)
            put_in_place(part, path)
        finally:
            part.unlink(missing_ok=True)
    progress(Finished("clip"))
    return path


def _encode(info: VideoInfo) -> EncodeConfig:
    """What every browser plays; deeper video keeps its depth, which fewer do."""
    if info.color.depth > 8:
        return EncodeConfig()
    return EncodeConfig(codec="h264", pixel_format="yuv420p")


def _pane(shape: tuple[int, int], count: int, progress: Progress) -> tuple[int, int]:
    """(height, width) of one version's part, even; a notice where much of the frame is left out."""
    width = min(shape[1], (MOST_WIDTH - GAP_PX * (count - 1)) // count)
    height = min(shape[0], MOST_HEIGHT)
    if (height, width) != shape:
        progress(
            Notice(
                f"the clip shows the middle {width}x{height} pixels of {shape[1]}x{shape[0]}, to have "
                "all versions beside each other"
            )
        )
    return height - height % 2, width - width % 2


def _side_by_side(frames: Sequence[FrameBatch], pane: tuple[int, int], rotation: int) -> Tensor:
    """(1, H, W, 3) RGB: the middle of each frame, turned as players turn it, with black between."""
    parts: list[Tensor] = []
    for frame in frames:
        rgb = upright(to_rgb(frame.tensors()), rotation)
        top, left = (rgb.shape[1] - pane[0]) // 2, (rgb.shape[2] - pane[1]) // 2
        if parts:
            parts.append(rgb.new_zeros(1, pane[0], GAP_PX, 3))
        parts.append(rgb[:, top : top + pane[0], left : left + pane[1]])
    return torch.cat(parts, dim=2)


def _timed(frame: FrameBatch, rgb: Tensor, encoding: Encoding, zero: int) -> FrameBatch:
    """RGB as the encoder takes it, at the frame's time after `zero` (ticks)."""
    return replace(
        frame,
        planes=to_planes(rgb, encoding.color),
        color=encoding.color,
        pts=(frame.pts[0] - zero,),
    )
