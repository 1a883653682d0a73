"""One pass of a decoder over a stream: from a place in the file to its end, damage notwithstanding."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidsr.errors import InputError
from vidsr.video.color_tags import ColorTags
from vidsr.video.source import discard_others, open_input
from vidsr.video.timeline import Timeline, counts_as_frame

HOPELESS = 300
"""Packets refused in a row before the first frame, after which a stream is called undecodable: ten
seconds of video, more than any group of pictures that merely lost its keyframe."""

KEYFRAMES_BACK = (2, 3, 5, 9)
"""How many keyframes before the wanted time a seek aims, in turn, until one lands early enough.

One would do for closed groups of pictures. The second is needed where frames after a keyframe refer to
ones before it (open groups, intra refresh), and gives filters their run-up.
"""


def container_tags(stream: VideoStream) -> ColorTags:
    """The colour that the container states, as code points of H.273 (range: FFmpeg's)."""
    context = stream.codec_context
    return ColorTags(
        int(context.colorspace),
        int(context.color_primaries),
        int(context.color_trc),
        int(context.color_range),
    )


def prepare(context: VideoCodecContext, *, reorder: int, threads: int) -> None:
    """Set up a decoder that is not open yet; `reorder` and `threads` as for Decoding."""
    context.thread_type = "AUTO"
    context.thread_count = threads
    context.flags |= Flags.output_corrupt
    if context.codec.canonical_name == "h264" and reorder > context.reorder_depth:
        # H.264 need not say how many frames it holds back. The decoder then guesses from what it has
        # seen, and throws frames away when it guessed too few.
        context.reorder_depth = reorder


class Decoding:
    """An open file with a fresh decoder on one stream; a context manager.

    Frames that the decoder knows to be damaged are given out like the others, as FFmpeg and players
    do: one lost frame is worse than a blemish, for it moves everything after it.
    """

    def __init__(
        self,
        path: Path,
        stream_index: int,
        *,
        reorder: int = 0,
        threads: int = 0,
        container: InputContainer | None = None,
    ) -> None:
        """Open `path`; `reorder` is how many frames the stream holds back (Timeline.reorder).

        `container` is given where it is open already, a pipe that can be opened but once: `path` then
        only names it, and packets of its other streams come along.
        """
        self.path = path
        self.damage = 0  # packets refused by the decoder, and those marked as damaged, so far
        self._given = self._refused = 0  # frames that came out, packets that did not go in
        self._alone = container is None
        self._container: InputContainer = container or self._open(path)
        try:
            stream = self._container.streams[stream_index]
            assert isinstance(stream, VideoStream)
            self.stream = stream
            self.tags = container_tags(stream)  # now: the decoder changes its context's as it goes
            if self._alone:
                discard_others(self._container, stream_index)
            self.context = stream.codec_context
            prepare(self.context, reorder=reorder, threads=threads)
        except BaseException:
            self._container.close()
            raise

    def _open(self, path: Path) -> InputContainer:
        return open_input(path)

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec, whichever of its decoders is at work."""
        return self.context.codec.canonical_name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._container.close()

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """The stream's packets from the present place on, last an empty one that flushes the decoder.

        Those of other streams are among them where the container was given.
        """
        wanted = [self.stream] if self._alone else []  # none named means all
        demuxer = cast("Iterator[Packet[VideoStream]]", self._container.demux(*wanted))
        while True:
            try:
                packet = next(demuxer, None)
            except av.FFmpegError:
                # The end of the file is damaged; what was read still has frames in the decoder.
                self.damage += 1
                yield cast("Packet[VideoStream]", Packet())
                return
            if packet is None:
                return
            # An empty packet ends the decoder's work, so only the last one, without times, may pass.
            if packet.size or packet.dts is None:
                yield packet

    def numbered_packets(self) -> Iterator[Packet[VideoStream]]:
        """The stream's packets with their number in the file in the place of their times.

        The decoder then says of each frame which packet it comes from.
        """
        number = 0
        for packet in self.packets():
            packet.dts = None
            if counts_as_frame(packet, self.codec):
                packet.pts = number
                number += 1
            else:
                packet.pts = None
            yield packet

    def frames(self, packets: Iterable[Packet[VideoStream]] | None = None) -> Iterator[VideoFrame]:
        """All frames that the decoder gives, in the order of presentation.

        Raises:
            InputError: the decoder refused everything from the start.
        """
        for packet in self.packets() if packets is None else packets:
            yield from self.decode(packet)

    def decode(self, packet: Packet[VideoStream]) -> Iterator[VideoFrame]:
        """The frames that the decoder gives for one packet of the stream; for an empty one the rest.

        Raises:
            InputError: the decoder refused everything from the start.
        """
        self.damage += packet.is_corrupt
        try:
            frames = self.context.decode(packet if packet.size else None)
        except av.FFmpegError as error:
            self.damage += 1
            self._refused += 1
            if not self._given and self._refused >= HOPELESS:
                raise InputError(
                    f"{self.path}: its {self.codec} video cannot be decoded: {error.strerror}"
                ) from error
            return
        for frame in frames:
            self._given += 1
            self.damage += frame.is_corrupt and not packet.is_corrupt
            yield frame

    def keyframe(self, pts: int) -> VideoFrame | None:
        """The picture of the keyframe at exactly this time, decoded alone; None where it cannot be had.

        A seek and one picture, however far apart keyframes are: for looking a file over. A keyframe of
        an open group is complete by itself. May be called again and again, for any times.
        """
        context = self.context
        try:
            context.flush_buffers()
            self._container.seek(pts, stream=self.stream)
            for packet in self.packets():
                if packet.pts == pts and packet.is_keyframe:
                    frames = [*context.decode(packet), *context.decode(None)]
                    return frames[0] if frames else None
                if packet.is_keyframe and packet.pts is not None and packet.pts > pts:
                    return None
        except av.FFmpegError:
            pass  # a damaged place: another keyframe will do as well
        return None

    def packets_from(
        self, pts: int, timeline: Timeline, *, run_up: int = 0
    ) -> Iterator[Packet[VideoStream]] | None:
        """Packets of the frames from at least `run_up` before a time on; None where none are sure.

        Decoded, the frames at `pts` and later are the same, bit for bit, as in a pass from the
        beginning. After None the place in the file is lost: begin again with a new Decoding.
        """
        if not timeline.exact:
            return None
        early = timeline.pts[max(0, bisect_left(timeline.pts, pts) - run_up)] if timeline.pts else pts
        wanted = timeline.keyframe_before(early, KEYFRAMES_BACK[0])
        if wanted is None:
            return None
        for steps in KEYFRAMES_BACK:
            target = timeline.keyframe_before(early, steps)
            if target is None:
                return None
            try:
                self._container.seek(target, stream=self.stream)
            except av.FFmpegError:
                return None
            packets = self.packets()
            for packet in packets:
                # Containers without an index land between keyframes; what comes there is of no use.
                if not packet.is_keyframe or packet.pts is None:
                    continue
                if packet.pts <= wanted and timeline.has_keyframe(packet.pts):
                    return chain([packet], packets)
                break
        return None
