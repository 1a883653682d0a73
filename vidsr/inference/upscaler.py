"""FrameBatch in, larger FrameBatch out: colour, tiles, network, colour again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidsr.errors import OutOfMemory, VidsrError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.backend import Backend, Call
from vidsr.inference.lanes import Arrival, Lanes, lanes_of
from vidsr.inference.ring import ring
from vidsr.inference.tiling import Tile, least_tile, plan_tiles
from vidsr.video import color


@dataclass(frozen=True)
class WorkPlan:
    """How much goes through the network at once."""

    batch: int  # frames
    tile: int | None  # side in LR pixels; None: whole frames

    def usual_call(self, size: tuple[int, int], source: ColorSpec, target: ColorSpec) -> Call:
        """What the network is given for most of a video of (height, width) frames."""
        height, width = (min(length, self.tile or length) for length in size)
        return Call(self.batch, height, width, network_dtype(source, target))


def network_dtype(source: ColorSpec, target: ColorSpec) -> torch.dtype:
    """What the network is given: bytes only where both sides have no more, else float32."""
    return torch.uint8 if max(source.depth, target.depth) == 8 else torch.float32


def plan_work(
    size: tuple[int, int], backend: Backend, free_bytes: int, batch: int | None, tile: int | None
) -> WorkPlan:
    """Choose frames a call and tiles so that the network's working memory fits.

    `size` is the frame's (height, width) in LR pixels; what the user gave (`batch`, `tile`) is kept.
    Half of the free memory is left to decoder, encoder and queues. On a CPU one frame a call is as fast
    as many, so more frames only cost memory.
    """
    budget = free_bytes // 2
    per_pixel = backend.bytes_per_pixel
    height, width = size
    if tile is None and per_pixel * height * width > budget:
        side = int((budget / per_pixel) ** 0.5)
        tile = max(side // 16 * 16, least_tile(backend.receptive_radius))
        if tile >= max(height, width):
            tile = None
    if batch is None:
        pixels = min(height, tile or height) * min(width, tile or width)
        most = 1 if backend.device.type == "cpu" else 16
        batch = max(1, min(most, budget // (per_pixel * pixels)))
    if backend.limits.batch is not None:
        batch = min(batch, backend.limits.batch)
    return WorkPlan(batch, tile)


@dataclass(frozen=True)
class Enlarged:
    """A batch that has gone through the network, its planes on their way to the host."""

    source: FrameBatch
    color: ColorSpec
    arrival: Arrival

    def wait(self) -> FrameBatch:
        """The enlarged frames at the source's times, on the CPU."""
        return replace(self.source, planes=self.arrival.wait(), color=self.color)


class Upscaler:
    """Enlarges batches with a backend; answers a lack of memory with smaller pieces, and remembers."""

    def __init__(
        self,
        backend: Backend,
        plan: WorkPlan,
        target: ColorSpec,
        size: tuple[int, int] | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        self.plan = plan
        self._backend = backend
        self._target = target  # colour of the planes that come out
        self._size = size  # (height, width) that comes out; None: what the backend's scale gives
        self._lanes = lanes_of(backend.device) if lanes is None else lanes

    def __call__(self, batch: FrameBatch) -> FrameBatch:
        """The same frames, larger, in the target's colour, at the same times, on the CPU."""
        return self._begin(batch).wait()

    def stream(self, batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """The same for many batches in turn; a device with lanes of its own works on several at once."""
        return ring(batches, self._begin, self._lanes.slots)

    def _begin(self, batch: FrameBatch) -> Enlarged:
        """Queue the work on a batch; on the CPU it is done on return."""
        with self._lanes.computing():
            return Enlarged(batch, self._target, self._lanes.down(self._planes(batch)))

    def _planes(self, batch: FrameBatch) -> tuple[Tensor, ...]:
        """The enlarged planes, on the backend's device; written to by nobody any more."""
        while True:
            try:
                parts = [self._upscale(part) for part in batch.split(self.plan.batch)]
            except OutOfMemory as error:
                self.plan = self._smaller(batch.size, error)
            else:
                break
        return parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts, strict=True)))

    def _upscale(self, batch: FrameBatch) -> tuple[Tensor, ...]:
        tiles = plan_tiles(*batch.size, self.plan.tile, self._backend.receptive_radius)
        batch = replace(batch, planes=self._lanes.up(batch.planes))
        return upscale_frames(batch, self._backend, tiles, self._target, self._size)

    def _smaller(self, size: tuple[int, int], error: OutOfMemory) -> WorkPlan:
        if self.plan.batch > 1:
            return replace(self.plan, batch=self.plan.batch // 2)
        least = least_tile(self._backend.receptive_radius)
        now = min(self.plan.tile or max(size), max(size))
        if now <= least:
            raise VidsrError(
                f"out of memory: not even one tile of {now} pixels fits; close other programs, "
                "or take a smaller model (--model) or another --backend"
            ) from error
        return replace(self.plan, tile=max(least, now // 2))


def upscale_frames(
    batch: FrameBatch,
    backend: Backend,
    tiles: list[Tile],
    target: ColorSpec,
    size: tuple[int, int] | None = None,
) -> tuple[Tensor, ...]:
    """The planes of a batch, enlarged: uint8 or uint16 in the target's colour, where the batch's are.

    The batch's planes are on the backend's device. `size` is the (height, width) that comes out where
    it is not the backend's scale times the input's: the result is then resized with an antialiasing
    filter. Raises OutOfMemory.
    """
    lr = color.to_rgb(batch)
    if lr.dtype != network_dtype(batch.color, target):
        lr = lr.float() / 255  # a deeper output must not pass through 8 bits
    sr = upscale_tiled(lr, backend, tiles)
    del lr
    if size is not None and sr.shape[1:3] != size:
        sr = color.resize_rgb(sr, size)
    enlarged = color.to_planes(sr, target)
    if target.alpha:
        enlarged = (*enlarged, color.resize_alpha(batch, target, (sr.shape[1], sr.shape[2])))
    return enlarged


def upscale_tiled(lr: Tensor, backend: Backend, tiles: list[Tile]) -> Tensor:
    """Enlarge (N, h, w, 3) tile by tile to (N, scale*h, scale*w, 3), same dtype and device.

    Tiles below the backend's least size or off its multiple are padded by repeating the border, and the
    result is cropped. Raises OutOfMemory.
    """
    if len(tiles) == 1:
        return _call_padded(lr, backend)
    count, height, width, _ = lr.shape
    scale = backend.scale
    sr = torch.empty(count, height * scale, width * scale, 3, dtype=lr.dtype, device=lr.device)
    for tile in tiles:
        tile.place(_call_padded(tile.cut(lr), backend), sr, scale)
    return sr


def _call_padded(lr: Tensor, backend: Backend) -> Tensor:
    """Call the backend with a size it takes; the padding at bottom and right is cropped again."""
    height, width = lr.shape[1], lr.shape[2]
    least, multiple = backend.limits.least, backend.limits.multiple
    padded_height, padded_width = (
        -(-max(length, least) // multiple) * multiple for length in (height, width)
    )
    if (padded_height, padded_width) == (height, width):
        return backend(lr.contiguous())
    rows = torch.arange(padded_height, device=lr.device).clamp_(max=height - 1)
    columns = torch.arange(padded_width, device=lr.device).clamp_(max=width - 1)
    sr = backend(lr[:, rows][:, :, columns])
    return sr[:, : height * backend.scale, : width * backend.scale]
