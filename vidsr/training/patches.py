"""Pairs of patches, cut and turned on the device where the pictures lie.

All pictures are one flat tensor of pixels, uint8, on the training device where they fit; a table says
where each frame begins. Cutting a batch is then a handful of tensor operations, the same ones on a GPU
and on a CPU: thousands of patches a second from a card's own memory, with nothing to wait for.

Which patches make up an update depends on seed, stage and step alone: a resumed run sees what it would
have seen, and processes that train together cut disjoint parts of one batch.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vidsr.distributed import World
from vidsr.errors import TrainingError
from vidsr.recipes import DegradedDetail
from vidsr.train_config import TrainConfig
from vidsr.training.edges import without_texture
from vidsr.training.gan_step import SRPair, StageName

CHOICE = 2
"""Candidates drawn for each patch; those without texture give way to those with some."""
TEXTURE = 6.0
"""Least standard deviation of a textured patch, in 8-bit levels: below lie skies and walls."""


@dataclass(frozen=True)
class PictureTable:
    """Where each frame's pictures begin in the flat tensor, in pixels; int64, on the CPU."""

    hr: Tensor  # (F,) first pixel of the HR picture, rows of scale*width after each other
    lr: Tensor  # (F, versions) first pixel of each LR version
    height: Tensor  # (F,) of the LR pictures
    width: Tensor  # (F,)
    clip: Tensor  # (F,) frames with the same number follow each other in time

    def __len__(self) -> int:
        return len(self.hr)

    def only(self, rows: Tensor) -> PictureTable:
        """The table of some frames."""
        return PictureTable(
            self.hr[rows], self.lr[rows], self.height[rows], self.width[rows], self.clip[rows]
        )


@dataclass(frozen=True)
class Pictures:
    """Frames with their LR versions: (P, 3) uint8 pixels, RGB, and the table into them."""

    pixels: Tensor
    table: PictureTable
    scale: int

    def frame(self, row: int, version: int) -> tuple[Tensor, Tensor]:
        """One whole frame: LR (h, w, 3) and HR (scale*h, scale*w, 3), uint8."""
        height, width = int(self.table.height[row]), int(self.table.width[row])
        lr, hr = int(self.table.lr[row, version]), int(self.table.hr[row])
        area = height * width
        return (
            self.pixels[lr : lr + area].view(height, width, 3),
            self.pixels[hr : hr + area * self.scale**2].view(height * self.scale, width * self.scale, 3),
        )


@dataclass(frozen=True)
class PatchPlan:
    """How patches are drawn."""

    patch: int  # side in LR pixels
    batch: int  # patches an update, over all processes
    seed: int
    clean_share: float = 0.5  # of patches from version 0; the rest come from the others alike
    clean: int | None = None  # instead: the first so many of the batch are clean, the rest degraded
    degraded_detail: DegradedDetail = "none"  # what detail is asked of those; see `as_pair`
    flat_share: float = 0.15  # of candidates without texture that are taken all the same
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.batch % self.ranks:
            raise TrainingError(
                f"a batch of {self.batch} cannot be shared by {self.ranks} processes: "
                "give a --batch that is a multiple of them"
            )

    @property
    def clean_here(self) -> int | None:
        """How many of this process's patches are clean and come first; None: as it happens."""
        return None if self.clean is None else self.clean // self.ranks


def plan_of(stage: StageName, config: TrainConfig, world: World) -> PatchPlan:
    """What a stage of a configuration draws in this process."""
    recipe = config.recipe
    adversarial = stage == "adversarial"
    clean = None
    if adversarial and recipe.degraded_share is not None and config.degradation == "video":
        parts = world.size * config.accumulate  # each of them gets as many
        clean = parts * max(1, round((1 - recipe.degraded_share) * recipe.adversarial_batch / parts))
    return PatchPlan(
        patch=recipe.adversarial_patch if adversarial else recipe.patch,
        batch=recipe.adversarial_batch if adversarial else recipe.batch,
        seed=2 * config.seed + adversarial,
        clean_share=config.clean_share if config.degradation == "video" else 1.0,
        clean=clean,
        degraded_detail=recipe.degraded_detail,
        flat_share=config.flat_share,
        rank=world.rank,
        ranks=world.size,
    )


