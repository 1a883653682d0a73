"""Two videos walked through together, and how close the frames of the one are to the other's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vidsr.evaluation.flicker import flicker_step
from vidsr.evaluation.lpips import Lpips
from vidsr.evaluation.metrics import luma
from vidsr.evaluation.pairing import pair_by_time, tolerance
from vidsr.evaluation.pictures import rgb_floats, to_bytes
from vidsr.evaluation.report import FrameScore
from vidsr.frames import FrameBatch
from vidsr.pipelines.scoring import score
from vidsr.pipelines.segment import Reader
from vidsr.video.reader import VideoReader
from vidsr.video.resample import imresize
from vidsr.video.sequences import DEFAULT_RATE, SequenceReader, is_sequence

READ_AHEAD = 4  # frames decoded at a time from each video


def open_together(paths: Sequence[Path]) -> tuple[Reader, ...]:
    """Open videos, or numbered pictures (frames/%05d.png), which take the others' frame rate."""
    videos = {path: VideoReader(path) for path in paths if not is_sequence(path)}
    known = (video.info.frame_rate for video in videos.values())
    rate = next((each for each in known if each is not None), DEFAULT_RATE)
    return tuple(videos[path] if path in videos else SequenceReader(path, rate=rate) for path in paths)


class PairedVideos:
    """The frames of two videos that have the same time, in order, as batches of one each.

    May be iterated once; `unpaired` then says how many frames of each had no partner.
    """

    def __init__(self, reference: Reader, distorted: Reader) -> None:
        self.unpaired = {"reference": 0, "distorted": 0}
        self._pairs = pair_by_time(
            reference.batches(READ_AHEAD),
            distorted.batches(READ_AHEAD),
            tolerance(reference.info.time_base, distorted.info.time_base),
        )

    def __iter__(self) -> Iterator[tuple[FrameBatch, FrameBatch]]:
        for pair in self._pairs:
            if pair.reference is None or pair.distorted is None:
                self.unpaired["reference" if pair.distorted is None else "distorted"] += 1
            else:
                yield pair.reference, pair.distorted


def score_frames(
    pairs: Iterable[tuple[FrameBatch, FrameBatch]],
    device: torch.device,
    *,
    border: int = 0,
    perceptual: Lpips | None = None,
    size: tuple[int, int] | None = None,
    chosen: Callable[[int], bool] = lambda number: True,
) -> Iterator[tuple[int, FrameScore]]:
    """Score pairs of frames (reference, distorted), each with the reference's time in ticks.

    Only pairs whose number, from 0, is `chosen` are scored, and flicker is that from the pair just
    before. Frames that are not of `size` (height, width) are enlarged to it by Lanczos' filter first.
    """

    def rgb(frame: FrameBatch) -> Tensor:
        floats = rgb_floats(frame, device)
        if size is None or frame.size == size:
            return floats
        return to_bytes(imresize(floats, size=size, kernel="lanczos3"))

    before: tuple[FrameBatch, FrameBatch] | None = None
    lumas: tuple[Tensor, Tensor] | None = None  # of `before`, where they are known
    for number, pair in enumerate(pairs):
        if chosen(number):
            hr, sr = map(rgb, pair)
            now = luma(hr), luma(sr)
            step = None
            if before is not None:
                then = lumas or (luma(rgb(before[0])), luma(rgb(before[1])))
                step = flicker_step((then[0], now[0]), (then[1], now[1]), border=border)
            lumas = now
            time_s = float(pair[0].pts[0] * pair[0].time_base)
            found = score(sr, hr, border=border, perceptual=perceptual)
            yield pair[0].pts[0], FrameScore(time_s, found, step)
        else:
            lumas = None
        before = pair
