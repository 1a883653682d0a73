"""What the tests of joining and proving share: segments made by the real writer, and a whole join."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from vidsr.config import EncodeConfig
from vidsr.frames import VideoInfo
from vidsr.video.encoders import resolve_encoding
from vidsr.video.proof import ProofReport, prove
from vidsr.video.reader import VideoReader
from vidsr.video.remux import RemuxPlan, join, plan_remux
from vidsr.video.writer import VideoWriter

FAST = EncodeConfig(crf=30, preset="ultrafast", options=(("bf", "2"),), threads=1)
CLIPS = Path(__file__).parents[2].parent / "shared" / "clips"


@dataclasses.dataclass(frozen=True)
class Joined:
    """A source, its segments and what became of them."""

    source: Path
    result: Path
    plan: RemuxPlan
    pts: tuple[int, ...]
    time_base: Fraction
    segments: tuple[Path, ...]

    def prove(self, result: Path | None = None, decode_errors: int = 0) -> ProofReport:
        """Prove the result, or another file in its place."""
        return prove(
            self.source,
            result or self.result,
            self.plan,
            self.pts,
            self.time_base,
            source_pts=self.pts,
            decode_errors=decode_errors,
        )


def write_segments(
    source: Path, folder: Path, target: Path, *, frames: int = 5, encode: EncodeConfig = FAST
) -> tuple[list[Path], VideoInfo, tuple[int, ...], str]:
    """The source's video in its own size, as segments of some frames: (files, info, times, codec)."""
    folder.mkdir(parents=True, exist_ok=True)
    with VideoReader(source, threads=1) as reader:
        encoding = resolve_encoding(reader.info, target, encode)
        segments: list[Path] = []
        for number, batch in enumerate(reader.batches(frames)):
            path = folder / f"{number:06d}{encoding.segment_suffix}"
            with VideoWriter(path, reader.info, encoding) as writer:
                writer.write(batch)
            segments.append(path)
        info = dataclasses.replace(reader.info, color=encoding.color)
        return segments, info, reader.timeline.pts, encoding.encoder


def join_clip(
    source: Path,
    target: Path,
    *,
    frames: int = 5,
    encode: EncodeConfig = FAST,
    drop_incompatible: bool = False,
    main_stream: int | None = None,
    shape: Fraction | None = None,
) -> Joined:
    """Plan, encode and join one source into `target`."""
    segments, info, pts, encoder = write_segments(
        source, target.with_suffix(".segments"), target, frames=frames, encode=encode
    )
    main = info.stream_index if main_stream is None else main_stream
    plan = plan_remux(source, main, target, info, encoder, drop_incompatible=drop_incompatible)
    join(plan, segments, target)
    return Joined(source, target, plan, pts, info.time_base, tuple(segments))


def times_s(pts: Sequence[int], time_base: Fraction) -> list[float]:
    """Ticks as seconds."""
    return [float(tick * time_base) for tick in pts]
