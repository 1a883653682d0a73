"""Which frames of a video show different scenes: a measure of change, and a choice by it.

Two frames differ by the histograms of their regions, the measure that did best among plain ones in J.
Boreczky, L. Rowe, "Comparison of Video Shot Boundary Detection Techniques", SPIE 2670, 1996: motion
within a scene leaves the histogram of a region nearly as it is, a cut changes most of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidsr.frames import FrameBatch

GRID = (72, 128)  # rows and columns of means that a plane is reduced to before it is counted
REGIONS = 4  # a side: 16 histograms a plane, as in the paper
BINS = 16  # of a histogram, over the range of the codes

SPREAD = 0.5
"""What the whole length of the video counts beside a difference of 1: equal scenes are told by time."""

FLAT = 0.25
"""Below this share of the median detail a frame is black, a fade or out of focus: shown last of all."""


@dataclass(frozen=True)
class Glimpse:
    """What a frame looks like, in a few numbers."""

    pts: int  # ticks
    histograms: Tensor  # (planes, REGIONS**2, BINS) shares, each histogram's sum 1
    detail: float  # mean step between neighbouring means of the first plane, share of the range


def look_at(frame: FrameBatch) -> Glimpse:
    """Describe a batch of one frame; alpha is left out."""
    if len(frame) != 1:
        raise ValueError(f"a glimpse is of one frame, not {len(frame)}")
    top = float((1 << frame.color.depth) - 1)
    opaque = frame.tensors().planes[: frame.color.channels - frame.color.alpha]
    means = [functional.adaptive_avg_pool2d(plane.float() / top, GRID)[0] for plane in opaque]
    first = means[0]
    detail = float((first.diff(dim=0).abs().mean() + first.diff(dim=1).abs().mean()) / 2)
    return Glimpse(frame.pts[0], torch.stack([_histograms(plane) for plane in means]), detail)


def difference(a: Glimpse, b: Glimpse) -> float:
    """How unlike two frames of one video are: 0 for equal histograms, 1 where nothing overlaps."""
    overlap = torch.minimum(a.histograms, b.histograms).sum(dim=-1)
    return float(1 - overlap.mean())


def choose_scenes(seen: Sequence[Glimpse], count: int, chosen: Sequence[Glimpse] = ()) -> list[Glimpse]:
    """Up to `count` of the glimpses, by time, each as unlike the others and as far off as can be had.

    Farthest-point selection (T. Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance",
    1985): the most detailed frame comes first, then again and again the one whose nearest chosen
    neighbour is farthest. `chosen` are there already and repel like the others. Frames without detail
    are taken only when nothing else is left.
    """
    if not seen:
        return []
    span = max(seen[-1].pts - seen[0].pts, 1)
    usual = sorted(glimpse.detail for glimpse in seen)[len(seen) // 2]
    clear = [glimpse for glimpse in seen if glimpse.detail >= FLAT * usual]
    flat = [glimpse for glimpse in seen if glimpse.detail < FLAT * usual]
    taken = list(chosen)
    found: list[Glimpse] = []

    def distance(a: Glimpse, b: Glimpse) -> float:
        gap = abs(a.pts - b.pts) / span
        # Within a frame's share of the video nearness counts against it: a fade is full of differences.
        return (difference(a, b) + SPREAD * gap) * min(1.0, gap * (count + len(chosen)))

    for left in (clear, flat):
        while left and len(found) < count:
            if taken:
                best = max(left, key=lambda each: min(distance(each, other) for other in taken))
            else:
                best = max(left, key=lambda each: each.detail)
            left.remove(best)
            taken.append(best)
            found.append(best)
    return sorted(found, key=lambda glimpse: glimpse.pts)


def _histograms(means: Tensor) -> Tensor:
    """Histograms (REGIONS**2, BINS) of the regions of (rows, columns) values in [0, 1].

    A value between the centres of two bins counts for both, by its nearness: noise at the edge of a bin
    must not look like change.
    """
    rows, columns = GRID[0] // REGIONS, GRID[1] // REGIONS
    regions = means.unfold(0, rows, rows).unfold(1, columns, columns).reshape(REGIONS**2, -1)
    place = regions.clamp(0, 1) * (BINS - 1)
    low = place.floor().clamp(max=BINS - 2)
    share = place - low
    counts = torch.zeros(REGIONS**2, BINS)
    counts.scatter_add_(1, low.long(), 1 - share)
    counts.scatter_add_(1, low.long() + 1, share)
    return counts / regions.shape[1]