class PatchCutter:
    """Cuts the batch of any step: uint8 pairs, LR (n, p, p, 3) and HR (n, scale*p, scale*p, 3).

    Frames are drawn by the number of places a patch has in them, so every place is alike; each patch
    is flipped and turned in one of the eight ways.
    """

    def __init__(self, pictures: Pictures, plan: PatchPlan) -> None:
        table = pictures.table
        places = (table.height - plan.patch + 1).clamp(min=0) * (table.width - plan.patch + 1).clamp(
            min=0
        )
        if len(table) == 0 or int(places.sum()) == 0:
            raise TrainingError(
                f"no picture is as large as a patch of {plan.patch * pictures.scale} pixels "
                f"({plan.patch} at low resolution): give a smaller --patch or larger videos"
            )
        self._pixels = pictures.pixels
        self._table = table
        self._scale = pictures.scale
        self._plan = plan
        self._bounds = places.double().cumsum(0)

    def cut(self, step: int) -> tuple[Tensor, Tensor]:
        """This process's part of the batch of a step."""
        plan, scale = self._plan, self._scale
        drawn = self._draw(step).to(self._pixels.device, non_blocking=True)
        keep = self._textured(drawn)[plan.rank :: plan.ranks]
        lr, hr, width, turn, _ = drawn[keep].unbind(1)
        return (
            _gather(self._pixels, _places(lr, width, plan.patch, turn)),
            _gather(self._pixels, _places(hr, width * scale, plan.patch * scale, turn)),
        )

    def pair(self, step: int, device: torch.device) -> SRPair:
        """The same as floats in [0, 1] on a device, (n, 3, h, w) in channels-last memory."""
        return as_pair(*self.cut(step), device, self._plan)

    def _draw(self, step: int) -> Tensor:
        """Candidates of a step, (n, 5) int64: first LR and HR pixel, LR width, turn, flat is allowed.

        Drawn on the CPU, so that every device trains on the same patches.
        """
        plan, table = self._plan, self._table
        generator = torch.Generator().manual_seed(_mix(plan.seed, step))
        u = torch.rand(CHOICE * plan.batch, 7, generator=generator, dtype=torch.float64)
        frame = torch.searchsorted(self._bounds, u[:, 0] * self._bounds[-1], right=True)
        frame = frame.clamp(max=len(table) - 1)
        degraded = table.lr.shape[1] - 1
        version = 1 + (u[:, 2] * degraded).long() if degraded else torch.zeros_like(frame)
        if plan.clean is None:
            version[u[:, 1] < plan.clean_share] = 0
        else:
            version[: CHOICE * plan.clean] = 0
        width = table.width[frame]
        y = (u[:, 3] * (table.height[frame] - plan.patch + 1)).long()
        x = (u[:, 4] * (width - plan.patch + 1)).long()
        return torch.stack(
            [
                table.lr[frame, version] + y * width + x,
                table.hr[frame] + (y * width * self._scale + x) * self._scale,
                width,
                (u[:, 5] * 8).long(),
                (u[:, 6] < plan.flat_share).long(),
            ],
            dim=1,
        )

    def _textured(self, drawn: Tensor) -> Tensor:
        """Numbers of the candidates to take: those with texture first, in the order drawn.

        Clean ones are taken among the first candidates, degraded ones among the rest. Texture is the
        deviation of the green channel of every scale-th HR pixel: little to read, and blind to the noise
        of degraded versions.
        """
        _, hr, width, _, flat_allowed = drawn.unbind(1)
        steps = torch.arange(self._plan.patch, device=drawn.device) * self._scale
        rows = hr[:, None] + steps * (width * self._scale)[:, None]
        green = self._pixels[:, 1][rows[:, :, None] + steps].float()
        refused = (green.flatten(1).std(dim=1) < TEXTURE) & (flat_allowed == 0)
        clean, batch = self._plan.clean or 0, self._plan.batch
        flat, border = refused.to(torch.uint8), CHOICE * clean
        first = torch.argsort(flat[:border], stable=True)[:clean]
        rest = torch.argsort(flat[border:], stable=True)[: batch - clean]
        return torch.cat([first, border + rest])


