"""Frames of one kind: a stream that changes in the middle is refused, or brought to what it was."""

from __future__ import annotations

from av.video.frame import VideoFrame

from vidsr.errors import InputError
from vidsr.frames import ColorSpec, VideoInfo
from vidsr.video.color_tags import h273_tags
from vidsr.video.decoding import Decoding
from vidsr.video.planar_formats import parse_pixel_format
from vidsr.video.planes import SWSCALE_THREADS, planar_frame
from vidsr.video.probe import frame_color


class Uniform:
    """Turns each frame into planes of the stream's first format, and sees that they mean the same.

    Formats that are not planar become planar without a change to any sample. A change of range, matrix,
    depth or chroma format in the middle of a stream (adverts in a broadcast) is converted by FFmpeg; a
    change of size never is, since only the user can know which size is wanted.
    """

    def __init__(self, info: VideoInfo, decoding: Decoding) -> None:
        self._converted = 0
        self._info = info
        self._decoding = decoding
        self._planar = parse_pixel_format(info.pixel_format).name
        self._colors: dict[tuple[str, int, int, int, int], ColorSpec] = {}

    def __call__(self, frame: VideoFrame, time: int) -> VideoFrame:
        """The frame shown at `time` (ticks), in the stream's planar format.

        Raises:
            InputError: its size differs from that of the first frame.
        """
        info = self._info
        if (frame.width, frame.height) != (info.width, info.height):
            raise InputError(
                f"{self._decoding.path}: the picture changes its size from {info.width}x{info.height} to"
                f" {frame.width}x{frame.height} at {float(time * info.time_base):.3f} s;"
                " cut the file there and upscale each part"
            )
        color, ours = self._color(frame), info.color
        frame = planar_frame(frame)
        if frame.format.name == self._planar and (color.matrix, color.range) == (
            ours.matrix,
            ours.range,
        ):
            return frame
        self._converted += 1
        theirs, wanted = h273_tags(color), h273_tags(ours)
        return frame.reformat(
            threads=SWSCALE_THREADS,
            format=self._planar,
            src_colorspace=theirs.matrix,
            dst_colorspace=wanted.matrix,
            src_color_range=theirs.range,
            dst_color_range=wanted.range,
        )

    def take_converted(self) -> int:
        """How many frames were not of the first one's kind, since this was last asked."""
        count, self._converted = self._converted, 0
        return count

    def _color(self, frame: VideoFrame) -> ColorSpec:
        tags = (
            frame.format.name,
            int(frame.colorspace),
            int(frame.color_primaries),
            int(frame.color_trc),
            int(frame.color_range),
        )
        if tags not in self._colors:
            self._colors[tags] = frame_color(
                frame, self._decoding.tags, self._decoding.codec, self._info.color.siting
            )
        return self._colors[tags]
