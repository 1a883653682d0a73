"""What came of `vidsr sample` and `vidsr compare`, for people and for machines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vidsr.evaluation.page import Page
from vidsr.evaluation.page_pictures import Packed
from vidsr.pipelines.album import Album, Shot


@dataclass(frozen=True)
class PageReport:
    """A page and what is on it."""

    page: str
    bytes: int  # of the page
    pictures: int  # PNG files beside it
    size: tuple[int, int]  # width, height of the enlarged frames, pixels
    versions: tuple[str, ...]
    times_s: tuple[float, ...]  # of the frames, after the first of the video
    quality: int | None  # of the page's WebP pictures; None: exact
    seconds: float  # wall time
    frame_seconds: Mapping[str, float]  # of computing one frame, by version; empty for compare
    measures: Mapping[str, Mapping[str, float | None]]  # means, by video; empty for sample
    clip: str | None  # the side-by-side video

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def summary(self) -> str:
        """A few lines for a person."""
        count = len(self.times_s)
        lines = [
            f"{self.page}: {count} frame{'s' * (count != 1)} of {self.size[0]}x{self.size[1]}, "
            f"{', '.join(self.versions)}; {self.bytes / 1e6:.1f} MB, "
            f"{self.pictures} PNG files beside it, in {self.seconds:.1f} s"
        ]
        for name, means in self.measures.items():
            lines.append(f"{name}: PSNR {means['psnr_db']:.2f} dB, SSIM {means['ssim']:.4f} on average")
        if self.clip is not None:
            lines.append(f"{self.clip}: the same, moving, side by side")
        lines.append("open it in a browser; it needs no network")
        return "\n".join(lines)


def publish(
    album: Album,
    page: Page,
    shots: Sequence[Shot],
    packed: Packed,
    began: float,
    *,
    frame_seconds: Mapping[str, float] | None = None,
    measures: Mapping[str, Mapping[str, float | None]] | None = None,
    clip: str | None = None,
) -> PageReport:
    """Put the page in place, and say what is on it; `began` is when, by `time.perf_counter`.

    `shots` are the frames on it, `packed` their pictures as the page has them.
    Raises UsageError where the page would be too large, and OutputError where it cannot be written.
    """
    height, width = page.size
    return PageReport(
        page=str(album.page),
        bytes=album.write(page),
        pictures=sum(len(shot.files) for shot in shots),
        size=(width, height),
        versions=page.versions,
        times_s=tuple(float(shot.time_s) for shot in shots),
        quality=packed.quality,
        seconds=time.perf_counter() - began,
        frame_seconds=frame_seconds or {},
        measures=measures or {},
        clip=clip,
    )
