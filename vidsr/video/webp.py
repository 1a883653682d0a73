"""WebP pictures in memory, for pages that carry their pictures with them."""

from __future__ import annotations

from fractions import Fraction

import av
import torch
from av.codec.context import CodecContext
from av.video.frame import VideoFrame
from torch import Tensor

from vidsr.errors import OutputError
from vidsr.frames import ColorSpec
from vidsr.video.color import pixel_format_name, to_planes
from vidsr.video.planes import fill_frame
from vidsr.video.stills import MAX_WEBP_PX

LOSSY = ColorSpec(matrix="bt601", subsampling=(2, 2), siting="center")
"""The only colour of lossy WebP: BT.601, limited range, 4:2:0 (RFC 9649, section 2.5, by RFC 6386)."""

EFFORT = "25"
"""Of lossless coding, 0 to 100; all of it takes four times as long for a thousandth less (measured on
frames of film, 1280x720)."""


def encode_webp(rgb: Tensor, quality: int | None) -> bytes:
    """One picture as a WebP file: (H, W, 3) uint8 RGB; quality 0 to 100, None exact to the bit.

    Raises OutputError where a side is longer than WebP holds.
    """
    height, width = int(rgb.shape[0]), int(rgb.shape[1])
    if max(height, width) > MAX_WEBP_PX:
        raise OutputError(f"a picture of {width}x{height} is larger than WebP holds ({MAX_WEBP_PX})")
    if quality is None:
        pixel_format, options = "bgra", {"lossless": "1", "quality": EFFORT}
        frame = VideoFrame(width, height, pixel_format)
        opaque = rgb.new_full((height, width, 1), 255)
        bgra = torch.cat((rgb.flip(-1), opaque), dim=-1).cpu().contiguous()
        plane = frame.planes[0]
        rows = torch.zeros(height, plane.line_size, dtype=torch.uint8)
        rows[:, : 4 * width] = bgra.view(height, 4 * width)
        plane.update(rows.numpy().tobytes())
    else:
        pixel_format, options = pixel_format_name(LOSSY), {"quality": str(quality)}
        planes = [each[0].cpu() for each in to_planes(rgb[None], LOSSY)]
        frame = fill_frame(VideoFrame(width, height, pixel_format), planes)
    context = CodecContext.create("libwebp", "w")
    context.options = options
    context.width, context.height, context.pix_fmt = width, height, pixel_format
    context.time_base = Fraction(1)
    context.thread_count = 1
    try:
        packets = [*context.encode(frame), *context.encode(None)]
    except av.FFmpegError as error:
        raise OutputError(f"a picture of {width}x{height} cannot be encoded as WebP: {error}") from error
    return b"".join(bytes(packet) for packet in packets)
