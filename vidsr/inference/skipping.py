"""Leaving out the work whose result is already there, without changing one bit of what comes out.

A frame equal to the one before has its result. In a frame of which only a part changed, a pixel that
sees no change (the network's receptive field, and what the chroma filter brings in) has its result too:
only tiles that keep all the others are computed, where that is clearly less than the frame. Frames are
compared as planes of the codec, before anything is moved to a device.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vidsr.arrays import Array, copy, device_of, writing
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.backend import Backend
from vidsr.inference.changes import BLOCK, Blocks, changed_blocks, same_frame, within
from vidsr.inference.exactness import exact_alone, exact_anywhere, exact_in_tiles
from vidsr.inference.lanes import Planes, joined
from vidsr.inference.passage import Passage
from vidsr.inference.tally import Tally
from vidsr.inference.tiling import Tile, cover_tiles, upscale_into, upscale_tiled
from vidsr.inference.windows import convert_changed
from vidsr.video.chroma import chroma_reach

SPARE = 32
"""What a patch keeps beyond what a changed sample reaches to both sides, LR pixels: room for a cursor or
a letter, which then takes one patch. On a screen at 320x180, with `srgan-lite`, patches computed 0.30 of
the frames that changed; with 24 less it were 0.55, with 24 more 0.36."""

WORTH = 0.75
"""Patches are computed where they read at most this share of the frame: each call costs a little too."""


@dataclass(frozen=True)
class _Work:
    """What is to be computed of a frame."""

    tiles: list[Tile]
    share: float  # that they read of the whole frame; 1 at most
    equal: bool = False  # to the frame before, alpha included


@dataclass(frozen=True)
class _Made:
    """What the last frame of a batch became."""

    sr: Array  # (1, s*H, s*W, 3) on the device; overwritten in place by the next frame
    planes: Planes  # (1, ...) on the device; handed out, and therefore left alone


@dataclass(frozen=True)
class _Last:
    """The last frame that work was prepared for: what it was, and what it becomes."""

    source: Planes  # (H, W) each, as they were decoded
    color: ColorSpec
    made: Future[_Made]


class Skipper:
    """Enlarges the frames of one video in their order; remembers the last one."""

    def __init__(self, backend: Backend, passage: Passage, tally: Tally) -> None:
        self._backend = backend
        self._passage = passage
        self._tally = tally
        self._last: _Last | None = None
        self._lock = threading.Lock()  # of the last frame, of which one other may be made, and the tally
        self._found: dict[tuple[object, ...], bool] = {}  # what was tried out, by what was tried

    def prepare(self, batch: FrameBatch, tiles: Sequence[Tile]) -> Callable[[], Planes]:
        """Compare a batch on the CPU with the frame before it; what is returned enlarges it.

        It gives the target's planes, on the device they were computed on. It may be called in another
        thread while later batches are prepared and enlarged: where it needs what the one before has
        become, it waits for that, so it must be called in turn. `tiles` are those of a whole frame.

        Raises OutOfMemory, as does what is returned; the batch may then come again, with other tiles.
        """
        source = tuple(plane[-1] for plane in batch.planes)
        now = _Last(source, batch.color, Future())
        with self._lock:
            before, self._last = self._last, now
        try:
            work = self._plan(before, batch, list(tiles))
        except BaseException as error:
            now.made.set_exception(error)
            raise

        def enlarge() -> Planes:
            try:
                planes, made = self._enlarge(batch, list(tiles), work, before)
            except BaseException as error:
                now.made.set_exception(error)
                raise
            now.made.set_result(made)
            return planes

        return enlarge

    def foresee(self, batch: FrameBatch, tiles: Sequence[Tile]) -> list[float]:
        """Which share of each frame but the first would be computed after the one before, 0 to 1.

        Nothing of these frames is computed for it, and nothing of them remembered.
        """
        frames = [tuple(plane[index] for plane in batch.planes) for index in range(len(batch))]
        return [
            self._compare(before, after, batch, list(tiles)).share for before, after in pairwise(frames)
        ]

    def begin_anew(self) -> None:
        """The next frame is the first."""
        with self._lock:
            self._last = None

    def forget(self) -> None:
        """Begin anew: the backend computes in another way now, and nothing of the old one holds."""
        self.begin_anew()
        self._found.clear()

    def _enlarge(
        self, batch: FrameBatch, tiles: list[Tile], work: list[_Work], before: _Last | None
    ) -> tuple[Planes, _Made]:
        """The planes of a batch, and what the next one is compared with."""
        share = sum(part.share for part in work)
        # Together, frames fill a GPU better than one by one: half of the work must go to make up for it.
        few = share <= len(batch) / 2
        if len(batch) == 1 or share == 0 or (few and self._exact_alone(batch, tiles)):
            made = _result(before) if work[0].share < 1 else None
            frames: list[Planes] = []
            for frame, part in zip(batch.split(1), work, strict=True):
                made = self._one(frame, part if made is not None else _Work(tiles, 1.0), made)
                frames.append(made.planes)
            assert made is not None
            return joined(frames), made
        there, lr = self._passage.lr(batch)
        sr = upscale_tiled(lr, self._backend, tiles)
        planes = self._passage.planes(there, sr)
        self._count(len(batch), network=len(batch))
        last = slice(-1, None)
        return planes, _Made(copy(sr[last]), tuple(plane[last] for plane in planes))

    def _one(self, frame: FrameBatch, work: _Work, before: _Made | None) -> _Made:
        if work.equal:
            assert before is not None
            self._count(1, repeated=1, network=0)
            return before
        there, lr = self._passage.lr(frame)
        if work.share < 1:
            assert before is not None
            sr = before.sr
            with writing(sr):
                upscale_into(sr, lr, self._backend, work.tiles)
        else:
            before, sr = None, upscale_tiled(lr, self._backend, work.tiles)
        if before is not None and self._passage.in_parts and exact_anywhere(device_of(sr)):
            target, scale = self._passage.target, self._backend.scale
            planes = convert_changed(before.planes, sr, target, work.tiles, scale)
        else:
            planes = self._passage.planes(there, sr)
        self._count(1, partial=work.share < 1, network=work.share)
        return _Made(sr, planes)

    def _count(self, frames: int, *, repeated: int = 0, partial: int = 0, network: float) -> None:
        with self._lock:
            self._tally.add(frames, repeated=repeated, partial=partial, network=network)

    def _plan(self, last: _Last | None, batch: FrameBatch, tiles: list[Tile]) -> list[_Work]:
        """For each frame, what is left to compute when the one before it is there."""
        before = last.source if last is not None and last.color == batch.color else None
        work: list[_Work] = []
        for index in range(len(batch)):
            after = tuple(plane[index] for plane in batch.planes)
            work.append(self._compare(before, after, batch, tiles))
            before = after
        return work

    def _compare(
        self,
        before: Planes | None,
        after: Planes,
        batch: FrameBatch,
        tiles: list[Tile],
    ) -> _Work:
        if before is None or before[0].shape != after[0].shape:
            return _Work(tiles, 1.0)
        if same_frame(before, after):
            return _Work([], 0.0, equal=True)
        reach = chroma_reach(batch.color.subsampling)
        changed = within(changed_blocks(before, after, batch.color), reach)
        if len(tiles) > 1:
            # The grid is there anyway: a tile whose whole input is as it was gives what it gave.
            tiles_left = [tile for tile in tiles if _read(tile, changed).any()]
            return _Work(tiles_left, len(tiles_left) / len(tiles))
        radius = self._backend.receptive_radius
        wanted = within(changed, radius)
        if wanted.mean() > WORTH or self._backend.limits.prepared:
            return _Work(tiles, 1.0)
        patches = cover_tiles(wanted, BLOCK, batch.size, _side(radius), radius)
        share = sum(math.prod(patch.size) for patch in patches) / math.prod(batch.size)
        if share > WORTH or not self._exact_in_patches(batch):
            return _Work(tiles, 1.0)
        return _Work(patches, share)

    def _exact_alone(self, batch: FrameBatch, tiles: list[Tile]) -> bool:
        """Whether the frames of such a batch may be computed one by one."""
        shape = (len(batch), *tiles[0].size, 3)
        dtype = self._passage.dtype(batch.color)
        return self._tried((shape, dtype), lambda: exact_alone(self._backend, shape, dtype))

    def _exact_in_patches(self, batch: FrameBatch) -> bool:
        """Whether patches of such a frame may be computed: tried in corners, at edges, inside."""
        size, radius = batch.size, self._backend.receptive_radius
        dtype = self._passage.dtype(batch.color)

        def trial() -> bool:
            places = np.zeros((-(-size[0] // BLOCK), -(-size[1] // BLOCK)), np.bool_)
            places[np.ix_(*([0, length // 2, length - 1] for length in places.shape))] = True
            patches = cover_tiles(places, BLOCK, size, _side(radius), radius)
            return exact_in_tiles(self._backend, size, dtype, patches)

        return self._tried((size, dtype), trial)

    def _tried(self, what: tuple[object, ...], trial: Callable[[], bool]) -> bool:
        if what not in self._found:
            self._found[what] = trial()
            self._tally.inexact |= not self._found[what]
        return self._found[what]


def _result(last: _Last | None) -> _Made | None:
    """What a frame became; None where that failed, of which whoever waits for that frame will hear."""
    assert last is not None
    try:
        return last.made.result()
    except Exception:
        return None


def _side(radius: int) -> int:
    """Side of a patch, LR pixels: what it keeps, a multiple of BLOCK, and its context all around."""
    kept = -(-(2 * radius + SPARE) // (2 * BLOCK)) * 2 * BLOCK
    return kept + 2 * radius


def _read(tile: Tile, blocks: Blocks) -> Blocks:
    """Of the blocks of a frame, those that a tile reads."""
    rows, columns = (
        slice(span.start // BLOCK, -(-span.stop // BLOCK)) for span in (tile.rows, tile.columns)
    )
    return blocks[rows, columns]
