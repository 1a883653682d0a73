"""Proving that a finished file is what the source demands, before it gets its name.

The file is opened as any player would, and everything in it is compared with the source, which is read
again too: nothing that the joiner remembers is believed, only what the plan promised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, zip_longest
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import AttachmentStream, Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidsr.errors import InputError, ProofError
from vidsr.progress import Finished, Progress, Started, silent
from vidsr.video.color_tags import ColorTags
from vidsr.video.heads import codec_name, first_packets
from vidsr.video.plan import (
    RemuxPlan,
    StreamPlan,
    file_tags,
    matched_streams,
    missing_tags,
    stream_tags,
)
from vidsr.video.probe import display_matrix
from vidsr.video.provenance import history_in
from vidsr.video.scan import StreamScan, scan_streams
from vidsr.video.source import open_input

MILLISECOND = Fraction(1, 1000)
"""How far any packet may lie from its time in the source, against the video: what the ear forgives is
twenty times as much, but nothing here has a reason to be off by more than a clock's rounding."""

LOST_PER_ERROR = 300
"""Frames that one damaged packet may cost, up to the next keyframe: ten seconds between keyframes is
what encoders allow by default. What a decoder gives meanwhile may have times of its own making."""

_STEPS_BACK_S = (0, 5, 30, 10**6)  # where decoding begins in search of the last frame, before it

# The containers that can say how much of a stream's first and last packet is not to be heard.
_TELL_THE_ENDS_OF_SOUND = ("mp4", "mov", "matroska", "webm")

_EDIT_LISTS = ("mp4", "mov")

_UNTAGGED = ColorTags(2, 2, 2, 0)

# MP4's object types (ISO 14496-1, table 5) tell MPEG audio from others, and not its layers apart.
_ALIASES = {"mp1": "mp3", "mp2": "mp3"}


@dataclass(frozen=True)
class ProofReport:
    """What was compared, and how far it was off."""

    frames: int  # of the upscaled video, each at its time
    missing_frames: int  # of the source, which its damaged packets did not give
    time_error_s: float  # largest of a frame, from the rounding of the container's clock
    streams: int  # kept besides the video
    packets: int  # copied or converted
    bytes: int  # compared by digest
    sync_error_s: float  # largest of a packet of the other streams
    chapters: int
    attachments: int
    duration_s: float  # from the first frame to the end of the last
    checks: tuple[str, ...]  # what was found to be right, in words


def prove(
    source: Path,
    result: Path,
    plan: RemuxPlan,
    expected_pts: Sequence[int],
    time_base: Fraction,
    *,
    source_pts: Sequence[int] | None = None,
    decode_errors: int = 0,
    provenance: str = "",
    progress: Progress = silent,
) -> ProofReport:
    """Compare a joined file with its source and with what was planned.

    `expected_pts` are the times of all upscaled frames in ticks of `time_base`, rising; `source_pts`,
    in the same ticks, those that the source's packets promise, or None where they promise nothing.
    Without `decode_errors` there must be neither more nor fewer frames than that; an error costs some.
    `provenance` is what the file must say of how it was made.

    Raises ProofError, naming the file, with the first thing that is wrong; InputError if the source
    cannot be opened.
    """
    if not expected_pts:
        raise ProofError(f"{result}: there is not one frame to expect")
    proof = _Proof(source, result, plan)
    progress(Started("prove", None))
    missing = proof.frames_of_source(expected_pts, source_pts, decode_errors)
    try:
        with open_input(source) as old, open_input(result, xmp=True) as new:
            proof.tracks(old, new)
            matched = matched_streams(plan, new)
            indices = {stream.index for stream in plan.kept}
            before = scan_streams(old, indices - {plan.main_stream})
            after = scan_streams(new, {stream.index for stream in matched.values()})
            video = after[matched[plan.main_stream].index]
            time_error = proof.video_times(video, expected_pts, time_base)
            sync_error = Fraction(0)
            for stream in plan.kept:
                if stream.index != plan.main_stream:
                    found = after[matched[stream.index].index]
                    sync_error = max(sync_error, proof.copied(stream, before[stream.index], found))
            proof.chapters(old, new)
            attachments = proof.attachments(old, new)
            copies = [after[matched[index].index] for index in before]
            proof.says(provenance, new)
        with open_input(result) as new:
            main = matched_streams(plan, new)[plan.main_stream]
            proof.pictures(new, main, max(video.pts) * video.time_base)
    except InputError as error:
        if str(error).startswith(str(result)):
            raise ProofError(f"{error}; it was not put in place") from error
        raise
    except av.FFmpegError as error:
        raise proof.wrong(f"cannot be read back: {error}") from error
    progress(Finished("prove"))
    return ProofReport(
        frames=len(expected_pts),
        missing_frames=missing,
        time_error_s=float(time_error),
        streams=len(copies),
        packets=sum(scan.packets for scan in copies),
        bytes=sum(scan.size for scan in copies),
        sync_error_s=float(sync_error),
        chapters=plan.chapters,
        attachments=attachments,
        duration_s=float((video.end or 0) - (video.first or 0)),
        checks=tuple(proof.checks),
    )


