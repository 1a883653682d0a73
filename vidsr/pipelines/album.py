"""A page with its pictures: where they go, and how the one is made of the others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from torch import Tensor

from vidsr.errors import OutputError, UsageError
from vidsr.evaluation.page import Link, Moment, Page, render_page
from vidsr.evaluation.page_pictures import PAGE_BYTES, Packed, pack_pictures, thumbnail
from vidsr.frames import ColorSpec, FrameBatch, upright
from vidsr.progress import Progress
from vidsr.video.color import to_planes, to_rgb
from vidsr.video.durable import disk_errors, write_whole
from vidsr.video.hdr_params import HLG, PQ
from vidsr.video.resample import imresize
from vidsr.video.stills import write_still

PAGE_NAME = "index.html"


@dataclass(frozen=True)
class Album:
    """A page, and the folder that its pictures lie in as PNG files."""

    page: Path
    folder: Path

    @classmethod
    def choose(cls, output: Path | None, default: str, *, overwrite: bool) -> Album:
        """`output` is a folder, or a page's name, whose pictures then go to NAME_files beside it.

        Makes no folder yet. Raises OutputError where the page is there already, or its folder's parent
        is not.
        """
        wanted = output if output is not None else Path(default)
        if wanted.suffix.lower() in (".html", ".htm"):
            album = cls(wanted, wanted.with_name(f"{wanted.stem}_files"))
        else:
            album = cls(wanted / PAGE_NAME, wanted)
        for folder in (album.folder, album.page.parent):
            if folder.exists() and not folder.is_dir():
                raise OutputError(f"{folder}: is a file; give the name of a folder or of a page (.html)")
        if not album.folder.absolute().parent.is_dir():
            raise OutputError(f"{album.folder.parent}: no such directory; make it first")
        if album.page.exists() and not overwrite:
            raise OutputError(f"{album.page}: exists already; take another --output, or --overwrite")
        return album

    def make(self) -> None:
        """Make the folder, where it is not there."""
        with disk_errors(self.folder):
            self.folder.mkdir(exist_ok=True)

    def picture(self, index: int, name: str) -> Path:
        """The file of a frame, counted from 0, in the version of this name."""
        plain = re.sub(r"[^\w.-]+", "_", name).strip("._") or "picture"
        return self.folder / f"{index:06d}_{plain}.png"

    def link(self, file: Path, text: str) -> Link:
        """A link from the page to a file in its folder."""
        return Link(f"{text} ({file.name})", quote(os.path.relpath(file, self.page.parent)))

    def write(self, page: Page) -> int:
        """Put the page in place, whole; returns its bytes."""
        data = render_page(replace(page, made_by=f"Made by vidsr {version('vidsr-cli')}")).encode()
        if len(data) > PAGE_BYTES:
            raise UsageError(
                f"{self.page}: the page would take {len(data) / 1e6:.1f} MB, {PAGE_BYTES // 1_000_000} "
                "are the most: take fewer --frames, or fewer models"
            )
        write_whole(self.page, data)
        return len(data)


@dataclass(frozen=True)
class Shot:
    """A frame of a video that is on a page, as files."""

    index: int  # in the video, from 0
    time_s: Fraction  # after the first frame
    note: str  # why it is here, where there is a reason: "worst PSNR of A"
    files: tuple[Path, ...]  # one for each version


def lay_out(
    shots: Sequence[Shot], size: tuple[int, int], progress: Progress
) -> tuple[tuple[Moment, ...], Packed]:
    """The moments of a page from the files of its frames; `size` is (height, width), enlarged."""
    packed = pack_pictures([shot.files for shot in shots], size, progress=progress)
    moments = tuple(
        Moment(
            float(shot.time_s),
            clock(shot.time_s),
            f"frame {shot.index}" + (f", {shot.note}" if shot.note else ""),
            window,
            pictures,
            thumbnail(shot.files[-1]),
        )
        for shot, window, pictures in zip(shots, packed.windows, packed.moments, strict=True)
    )
    return moments, packed


def honesty(packed: Packed, size: tuple[int, int], color: ColorSpec) -> list[str]:
    """What the page does not show as it is, in words: compression, parts, HDR."""
    height, width = size
    notes = []
    if packed.quality is None:
        notes.append("Every picture is on this page exactly as it was computed (lossless WebP).")
    else:
        notes.append(
            f"Pictures on this page are WebP of quality {packed.quality}, to keep it small; those with "
            "the input's own pixels are exact. The PNG files beside the page are exact."
        )
    if packed.windows and packed.windows[0][2:] != (width, height):
        part = packed.windows[0]
        notes.append(
            f"Frames of {width}x{height} would make the page too large: it shows the {part[2]:.0f}x"
            f"{part[3]:.0f} pixels with most detail of each. The PNG files show all."
        )
    if color.transfer in (PQ, HLG):
        notes.append("The video is HDR: shown without tone mapping, it looks paler here than it is.")
    return notes


def clock(seconds: Fraction) -> str:
    """A time as players show it, to the millisecond: 0:05.280, 1:02:03.500."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{rest:02d}.{thousandths:03d}"


def rgb_color(color: ColorSpec) -> ColorSpec:
    """The colour of planes that keep RGB of this source without loss: 8 bits, or 16 for deeper video."""
    return replace(
        color,
        matrix="rgb",
        range="full",
        depth=8 if color.depth == 8 else 16,
        subsampling=(1, 1),
        alpha=False,
    )


def rgb_frame(rgb: Tensor, like: FrameBatch) -> FrameBatch:
    """(1, H, W, 3) RGB, uint8 or floating in [0, 1], as planes at the time of a frame."""
    color = rgb_color(like.color)
    return replace(like, planes=tuple(to_planes(rgb, color)), color=color)


def lanczos_frame(frame: FrameBatch, size: tuple[int, int]) -> FrameBatch:
    """A frame enlarged to (height, width) by Lanczos' filter with three lobes, as RGB planes."""
    rgb = to_rgb(frame.tensors()).permute(0, 3, 1, 2)
    deep = rgb.is_floating_point()
    enlarged = imresize(rgb.float(), size=size, kernel="lanczos3").permute(0, 2, 3, 1)
    if not deep:
        enlarged = enlarged / 255
    return rgb_frame(enlarged.clamp(0, 1), frame)


def upright_shape(
    size: tuple[int, int], aspect: Fraction, rotation: int
) -> tuple[tuple[int, int], Fraction]:
    """(height, width) and shape of a pixel (width over height) after turning by `rotation` degrees."""
    return (size, aspect) if rotation % 180 < 45 else ((size[1], size[0]), 1 / aspect)


def save_upright(path: Path, frame: FrameBatch, rotation: int) -> None:
    """Write a frame as PNG, turned as players turn it; `rotation` in degrees counter-clockwise."""
    if frame.color.matrix != "rgb":
        frame = rgb_frame(to_rgb(frame), frame)
    planes = tuple(upright(plane, rotation) for plane in frame.planes)
    write_still(path, replace(frame, planes=planes))


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """The same names, those that come again with a number behind them."""
    found: list[str] = []
    for name in names:
        number = 2
        candidate = name
        while candidate in found:
            candidate = f"{name} ({number})"
            number += 1
        found.append(candidate)
    return tuple(found)
