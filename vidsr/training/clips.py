"""What is worth learning from in a video: short clips from all over it, sharp, distinct and lively.

A few places, evenly spread over the file's own timeline, are decoded; at each, the sharpest run of
consecutive frames without a scene cut is kept, and of those only the window with the most texture.
Frames that teach nothing, or the same again, are refused and counted by reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from vidsr.errors import InputError
from vidsr.video.color import to_rgb
from vidsr.video.reader import VideoReader
from vidsr.video.resample import imresize
from vidsr.video.stills import is_still, read_still

THUMB = 16
"""Side of the thumbnail by which frames are compared: small enough to be blind to noise."""
CUT = 24.0
"""Mean difference of two neighbours' thumbnails, in 8-bit levels, that makes a scene cut."""
SAME = 3.0
"""Mean difference below which a clip repeats one that was already taken."""
DARK, BRIGHT = 40, 160
"""Luma levels: what a fade or the ground of credits stays below, what their letters rise above."""
GROUND = 3.0
"""Greatest deviation of the ground of credits, in levels: it is drawn, where a night is filmed."""
SHARP = 0.001
"""Least share of detail in a frame's variance, see `sharpness`."""


@dataclass(frozen=True)
class ClipRules:
    """What is taken from one file."""

    scale: int  # sides of what is kept are multiples of it
    clips: int  # at most, of a video
    frames: int  # of a clip
    crop: int  # greatest side kept, HR pixels; twice that of a still
    shrink: float = 1.0  # reduce by this factor before anything else


