"""What surrounds the network: planes to RGB on its device, and RGB to the output's planes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from vidsr.arrays import Array, DType, dtype_of, floats
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.lanes import Planes
from vidsr.video import color


def network_dtype(source: ColorSpec, target: ColorSpec) -> DType:
    """What the network is given: uint8 only where both sides have 8 bits, else float32 in [0, 1]."""
    return "uint8" if max(source.depth, target.depth) == 8 else "float32"


@dataclass(frozen=True)
class Passage:
    """The way of frames into a network and out of it. What it makes of a frame depends on no other."""

    up: Callable[[Planes], Planes]  # planes of the host on the network's device
    target: ColorSpec  # colour of the planes that come out
    size: tuple[int, int] | None = None  # (height, width) that comes out; None: as the network gives it

    def dtype(self, source: ColorSpec) -> DType:
        """What the network is given of frames of this colour."""
        return network_dtype(source, self.target)

    def lr(self, batch: FrameBatch) -> tuple[FrameBatch, Array]:
        """A batch on the network's device, and its RGB there, (N, H, W, 3) of `dtype`."""
        there = replace(batch, planes=self.up(batch.planes))
        lr = color.to_rgb(there)
        if dtype_of(lr) != self.dtype(batch.color):
            lr = floats(lr)
            lr /= 255  # a deeper output must not pass through 8 bits
        return there, lr

    def planes(self, there: FrameBatch, sr: Array) -> Planes:
        """The target's planes of enlarged RGB (N, s*H, s*W, 3), uint8 or uint16, on the same device.

        Where another size is wanted, the picture is resized with an antialiasing filter. Alpha is taken
        from `there`, the frames on that device of which `sr` was made.
        """
        if self.size is not None and sr.shape[1:3] != self.size:
            sr = color.resize_rgb(sr, self.size)
        planes = color.to_planes(sr, self.target)
        if self.target.alpha:
            planes = (*planes, color.resize_alpha(there, self.target, (sr.shape[1], sr.shape[2])))
        return planes

    @property
    def in_parts(self) -> bool:
        """Whether each sample of `planes` follows from the RGB around it: nothing resized, no alpha."""
        return self.size is None and not self.target.alpha