class _Proof:
    """The single comparisons; each raises ProofError, or is entered in `checks`."""

    def __init__(self, source: Path, result: Path, plan: RemuxPlan) -> None:
        self.source, self.result, self.plan = source, result, plan
        self.checks: list[str] = []

    def wrong(self, reason: str) -> ProofError:
        """The error that says what differs."""
        return ProofError(f"{self.result}: {reason}; it was not put in place")

    def says(self, provenance: str, new: InputContainer) -> None:
        """The file tells how it was made."""
        if provenance:
            found = history_in(new.metadata)
            if found != provenance:
                raise self.wrong(f"it says {found!r} of how it was made, not {provenance!r}")
            self.checks.append("how it was made")

    def frames_of_source(
        self, expected: Sequence[int], promised: Sequence[int] | None, decode_errors: int
    ) -> int:
        """All frames that the source promises were upscaled, but for those it could not give."""
        if promised is None:
            return 0
        strange = sorted(set(expected) - set(promised))
        if strange and not decode_errors:
            raise self.wrong(
                f"{len(strange)} frames at times the source does not have, first {strange[0]}"
            )
        missing = len(set(promised) - set(expected))
        if missing > decode_errors * LOST_PER_ERROR:
            raise self.wrong(
                f"{missing} frames of the source are missing, and only {decode_errors} decoding errors"
                " were counted"
            )
        if missing:
            self.checks.append(f"every frame that could be decoded ({missing} could not)")
            return missing
        self.checks.append("every frame of the source")
        return missing

    def tracks(self, old: InputContainer, new: InputContainer) -> None:
        """All planned streams are there, and are what they were; nothing else is."""
        plan = self.plan
        matched = matched_streams(plan, new)
        for stream in plan.kept:
            copy = matched.get(stream.index)
            if copy is None:
                raise self.wrong(f"{stream.label} is missing")
            if copy.type != stream.kind or _codec(copy) != _ALIASES.get(
                stream.target_codec, stream.target_codec
            ):
                raise self.wrong(
                    f"{stream.label} is {copy.type} ({codec_name(copy)}), not {stream.target_codec}"
                )
            if int(copy.disposition) != stream.shown_disposition:
                raise self.wrong(
                    f"{stream.label} is marked {_marks(int(copy.disposition))}, not"
                    f" {_marks(stream.shown_disposition)}"
                )
            wanted = stream_tags(old.streams[stream.index].metadata, upscaled=stream.action == "upscale")
            wanted["language"] = stream.language
            self._tags(f"stream {stream.index}", wanted, copy.metadata)
        known = {copy.index for copy in matched.values()}
        strange = [copy for copy in new.streams if copy.index not in known and _is_track(copy)]
        if strange:
            raise self.wrong(f"there are {len(strange)} streams too many, first {strange[0].type}")
        self._tags("file", file_tags(old.metadata), new.metadata)
        self.checks.append("streams, codecs, languages, marks, tags")

    def _tags(self, whose: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> None:
        for key in missing_tags(wanted, found):
            if f"{whose}: {key}" not in self.plan.lost:
                raise self.wrong(f"{whose} has lost the tag {key}={wanted[key]!r}")

    def video_times(self, video: StreamScan, expected: Sequence[int], time_base: Fraction) -> Fraction:
        """Every frame is there once, at its time."""
        if video.packets != len(expected):
            raise self.wrong(f"the video has {video.packets} frames, not {len(expected)}")
        found = sorted(video.pts)
        twice = next((a for a, b in pairwise(found) if a == b), None)
        if twice is not None:
            raise self.wrong(f"two frames are shown at {float(twice * video.time_base):.6f} s")
        tick = video.time_base
        closest = min((b - a for a, b in pairwise(expected)), default=1) * time_base
        # On a clock too coarse to tell two frames apart one of them has to move by a tick.
        tolerance = tick / 2 if closest >= tick else tick * 3 / 2
        largest = Fraction(0)
        for number, (pts, wanted) in enumerate(zip(found, expected, strict=True)):
            due = wanted * time_base + self.plan.shift
            error = abs(pts * tick - due)
            if error > tolerance:
                raise self.wrong(
                    f"frame {number} is shown at {float(pts * tick):.6f} s, not at {float(due):.6f} s"
                )
            largest = max(largest, error)
        self.checks.append(f"{len(found)} frames, each at its time")
        return largest

    def copied(self, stream: StreamPlan, old: StreamScan, new: StreamScan) -> Fraction:
        """A stream says the same as in the source, at the same times; returns the largest error, s."""
        if stream.action == "convert":
            self._same_words(stream, old, new)
        else:
            self._same_bytes(stream, old, new)
        error = self._same_times(stream, old, new)
        if stream.kind == "audio" and self.plan.container in _TELL_THE_ENDS_OF_SOUND:
            error = max(error, self._same_ends(stream, old, new))
        self.checks.append(f"{stream.label}: {new.packets} packets, {new.size} bytes")
        return error

    def _same_words(self, stream: StreamPlan, old: StreamScan, new: StreamScan) -> None:
        for number, (said, says) in enumerate(zip_longest(old.texts, new.texts)):
            if said != says:
                raise self.wrong(f"{stream.label} does not say the same any more, from text {number} on")

    def _same_bytes(self, stream: StreamPlan, old: StreamScan, new: StreamScan) -> None:
        if old.size != new.size:
            raise self.wrong(
                f"{stream.label} holds {new.packets} packets of {new.size} bytes; in the source these"
                f" are {old.packets} of {old.size}"
            )
        if old.digest != new.digest:
            raise self.wrong(f"{stream.label} does not hold the same bytes as in the source")

    def _same_times(self, stream: StreamPlan, old: StreamScan, new: StreamScan) -> Fraction:
        before, after = old.pts, new.pts
        if stream.codec.startswith("pcm_"):
            before, after = before[:1], after[:1]  # each container cuts it in pieces of its own
        if len(before) != len(after):
            raise self.wrong(f"{stream.label} has {len(after)} packets, not {len(before)}")
        largest = Fraction(0)
        for number, (was, is_now) in enumerate(zip(before, after, strict=True)):
            error = abs(is_now * new.time_base - was * old.time_base - self.plan.shift)
            if error > MILLISECOND:
                raise self.wrong(
                    f"{stream.label} is {float(error * 1000):.3f} ms off against the video, first in"
                    f" packet {number}"
                )
            largest = max(largest, error)
        return largest

    def _same_ends(self, stream: StreamPlan, old: StreamScan, new: StreamScan) -> Fraction:
        """What is heard begins and ends where it did; returns how far off the beginning is, seconds."""
        if old.heard is None or new.heard is None:
            return Fraction(0)
        begin = abs(new.heard - old.heard - self.plan.shift)
        first = old.first
        if self.plan.container in _EDIT_LISTS and first is not None and first + self.plan.shift > 0:
            # FFmpeg's muxer begins an edit list with a pause or behind the warm-up, not with both: the
            # warm-up of sound that begins late, faint and 20 ms long, is heard before it.
            begin = min(begin, abs(new.heard - first - self.plan.shift))
        if begin > MILLISECOND:
            raise self.wrong(
                f"{stream.label} is heard {float(begin * 1000):.3f} ms off against the video"
            )
        if old.end is not None and new.end is not None:
            end = abs(new.end - old.end - self.plan.shift)
            if end > MILLISECOND + new.time_base:  # the last duration is rounded on top of its time
                raise self.wrong(f"{stream.label} ends {float(end * 1000):.3f} ms off")
        return begin

    def chapters(self, old: InputContainer, new: InputContainer) -> None:
        """The chapters are all there, with their names and times."""
        wanted = old.chapters() if self.plan.chapters else []
        found = new.chapters()
        if len(found) != len(wanted):
            raise self.wrong(f"there are {len(found)} chapters, not {len(wanted)}")
        for number, (before, after) in enumerate(zip(wanted, found, strict=True)):
            name = before["metadata"].get("title", "")
            if after["metadata"].get("title", "") != name:
                raise self.wrong(
                    f"chapter {number} is called {after['metadata'].get('title', '')!r}, not {name!r}"
                )
            due = before["start"] * (before["time_base"] or MILLISECOND) + self.plan.shift
            start = after["start"] * (after["time_base"] or MILLISECOND)
            if abs(start - due) > MILLISECOND:
                raise self.wrong(
                    f"chapter {number} begins at {float(start):.3f} s, not {float(due):.3f} s"
                )
        if wanted:
            self.checks.append(f"{len(wanted)} chapters")

    def attachments(self, old: InputContainer, new: InputContainer) -> int:
        """Attached files came along byte by byte."""
        planned = [stream for stream in self.plan.streams if stream.action == "attach"]
        found = _attached(new)
        pictures = {s.index for s in new.streams if s.disposition & Disposition.attached_pic}
        covers = set(first_packets(self.result, pictures).values())
        drawn = first_packets(self.source, {s.index for s in planned if s.kind == "video"})
        for stream in planned:
            original = old.streams[stream.index]
            if not isinstance(original, AttachmentStream):
                if drawn.get(stream.index) not in covers:
                    raise self.wrong(f"{stream.label}, the cover art, is missing")
                continue
            name = original.metadata.get("filename", "")
            if name not in found:
                raise self.wrong(f"the attached file {name!r} is missing")
            if found[name] != original.data:
                raise self.wrong(f"the attached file {name!r} does not hold the same bytes")
        if planned:
            self.checks.append(f"{len(planned)} attached files")
        return len(planned)

    def pictures(self, new: InputContainer, stream: Stream, last_s: Fraction) -> None:
        """The first and the last frame decode, in the size, shape and colour they should have."""
        assert isinstance(stream, VideoStream)
        first = next(iter(new.decode(stream)), None)
        if first is None:
            raise self.wrong("the first frame does not decode")
        self._geometry(first, stream)
        base = stream.time_base or MILLISECOND
        last = round(last_s / base)
        for back_s in _STEPS_BACK_S:
            # Transport streams have no index: a seek may land behind the last keyframe.
            new.seek(max(round((last_s - back_s) / base), 0), stream=stream)
            times = [frame.pts for frame in new.decode(stream) if frame.pts is not None]
            if times and times[-1] == last:
                break
        else:
            raise self.wrong("the last frame does not decode")
        self.checks.append("first and last frame decode")

    def _geometry(self, frame: VideoFrame, stream: VideoStream) -> None:
        plan = self.plan
        if (frame.width, frame.height) != (plan.width, plan.height):
            raise self.wrong(f"frames are {frame.width}x{frame.height}, not {plan.width}x{plan.height}")
        ratio = stream.sample_aspect_ratio or Fraction(1)
        if abs(ratio - plan.sample_aspect_ratio) * plan.width > plan.sample_aspect_ratio:
            raise self.wrong(f"pixels are {ratio}, not {plan.sample_aspect_ratio} as wide as high")
        wanted, found = _turn(plan.display_matrix), _turn(display_matrix(frame))
        if any(abs(a - b) > 0.001 for a, b in zip(wanted, found, strict=True)):
            raise self.wrong(f"the picture is turned by the matrix {found}, not {wanted}")
        tags = ColorTags(
            int(frame.colorspace),
            int(frame.color_primaries),
            int(frame.color_trc),
            int(frame.color_range),
        )
        if tags != plan.color and (plan.color_told or tags != _UNTAGGED):
            raise self.wrong(f"the colour is tagged {tags}, not {plan.color}")
        self.checks.append("size, shape of pixels, rotation, colour tags")


def _turn(matrix: Sequence[int] | None) -> tuple[float, ...]:
    """The turning part of a display matrix (libavutil/display.h: 16.16 fixed point)."""
    if matrix is None:
        return (1.0, 0.0, 0.0, 1.0)
    return tuple(matrix[i] / 65536 for i in (0, 1, 3, 4))


def _codec(stream: Stream) -> str:
    name = codec_name(stream)
    return _ALIASES.get(name, name)


def _is_track(stream: Stream) -> bool:
    """Whether a stream is one of packets, and none that the muxer makes of chapters or pictures."""
    cover = stream.disposition & Disposition.attached_pic
    return stream.type in ("video", "audio", "subtitle") and not cover


def _marks(disposition: int) -> str:
    return "+".join(str(mark.name) for mark in Disposition(disposition)) or "nothing"


def _attached(file: InputContainer) -> dict[str, bytes]:
    return {
        stream.metadata.get("filename", ""): stream.data
        for stream in file.streams
        if isinstance(stream, AttachmentStream)
    }
