"""Everything that comes through a pipe besides its video, kept in a file to be joined and compared."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.packet import Packet

from vidsr.errors import OutputError
from vidsr.video.containers import container_for
from vidsr.video.durable import disk_errors
from vidsr.video.matroska import correct_tracks
from vidsr.video.planning import plan_opened
from vidsr.video.standard_streams import STDIN
from vidsr.video.stream_reader import StreamReader
from vidsr.video.target import Target

_PLACEHOLDER = "ffv1"
"""Planned for the video, whose pictures are not kept: a codec that asks for no shift of times."""


class Sidecar:
    """A file of the streams, chapters and tags of a pipe, without its pictures; a context manager.

    A pipe can be read but once. From this file its sound and everything else is joined with the
    enlarged video, and compared with the result, as if it were a source that can be read again.
    """

    def __init__(self, folder: Path, reader: StreamReader) -> None:
        """Begin the file in `folder`, in the pipe's own kind of container.

        Raises:
            OutputError: the disk refuses.
        """
        # NUT keeps any clock; all that is not NUT may have times before zero, which Matroska can hold.
        self.path = folder / f"streams{'.nut' if reader.format == 'nut' else '.mkv'}"
        index = reader.info.stream_index
        heads = reader.heads
        plan = plan_opened(
            reader.container,
            heads,
            STDIN,
            index,
            self.path,
            reader.info,
            _PLACEHOLDER,
            drop_incompatible=True,
        )
        # The video's times are not in this file: nothing in it may move against them.
        plan = replace(plan, shift=Fraction(0))
        self.notices = tuple(f"left out: {s.label}" for s in plan.streams if s.action == "drop")
        self.main_stream = [stream.index for stream in plan.kept].index(index)  # in this file
        covers = {head.stream.index: bytes(head.packets[0]) for head in heads if head.packets}
        with disk_errors(self.path):
            self._target = Target(
                self.path, plan, container_for(self.path), reader.container, None, covers=covers, tags={}
            )
            self._target.start()
            # Not even a header is written of a file without packets.
            base = self._target.video_time_base
            start = round(reader.start_pts * reader.info.time_base / base)
            self._target.write_video(Packet(bytes(16)), start, start, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with disk_errors(self.path):
            if kind is None:
                self._target.flush()
            self._target.__exit__(kind, error, trace)
            if kind is None and self.path.suffix == ".mkv":
                correct_tracks(self.path, {})

    def keep(self, packet: Packet[Any]) -> None:
        """Write a packet. Raises OutputError if the disk, or the container, refuses."""
        with disk_errors(self.path):
            try:
                self._target.copy(packet)
            except av.FFmpegError as error:
                if isinstance(error, OSError) and error.errno:
                    raise
                raise OutputError(
                    f"{self.path}: a packet of the pipe cannot be kept: {error}"
                ) from error
