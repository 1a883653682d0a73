"""Frames as the codec has them, with their colour and their time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

import numpy as np

from vidsr.arrays import Array, namespace, to_host

Matrix = Literal["rgb", "bt601", "bt709", "bt2020", "smpte240m", "fcc", "gray"]
Range = Literal["limited", "full"]
Siting = Literal["left", "center", "topleft", "top"]


@dataclass(frozen=True)
class ColorSpec:
    """How the numbers in the planes mean colour. Never "unknown" past probing.

    Primaries and transfer are carried, not interpreted, so they stay the code points of ITU-T H.273
    (1 = BT.709, 9 = BT.2020 primaries, 16 = PQ, 18 = HLG transfer).
    """

    matrix: Matrix = "bt709"  # RGB <-> YUV equations; "rgb" and "gray" have none
    primaries: int = 1  # H.273 ColourPrimaries
    transfer: int = 1  # H.273 TransferCharacteristics
    range: Range = "limited"
    depth: int = 8  # bits a sample: 8, 9, 10, 12, 14 or 16
    subsampling: tuple[int, int] = (2, 2)  # luma samples per chroma sample, (vertical, horizontal)
    siting: Siting = "left"  # where a chroma sample lies in its block of luma samples
    alpha: bool = False  # one more plane of full size behind the others, full range

    @property
    def channels(self) -> int:
        """Number of planes, alpha included."""
        return (1 if self.matrix == "gray" else 3) + self.alpha


@dataclass(frozen=True)
class HdrMetadata:
    """Static HDR metadata (SMPTE ST 2086 and CTA-861.3), carried through unchanged."""

    red: tuple[Fraction, Fraction] | None = None  # CIE 1931 x, y of the mastering display
    green: tuple[Fraction, Fraction] | None = None
    blue: tuple[Fraction, Fraction] | None = None
    white: tuple[Fraction, Fraction] | None = None
    luminance: tuple[Fraction, Fraction] | None = None  # least and greatest, cd/m2
    max_cll: int | None = None  # maximum content light level, cd/m2
    max_fall: int | None = None  # maximum frame-average light level, cd/m2


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video stream before its first frame; sizes in pixels, time in ticks."""

    width: int
    height: int
    time_base: Fraction  # seconds per tick
    frame_rate: Fraction | None  # average, only for display and rate control; never for time
    frame_count: int | None  # containers often do not say: None is normal
    color: ColorSpec
    pixel_format: str = "yuv420p"  # FFmpeg's name
    codec: str = ""  # FFmpeg's name of the decoder
    stream_index: int = 0  # index in the container, over all kinds of stream
    duration_s: float | None = None
    sample_aspect_ratio: Fraction = Fraction(1)  # width over height of a pixel
    rotation: int = 0  # degrees counter-clockwise that a player turns the picture; carried as a tag
    display_matrix: tuple[int, ...] | None = None  # the tag itself, nine numbers, where there is one
    interlaced: bool = False
    hdr: HdrMetadata | None = None


@dataclass(frozen=True)
class FrameBatch:
    """Frames of one size and colour, as planes, each frame with its presentation time.

    Planes are Y, U, V (or R, G, B; or gray), then alpha where the colour says so: uint8 for 8-bit
    video, uint16 (value in the low bits) for deeper, shaped (N, H, W), chroma (N, ceil(H/sub_v),
    ceil(W/sub_h)). They are NumPy's arrays on the host, and tensors where PyTorch computes.
    """

    planes: tuple[Array, ...]
    color: ColorSpec
    pts: tuple[int, ...]  # presentation times in ticks of time_base, strictly rising
    time_base: Fraction  # seconds per tick
    durations: tuple[int, ...] = field(default=())  # ticks; 0 where unknown; empty where none is known

    def __post_init__(self) -> None:
        if len(self.planes) != self.color.channels:
            raise ValueError(f"{len(self.planes)} planes for {self.color.channels} channels")
        if any(plane.shape[0] != len(self.pts) for plane in self.planes):
            raise ValueError("every plane needs one picture for each pts")
        if any(a >= b for a, b in zip(self.pts, self.pts[1:], strict=False)):
            raise ValueError("pts must rise strictly within a batch")
        if self.durations and len(self.durations) != len(self.pts):
            raise ValueError("durations must be empty or one for each pts")

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.planes[0].shape[1]), int(self.planes[0].shape[2])

    @property
    def nbytes(self) -> int:
        """Bytes held by the planes."""
        return sum(int(plane.nbytes) for plane in self.planes)

    def arrays(self) -> FrameBatch:
        """The same with NumPy's arrays; they share this one's memory where it is the host's."""
        return replace(self, planes=tuple(map(to_host, self.planes)))

    def tensors(self) -> FrameBatch:
        """The same with PyTorch's tensors; they share this one's memory."""
        from torch import from_numpy

        planes = (from_numpy(plane) if isinstance(plane, np.ndarray) else plane for plane in self.planes)
        return replace(self, planes=tuple(planes))

    def split(self, size: int) -> Iterator[FrameBatch]:
        """Cut into batches of at most `size` frames that share this one's memory."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield replace(
                self,
                planes=tuple(plane[part] for plane in self.planes),
                pts=self.pts[part],
                durations=self.durations[part],
            )


def upright(pictures: Array, rotation: int) -> Array:
    """Pictures (N, H, W, ...) turned as players turn them: `VideoInfo.rotation`, by right angles."""
    return namespace(pictures).rot90(pictures, round(rotation / 90) % 4, (1, 2))