def _places(start: Tensor, row: Tensor, side: int, turn: Tensor) -> Tensor:
    """(n, side, side) pixel numbers of square patches, flipped and turned in one of eight ways.

    In a flat picture a patch's pixel (i, j) lies at start + i*row + j. Flipping an axis runs it from
    its other end, transposing exchanges the two strides: both stay sums of one term for i, one for j.
    """
    down = torch.where(turn & 1 == 1, -row, row)
    across = torch.where(turn & 2 == 2, -1, 1)
    start = start + torch.where(down < 0, (side - 1) * row, 0) + torch.where(across < 0, side - 1, 0)
    transposed = turn & 4 == 4
    first, second = torch.where(transposed, across, down), torch.where(transposed, down, across)
    steps = torch.arange(side, device=start.device)
    rows = start[:, None] + steps * first[:, None]
    return rows[:, :, None] + (steps * second[:, None])[:, None, :]


def _gather(pixels: Tensor, places: Tensor) -> Tensor:
    """(n, side, side, 3) pixels at (n, side, side) places; three times as fast as [] on a CPU."""
    return pixels.index_select(0, places.flatten()).view(*places.shape, 3)


def as_pair(lr: Tensor, hr: Tensor, device: torch.device, plan: PatchPlan | None = None) -> SRPair:
    """Bytes (n, h, w, 3) to floats in [0, 1], (n, 3, h, w), moved as bytes and cast on the device.

    Of the degraded patches of a plan no detail is asked ("none": they are not judged) or edges alone
    ("edges": they are held against HR without its weak texture).
    """
    small, large = (
        part.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255) for part in (lr, hr)
    )
    if plan is None or plan.clean_here is None:
        return SRPair(small, large)
    clean = plan.clean_here
    if plan.degraded_detail == "none":
        return SRPair(small, large, judged=clean)
    real = large.clone()
    real[clean:] = without_texture(large[clean:])
    return SRPair(small, large, real=real)


def _mix(seed: int, step: int) -> int:
    """A generator's seed from a run's seed and a step, far apart for neighbours (SplitMix64)."""
    z = (seed * 0x9E3779B97F4A7C15 + step + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
    z = (z ^ z >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
    return (z ^ z >> 31) >> 1


class _Steps(Dataset[tuple[Tensor, Tensor]]):
    """Batches by step, for worker processes: the pixels are a file that each of them maps."""

    def __init__(self, file: Path, pictures: Pictures, plan: PatchPlan) -> None:
        self._file, self._size = file, pictures.pixels.numel()
        self._without = replace(pictures, pixels=torch.empty(0, 3, dtype=torch.uint8))
        self._plan = plan
        self._cutter: PatchCutter | None = None

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        if self._cutter is None:
            pixels = map_pixels(self._file, self._size)
            self._cutter = PatchCutter(replace(self._without, pixels=pixels), self._plan)
        return self._cutter.cut(step)


def _leave_quickly(worker: int) -> None:
    """Let a worker end without PyTorch's own tidying up, which now and then aborts the process.

    Its queues are flushed before this handler runs, and it holds nothing else.
    """
    atexit.register(os._exit, 0)


def map_pixels(file: Path, size: int) -> Tensor:
    """A file of `size` bytes as (P, 3) pixels, read from disk as they are looked at."""
    flat = torch.from_file(str(file), shared=True, size=size, dtype=torch.uint8)
    return flat.view(-1, 3)


def pairs(
    pictures: Pictures,
    plan: PatchPlan,
    device: torch.device,
    *,
    first: int,
    file: Path | None = None,
    workers: int = 0,
) -> Iterator[SRPair]:
    """Pairs of step `first` and all after it, without end.

    Where the pixels could not be put on the device, `file` holds them and `workers` processes cut
    ahead of the training.
    """
    if file is None or workers == 0:
        cutter = PatchCutter(pictures, plan)
        step = first
        while True:
            yield cutter.pair(step, device)
            step += 1
    loader: DataLoader[Any] = DataLoader(
        _Steps(file, pictures, plan),
        batch_size=None,
        sampler=range(first, 2**62),
        num_workers=workers,
        prefetch_factor=4,
        pin_memory=device.type == "cuda",
        worker_init_fn=_leave_quickly,
        multiprocessing_context="spawn",  # a forked child of a process with CUDA or threads may hang
    )
    for lr, hr in loader:
        yield as_pair(lr, hr, device, plan)