def clips_of(path: Path, rules: ClipRules, refused: Counter[str]) -> Iterator[Tensor]:
    """Clips of a video or still, (T, H, W, 3) uint8 RGB, sides multiples of the scale, T >= 1.

    `refused` counts what was passed over: "black", "blurred", "credits", "repeated", "cut", "small".
    Raises InputError where the file cannot be read.
    """
    still = is_still(path)
    kept: list[Tensor] = []
    for window in [to_bytes(to_rgb(read_still(path).tensors()))] if still else _windows(path, rules):
        clip = sharpest_run(window, rules.frames)
        if clip is None:
            refused["cut"] += 1
            continue
        middle = clip[len(clip) // 2]
        thumb = thumbnail(middle)
        reason = flaw(middle)
        if reason is None and any(_difference(thumb, other) < SAME for other in kept):
            reason = "repeated"
        if reason is None:
            kept.append(thumb)
            fitted = _fit(clip, rules, 2 * rules.crop if still else rules.crop)
            if fitted is not None:
                yield fitted
                continue
            reason = "small"
        refused[reason] += 1


def flaw(frame: Tensor) -> str | None:
    """Why an (H, W, 3) uint8 frame teaches nothing: "black", "credits", "blurred"; else None."""
    levels = luma(frame)
    dark = float((levels < DARK).float().mean())
    bright = float((levels > BRIGHT).float().mean())
    if dark > 0.98:
        return "black"
    # Letters cover little of a dark, even ground, and almost nothing is in between.
    lettered = dark > 0.8 and bright > 0.002 and dark + bright > 0.95
    if lettered and float(levels[levels < DARK].std()) < GROUND:
        return "credits"
    return "blurred" if sharpness(frame) < SHARP else None


def luma(frames: Tensor) -> Tensor:
    """Brightness (..., H, W) in 0..255, float, of (..., H, W, 3) uint8: BT.601's weights, on codes."""
    return frames.float() @ torch.tensor([0.299, 0.587, 0.114])


def sharpness(frame: Tensor) -> float:
    """Share of a frame's variance that a 3x3 mean takes away; 0 for a flat frame.

    Of 48 photographs the middle has 0.024, nine in ten more than 0.006, the least 0.0014; after a
    Gaussian blur of 2 pixels the middle has 0.0002 and nine in ten less than 0.0008.
    """
    levels = luma(frame)[None, None]
    detail = levels - functional.avg_pool2d(levels, 3, stride=1, padding=1, count_include_pad=False)
    variance = float(levels.var())
    return float(detail.var()) / variance if variance > 0 else 0.0


def thumbnail(frames: Tensor) -> Tensor:
    """(..., THUMB, THUMB) mean luma of (..., H, W, 3) uint8 frames."""
    levels = luma(frames)
    small = functional.adaptive_avg_pool2d(levels.reshape(-1, 1, *levels.shape[-2:]), THUMB)
    return small.view(*levels.shape[:-2], THUMB, THUMB)


def sharpest_run(window: Tensor, frames: int) -> Tensor | None:
    """The sharpest `frames` neighbours of a (T, H, W, 3) window that no cut parts; None if all are.

    A window shorter than that is taken whole.
    """
    frames = min(frames, len(window))
    thumbs = thumbnail(window)
    cuts = (thumbs[1:] - thumbs[:-1]).abs().mean(dim=(1, 2)) > CUT
    scores = [sharpness(frame) for frame in window]
    best: tuple[float, int] | None = None
    for start in range(len(window) - frames + 1):
        if not bool(cuts[start : start + frames - 1].any()):
            score = sum(scores[start : start + frames])
            best = max(best, (score, -start)) if best else (score, -start)  # the first of equals
    return None if best is None else window[-best[1] : -best[1] + frames]


def textured_window(frame: Tensor, height: int, width: int) -> tuple[int, int]:
    """Top left corner of the height x width window of an (H, W, 3) frame with the most gradient."""
    levels = luma(frame)
    slope = functional.pad((levels[:, 1:] - levels[:, :-1]).abs(), (0, 1))
    slope += functional.pad((levels[1:] - levels[:-1]).abs(), (0, 0, 0, 1))
    # Sums over windows from sums over everything above and to the left.
    table = functional.pad(slope.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    sums = table[height:, width:] - table[:-height, width:]
    sums = sums - table[height:, :-width] + table[:-height, :-width]
    best = int(sums.argmax())
    return best // sums.shape[1], best % sums.shape[1]


def to_bytes(rgb: Tensor) -> Tensor:
    """RGB as the colour room gives it, uint8 or floats in [0, 1], as uint8."""
    return rgb if rgb.dtype == torch.uint8 else (rgb * 255).round().clamp(0, 255).to(torch.uint8)


def _windows(path: Path, rules: ClipRules) -> Iterator[Tensor]:
    """Runs of twice a clip's frames, evenly spread over a video: (T, H, W, 3) uint8."""
    with VideoReader(path) as reader:
        times = reader.timeline.pts
        length = min(len(times), 2 * rules.frames)
        if length == 0:
            raise InputError(f"{path}: holds no frame")
        count = max(1, min(rules.clips, len(times) // length))
        for number in range(count):
            first = (2 * number + 1) * (len(times) - length) // (2 * count)
            end = times[first + length] if first + length < len(times) else None
            for batch in reader.batches(length, start_pts=times[first], end_pts=end):
                yield to_bytes(to_rgb(batch.tensors()))
                break  # damaged times could make a second, short batch


def _fit(clip: Tensor, rules: ClipRules, side: int) -> Tensor | None:
    """Reduce and cut a clip to its most textured part; None where too little is left."""
    if rules.shrink > 1:
        floats = clip.permute(0, 3, 1, 2).float() / 255
        clip = to_bytes(imresize(floats, 1 / rules.shrink).permute(0, 2, 3, 1))
    height, width = (min(side, int(length)) // rules.scale * rules.scale for length in clip.shape[1:3])
    if min(height, width) < 8 * rules.scale:
        return None
    top, left = textured_window(clip[len(clip) // 2], height, width)
    return clip[:, top : top + height, left : left + width].contiguous()


def _difference(thumb: Tensor, other: Tensor) -> float:
    return float((thumb - other).abs().mean())
