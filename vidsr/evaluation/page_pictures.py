"""The pictures of a page: exact where they fit into it, else as good as they can be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from vidsr.errors import UsageError
from vidsr.evaluation.page import Rect, Shown
from vidsr.progress import Advanced, Finished, Progress, Started, silent
from vidsr.video.color import resize_rgb, to_rgb
from vidsr.video.stills import read_still
from vidsr.video.webp import encode_webp

PAGE_BYTES = 10_000_000
"""What a page may take: it is sent by mail and opened on telephones."""

BUDGET_BYTES = (PAGE_BYTES - 400_000) * 3 // 4
"""Of WebP files: base64 makes four characters of three bytes, and the rest of the page needs some."""

QUALITIES: tuple[int | None, ...] = (None, 95, 90, 85, 80)
"""Of WebP, tried in this order; None is lossless. Below 80 its own blocks show in what is judged."""

HOPELESS = 1.5
"""Times the budget that a guess from the first frame may be before a quality is not tried at all."""

WINDOW_QUALITY = 90
"""Where even the last of them is too large: a part of each frame, but a good one."""

LEAST_WINDOW_PX = 256
"""Sides of a part in which a picture can still be judged."""

THUMBNAIL_PX = 160  # width of the small pictures that frames are chosen by
THUMBNAIL_QUALITY = 75


@dataclass(frozen=True)
class Packed:
    """Pictures ready for a page."""

    moments: tuple[tuple[Shown, ...], ...]  # by moment, then version
    windows: tuple[Rect, ...]  # the part of each moment's frame that they show
    quality: int | None  # of WebP; None: every picture is exact


def pack_pictures(
    sources: Sequence[Sequence[Path]],
    size: tuple[int, int],
    budget: int = BUDGET_BYTES,
    progress: Progress = silent,
) -> Packed:
    """Make pictures small enough for one page: first by quality, then by showing a part of each frame.

    `sources` are picture files by moment and version; all show the same frame, some with fewer pixels.
    `size` is the (height, width) of the enlarged frame. Holds one picture at a time. Raises UsageError
    where not even small parts fit.
    """
    whole: Rect = (0, 0, size[1], size[0])
    windows = (whole,) * len(sources)
    progress(Started("pictures", None, "frames"))
    guess = _bytes(_moment(sources[0], size, whole, QUALITIES[-1])) * len(sources)
    # The others will hardly be so much smaller than the first; large frames take long, so no trial then.
    for quality in QUALITIES if guess <= HOPELESS * budget else ():
        if _bytes(_moment(sources[0], size, whole, quality)) * len(sources) > HOPELESS * budget:
            continue
        moments = _within(budget, (_moment(paths, size, whole, quality) for paths in sources), progress)
        if moments is not None:
            progress(Finished("pictures"))
            return Packed(moments, windows, quality)
    # An eighth less each time: bytes go with the area, but not every part has equally many.
    share = min(1.0, budget / guess)
    while min(size) * math.sqrt(share) >= LEAST_WINDOW_PX:
        windows = tuple(_busiest(paths[-1], size, math.sqrt(share)) for paths in sources)
        parts = (
            _moment(paths, size, window, WINDOW_QUALITY)
            for paths, window in zip(sources, windows, strict=True)
        )
        moments = _within(budget, parts, progress)
        if moments is not None:
            progress(Finished("pictures"))
            return Packed(moments, windows, WINDOW_QUALITY)
        share *= 7 / 8
    raise UsageError(
        f"{sum(map(len, sources))} pictures of {size[1]}x{size[0]} do not fit into a page of "
        f"{PAGE_BYTES // 1_000_000} MB: take fewer --frames, or fewer models"
    )


def thumbnail(path: Path) -> bytes:
    """A picture file as a small WebP picture."""
    rgb = rgb_bytes(path)
    height, width = int(rgb.shape[0]), int(rgb.shape[1])
    small = (max(1, round(THUMBNAIL_PX * height / width)), THUMBNAIL_PX)
    return encode_webp(resize_rgb(rgb[None], small)[0], THUMBNAIL_QUALITY)


def rgb_bytes(path: Path) -> Tensor:
    """A picture file as (H, W, 3) uint8 RGB; more than eight bits are rounded to them."""
    rgb: Tensor = to_rgb(read_still(path).tensors())[0]
    return rgb if rgb.dtype == torch.uint8 else (rgb * 255 + 0.5).to(torch.uint8)


def _within(
    budget: int, moments: Iterator[tuple[Shown, ...]], progress: Progress
) -> tuple[tuple[Shown, ...], ...] | None:
    """All moments, or None as soon as they are too much together."""
    found: list[tuple[Shown, ...]] = []
    total = 0
    for moment in moments:
        total += _bytes(moment)
        if total > budget:
            return None
        found.append(moment)
        progress(Advanced("pictures", len(found)))
    return tuple(found)


def _bytes(moment: tuple[Shown, ...]) -> int:
    return sum(len(shown.webp) for shown in moment)


def _moment(
    paths: Sequence[Path], size: tuple[int, int], window: Rect, quality: int | None
) -> tuple[Shown, ...]:
    """The pictures of one moment, cut to the window; small ones, the input's own, are kept exact."""
    shown = []
    for path in paths:
        rgb = rgb_bytes(path)
        across, down = size[1] / rgb.shape[1], size[0] / rgb.shape[0]
        # Outwards to whole pixels of this picture; the page covers what lies beyond the window.
        left, top = math.floor(window[0] / across), math.floor(window[1] / down)
        right = min(math.ceil((window[0] + window[2]) / across), int(rgb.shape[1]))
        bottom = min(math.ceil((window[1] + window[3]) / down), int(rgb.shape[0]))
        part = rgb[top:bottom, left:right]
        rect = (left * across, top * down, (right - left) * across, (bottom - top) * down)
        exact = across > 1 or down > 1
        shown.append(Shown(encode_webp(part, None if exact else quality), rect))
    return tuple(shown)


def _busiest(path: Path, size: tuple[int, int], share: float) -> Rect:
    """The part of a frame with most detail, `share` of each side, on whole pixels of `size`."""
    rgb = rgb_bytes(path)
    height, width = (max(1, int(side * share)) for side in size)
    green = rgb[None, None, :, :, 1].float()
    grid = functional.adaptive_avg_pool2d(green, (min(90, size[0]), min(160, size[1])))[0, 0]
    steps = grid.diff(dim=0).abs()[:, :-1] + grid.diff(dim=1).abs()[:-1]
    rows = max(1, int(steps.shape[0] * share))
    columns = max(1, int(steps.shape[1] * share))
    sums = functional.avg_pool2d(steps[None, None], (rows, columns), stride=1)[0, 0]
    y, x = divmod(int(sums.argmax()), int(sums.shape[1]))
    top = min(round(y * size[0] / grid.shape[0]), size[0] - height)
    left = min(round(x * size[1] / grid.shape[1]), size[1] - width)
    return float(left), float(top), float(width), float(height)
