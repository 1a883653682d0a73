"""Encoding frames into one closed segment: a video file and the record that makes it count.

A segment begins with a keyframe and refers to nothing outside. Its file is a carrier of packets; the
truth about time is in the record beside it, because no container keeps every integer time base and every
start. The encoder itself sees frame numbers for times (see `Encoding.open`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidsr.errors import OutputError
from vidsr.frames import FrameBatch, VideoInfo
from vidsr.video.durable import disk_errors, part_path, put_in_place, sha256_of, write_whole
from vidsr.video.encoder_frames import FrameMaker
from vidsr.video.encoder_kinds import KINDS
from vidsr.video.encoders import Encoding, encoder_reason, nominal_rate
from vidsr.video.frame_score import FrameScore
from vidsr.video.replay import Replay

MAX_REORDER = 16
"""Frames that a packet may be ahead of its turn: H.264 and HEVC hold no more pictures (H.264 A.3.1)."""

RECORD_FORMAT = 2
"""Version of the record's JSON; another one is taken for a segment that was never written."""


@dataclass(frozen=True)
class SegmentRecord:
    """What a finished segment holds; it lies beside the segment as JSON and is written last."""

    frames: int
    pts: tuple[int, ...]  # presentation times in ticks of time_base, rising: the only true ones
    durations: tuple[int, ...]  # ticks, one for each pts; 0 where unknown
    time_base: Fraction  # seconds per tick
    reorder_depth: int  # greatest of (place in decoding order - place in presentation order)
    bytes: int  # size of the segment's file
    sha256: str  # of the segment's file
    extradata_sha256: str  # of the codec's headers: equal in all segments that can be joined
    encoder: str  # FFmpeg's name
    decode_errors: int = 0  # met in the source while these frames were read
    # By place, how faithful frames are to the input once encoded (see video.frame_score). Of large
    # frames one in several has a score; none has where the input was not at hand.
    scores: Mapping[int, FrameScore] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> SegmentRecord | None:
        """Read a record; None where there is none that can be understood."""
        try:
            plain = json.loads(path.read_bytes())
            if plain.pop("format") != RECORD_FORMAT:
                return None
            plain["pts"], plain["durations"] = tuple(plain["pts"]), tuple(plain["durations"])
            plain["time_base"] = Fraction(plain["time_base"])
            plain["scores"] = {int(k): FrameScore.from_json(v) for k, v in plain["scores"].items()}
            record = cls(**plain)
        except (OSError, ArithmeticError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return record if record.frames == len(record.pts) == len(record.durations) else None

    def save(self, path: Path) -> None:
        """Write the record whole and synced. Raises OutputError if the disk refuses."""
        scores = {place: score.to_json() for place, score in self.scores.items()}
        plain = {
            "format": RECORD_FORMAT,
            **asdict(self),
            "time_base": str(self.time_base),
            "scores": scores,
        }
        write_whole(path, json.dumps(plain).encode())


def record_path(segment: Path) -> Path:
    """Where the record of a segment's file lies."""
    return segment.with_suffix(".json")


class VideoWriter:
    """Write one segment; use as a context manager.

    On leaving without an error the segment's file and its record exist and are on the disk; after an
    error neither does. A segment without frames is a file of headers alone and a record that says so.

    Raises OutputError, naming the file, for everything that the encoder or the disk refuses.
    """

    decode_errors: int
    """Errors of the source to note in the record; the caller adds to it."""

    def __init__(self, path: Path, info: VideoInfo, encoding: Encoding) -> None:
        """Open the encoder and a file beside `path`.

        Args:
            path: the segment's file; its folder exists.
            info: the video to write: size, time base, pixel shape, average rate.
            encoding: how; its colour is that of the frames to come.
        """
        self.decode_errors = 0
        self._path, self._info, self._encoding = path, info, encoding
        self._part = part_path(path)
        self._pts: list[int] = []
        self._durations: list[int] = []
        self._ranks: list[int] = []  # presentation order of the packets, in decoding order
        self._replay: Replay | None = None
        self._frames = FrameMaker(path, info, encoding)
        self._container: OutputContainer | None = None
        try:
            with self._errors():
                self._stream = self._open()
        except BaseException:
            self._discard()
            raise

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException:
            self._discard()
            raise

    def write(self, batch: FrameBatch, source: FrameBatch | None = None) -> None:
        """Encode the next frames, in order; the planes must lie in main memory.

        With `source`, the frames of the input that each of these was made from, what was encoded is
        decoded again and its scores are noted in the record; then all frames of the segment need one.
        (Of an encoder that vidsr does not know nobody knows whether its frames can be decoded.)

        Raises:
            ValueError: frames of another size, colour layout or time base, or times that do not rise.
            OutputError: the encoder or the disk refuses.
        """
        if self._pts and batch.pts and batch.pts[0] <= self._pts[-1]:
            raise ValueError(f"pts {batch.pts[0]} after {self._pts[-1]}")
        if source is not None and self._replay is None and self._encoding.encoder in KINDS:
            color = self._encoding.color
            self._replay = Replay(self._encoding.codec, self._stream.codec_context, color)
        sources = None if source is None else list(source.split(1))
        for index, frame in enumerate(self._frames.make(batch)):
            if self._replay is not None and sources is not None:
                self._replay.expect(len(self._pts), sources[index])
            self._pts.append(batch.pts[index])
            self._durations.append(batch.durations[index] if batch.durations else 0)
            with self._errors():
                self._encode(frame)

    def _open(self) -> VideoStream:
        self._container = av.open(
            str(self._part),
            "w",
            format=self._encoding.segment_format,
            # Times before zero are for the joiner to deal with; moved ones would differ per segment.
            container_options={"avoid_negative_ts": "disabled"},
        )
        stream = self._container.add_stream(self._encoding.encoder, rate=nominal_rate(self._info))
        assert isinstance(stream, VideoStream)
        self._encoding.open(stream.codec_context, self._info)
        stream.time_base = self._ticks
        self._container.start_encoding()
        return stream

    @property
    def _ticks(self) -> Fraction:
        """The time base of the segment's file: the source's in NUT, which keeps any, else frames."""
        in_nut = self._encoding.segment_format == "nut"
        return self._info.time_base if in_nut else 1 / nominal_rate(self._info)

    def _encode(self, frame: VideoFrame | None) -> None:
        if frame is not None:
            frame.pts, frame.time_base = len(self._pts) - 1, 1 / nominal_rate(self._info)
        for packet in self._stream.codec_context.encode(frame):
            self._mux(packet)

    def _mux(self, packet: Packet[Any]) -> None:
        """Write a packet under its true time, counted from the segment's first frame."""
        assert self._container is not None
        if packet.pts is None or not 0 <= packet.pts < len(self._pts):
            raise OutputError(f"{self._path}: {self._encoding.encoder} gave a packet of no frame")
        if self._replay is not None:
            self._replay.feed(packet)
        rank, place = packet.pts, len(self._ranks)
        self._ranks.append(rank)
        times = self._pts if self._encoding.segment_format == "nut" else range(len(self._pts))
        # Muxers want decoding times that rise and are at most the pts; a delay of MAX_REORDER always is.
        behind = place - MAX_REORDER
        packet.pts = times[rank] - times[0]
        packet.dts = times[behind] - times[0] if behind >= 0 else behind
        packet.duration = self._durations[rank] if times is self._pts else 1
        packet.time_base = self._ticks
        packet.stream = self._stream
        self._container.mux_one(packet)

    def _finish(self) -> None:
        assert self._container is not None
        with self._errors():
            self._encode(None)
            headers = self._stream.codec_context.extradata or b""
            scores = {} if self._replay is None else self._replay.finish()
            self._container.close()
        self._container = None
        if sorted(self._ranks) != list(range(len(self._pts))):
            raise OutputError(
                f"{self._path}: {self._encoding.encoder} gave {len(self._ranks)} packets "
                f"for {len(self._pts)} frames; choose another --codec"
            )
        if self._replay is not None and self._replay.frames != len(self._pts):
            raise OutputError(
                f"{self._path}: of {len(self._pts)} frames that {self._encoding.encoder} wrote "
                f"{self._replay.frames} decode; choose another --codec"
            )
        with disk_errors(self._path):
            record = SegmentRecord(
                frames=len(self._pts),
                pts=tuple(self._pts),
                durations=tuple(self._durations),
                time_base=self._info.time_base,
                reorder_depth=max((place - rank for place, rank in enumerate(self._ranks)), default=0),
                bytes=self._part.stat().st_size,
                sha256=sha256_of(self._part),
                extradata_sha256=hashlib.sha256(headers).hexdigest(),
                encoder=self._encoding.encoder,
                decode_errors=self.decode_errors,
                scores=scores,
            )
            record_path(self._path).unlink(missing_ok=True)  # of an earlier file under this name
        put_in_place(self._part, self._path)
        record.save(record_path(self._path))

    def _discard(self) -> None:
        if self._container is not None:
            with suppress(FFmpegError):  # the error that led here is the one to tell
                self._container.close()
            self._container = None
        for path in (self._part, self._path, record_path(self._path)):
            path.unlink(missing_ok=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with disk_errors(self._path):
                yield
        except FFmpegError as error:
            raise OutputError(
                f"{self._path}: {self._encoding.encoder} failed: {encoder_reason(error)}"
            ) from error
