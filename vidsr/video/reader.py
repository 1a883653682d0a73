"""Reading a video: batches of frames as the codec has them, each with its own time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from av.video.frame import VideoFrame

from vidsr.config import HwAccel
from vidsr.errors import BackendUnavailable, InputError
from vidsr.frames import FrameBatch, VideoInfo
from vidsr.video.batching import BatchBuilder
from vidsr.video.card import CardDecoding, CardFailed, CardOpener, check_card
from vidsr.video.decoding import Decoding
from vidsr.video.deinterlace import RUN_UP, deinterlace
from vidsr.video.excerpt import Excerpt, ExcerptDecoding
from vidsr.video.probe import chroma_siting, probe
from vidsr.video.source import main_video_stream, open_input
from vidsr.video.timeline import FrameClock, Timeline, scan_timeline
from vidsr.video.uniform import Uniform

__all__ = ["VideoReader", "open_input"]

PROBE_FRAMES = 25
"""Frames looked at for interlacing, and compared with a card's: about a second."""

ALWAYS_PROGRESSIVE = frozenset(["vp8", "vp9", "av1", "theora", "gif", "apng", "webp"])
"""Codecs that know no fields; one frame is enough to describe them."""


class VideoReader:
    """A video stream as batches of planes; a context manager.

    Opening it reads all packets of the stream once (the timeline) and decodes its first frames. After
    that `batches` may be called any number of times, also at once from several threads: each call has
    a decoder of its own and gives the same frames, bit for bit, wherever it begins.
    """

    def __init__(
        self,
        path: Path,
        *,
        video_stream: int | None = None,
        deinterlace: bool = True,
        threads: int = 0,
        hwaccel: HwAccel = "none",
        card: CardOpener = CardDecoding,
    ) -> None:
        """Open `path`; `video_stream` counts from 0 over its video streams, None is the default one.

        `deinterlace` makes interlaced content progressive (a stream that is progressive stays
        untouched); `threads` are the decoder's, 0 as many as there are processors. `hwaccel` asks for a
        card's decoder: "auto" says in `notices` why it is not taken, "cuda" will have no other. Frames
        are the same with either. `card` opens it.

        Raises:
            InputError: the file is not there, is not a video, or nothing in it can be decoded; or
                `hwaccel` is "cuda", and a card cannot decode this one.
            BackendUnavailable: `hwaccel` is "cuda", and there is no card.
        """
        self.path = path
        self.errors = 0  # packets and frames found damaged by `batches` so far
        self.converted = 0  # frames brought to the first one's format or range by `batches` so far
        self.woven = 0  # interlaced frames that `batches` has given as they are so far
        self._threads = threads
        self._excerpt: Excerpt | None = None
        self._open_card = card
        self.notices: list[str] = []  # about what decodes; more may come while it does
        with open_input(path) as container:
            index = main_video_stream(container, path, video_stream).index
        self.timeline: Timeline = scan_timeline(path, index)
        with self._decoding(index, threads) as decoding:
            one_does = hwaccel == "none" and decoding.codec in ALWAYS_PROGRESSIVE
            first = self._first_frames(decoding, 1 if one_does else PROBE_FRAMES)
            siting = chroma_siting(decoding.stream)
            self.info: VideoInfo = probe(decoding, first, siting, self.timeline)
        self.deinterlacing = deinterlace and self.info.interlaced
        self.on_card = hwaccel != "none" and self._card_serves(first, hwaccel)

    @classmethod
    def of_excerpt(cls, excerpt: Excerpt, *, threads: int = 0) -> Self:
        """A reader of a piece, which knows of the file what `excerpt` found there; nothing is probed."""
        reader = cls.__new__(cls)
        reader.path = excerpt.path
        reader.errors = reader.converted = reader.woven = 0
        reader.notices, reader.on_card = [], False
        reader.timeline, reader.info = excerpt.timeline, excerpt.info
        reader.deinterlacing = excerpt.deinterlacing
        reader._threads, reader._excerpt = threads, excerpt
        return reader

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held between calls of `batches`, which closes what it opens."""

    def batches(
        self,
        size: int,
        *,
        start_pts: int | None = None,
        end_pts: int | None = None,
        cuts: Sequence[int] = (),
    ) -> Iterator[FrameBatch]:
        """Give all frames with start_pts <= pts < end_pts, in order, in batches of at most `size`.

        Times are in ticks of `info.time_base`; None is the beginning or the end. A batch ends before
        each of the rising times `cuts`, so that segments which follow each other need one decoder only.

        Raises:
            InputError: the frames change their size in the middle.
        """
        batch = BatchBuilder(self.info, size)
        for frame, time in self._frames(start_pts):
            if end_pts is not None and time >= end_pts:
                break
            if start_pts is not None and time < start_pts:
                continue
            if batch.times and (
                batch.full or bisect_right(cuts, batch.times[-1]) < bisect_right(cuts, time)
            ):
                yield batch.take()
                batch = BatchBuilder(self.info, size)
            batch.add(frame, time)
        if batch.times:
            yield batch.take()

    def _frames(self, start: int | None) -> Iterator[tuple[VideoFrame, int]]:
        """Frames with their times from `start` or somewhat earlier on, uniform and progressive."""
        frames = self._timed_frames(start)
        return deinterlace(frames) if self.deinterlacing else frames

    def _timed_frames(self, start: int | None) -> Iterator[tuple[VideoFrame, int]]:
        if not self.on_card:
            yield from self._from_software(start)
            return
        last = None
        try:
            for frame, time in self._pass(start, self._card):
                yield frame, time
                last = time
        except CardFailed as error:
            self.on_card = False
            self.notices.append(f"{self.path}: decoding went on in software: {error}")
        if last is None or last < self.timeline.pts[-1]:
            for frame, time in self._from_software(start if last is None else last):
                if last is None or time > last:
                    yield frame, time

    def _from_software(self, start: int | None) -> Iterator[tuple[VideoFrame, int]]:
        timeline = self.timeline
        last = yield from self._pass(start, lambda: self._software(self._threads))
        if last is None or last >= timeline.pts[-1] or self._threads == 1:
            return
        # Frames at the end are wanting. PyAV stops emptying a decoder at the first error, which with
        # several threads comes only then: the good frames behind it are lost. One thread has its errors
        # at once, so a second pass over the end finds what there is.
        errors = self.errors
        for frame, time in self._pass(max(last, start or last), lambda: self._software(1)):
            if time > last:
                yield frame, time
        self.errors = errors

    def _pass(
        self, start: int | None, open_decoding: Callable[[], Decoding]
    ) -> Generator[tuple[VideoFrame, int], None, int | None]:
        """One decoder's frames from `start` or somewhat earlier on; returns the time of the last."""
        if start is not None and start > self.timeline.start:
            with open_decoding() as decoding:
                packets = decoding.packets_from(start, self.timeline, run_up=RUN_UP)
                if packets is not None:
                    return (yield from self._timed(decoding.frames(packets), decoding, start))
        with open_decoding() as decoding:
            missing = self.timeline.clock == "missing"
            packets = decoding.numbered_packets() if missing else decoding.packets()
            return (yield from self._timed(decoding.frames(packets), decoding, start))

    def _timed(
        self, frames: Iterator[VideoFrame], decoding: Decoding, start: int | None
    ) -> Generator[tuple[VideoFrame, int], None, int | None]:
        clock = FrameClock(self.timeline)
        uniform = Uniform(self.info, decoding)
        counted = 0
        time = None
        for frame in frames:
            time = clock.time(frame.pts, keyframe=frame.key_frame)
            if start is None or time >= start:  # what the run-up meets was counted where it belongs
                self.errors += decoding.damage - counted
            counted = decoding.damage
            self.woven += frame.interlaced_frame and not self.deinterlacing
            yield uniform(frame, time), time
            self.converted += uniform.take_converted()
        self.errors += decoding.damage - counted
        return time

    def _software(self, threads: int) -> Decoding:
        return self._decoding(self.info.stream_index, threads)

    def _decoding(self, index: int, threads: int) -> Decoding:
        if self._excerpt is not None:
            return ExcerptDecoding(self._excerpt, threads=threads)
        return Decoding(self.path, index, reorder=self.timeline.reorder, threads=threads)

    def _card(self) -> CardDecoding:
        info = self.info
        return self._open_card(
            self.path, info.stream_index, info.pixel_format, reorder=self.timeline.reorder
        )

    def _first_frames(self, decoding: Decoding, wanted: int) -> list[VideoFrame]:
        frames = list(islice(decoding.frames(), wanted))
        if not frames:
            raise InputError(
                f"{self.path}: no frame of video stream {decoding.stream.index} ({decoding.codec})"
                " can be decoded"
            )
        return frames

    def _card_serves(self, first: Sequence[VideoFrame], hwaccel: HwAccel) -> bool:
        """Whether a card decodes the stream as software decoded its `first` frames."""
        try:
            if self.timeline.corrupt:
                raise CardFailed("the file is damaged, and decoders differ in mending it")
            check_card(self.info, self._card, first)
        except (BackendUnavailable, CardFailed) as reason:
            if hwaccel == "cuda":
                here = isinstance(reason, CardFailed)  # of this file, not of the machine
                told = f"{self.path}: --hwaccel cuda: {reason}; leave it out"
                raise (InputError if here else BackendUnavailable)(told) from reason
            self.notices.append(f"decoding in software: {reason}")
            return False
        return True
