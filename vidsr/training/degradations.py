"""Low resolution from high: the benchmark's clean reduction, or what cameras and codecs do to video.

Clips are (T, H, W, 3) uint8, RGB, consecutive frames; the result is (T, H/scale, W/scale, 3) uint8, in
which LR pixel (y, x) covers exactly HR pixels scale*y .. and scale*x ..: nothing here shifts a picture.

The order of the "video" degradation (blur, reduction, noise, compression) follows X. Wang et al.,
"Real-ESRGAN", ICCVW 2021 (arXiv:2107.10833), section 3.2, with milder ranges, since restored video is
watched beside its source; the compression is real and over several frames, as in K. C. K. Chan et al.,
"Investigating Tradeoffs in Real-World Video Super-Resolution", CVPR 2022 (arXiv:2111.12704).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import torch
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from torch import Tensor
from torch.nn import functional

from vidsr.errors import TrainingError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.video.color import to_planes, to_rgb
from vidsr.video.planes import FrameStack
from vidsr.video.resample import imresize


@dataclass(frozen=True)
class CodecTrip:
    """One codec and how strongly it may compress."""

    encoder: str  # FFmpeg's names
    decoder: str
    share: float  # how often it is taken, among all
    quality: tuple[int, int]  # best and worst, in the encoder's own scale
    options: Callable[[int], Mapping[str, str]]  # of a quality


# Bitrates of the web: CRF 18 is near transparent, 30 visibly blocky. Single-threaded, so that the same
# seed gives the same bytes; many clips are made at once instead.
CODECS = (
    CodecTrip(
        "libx264",
        "h264",
        0.6,
        (18, 30),
        lambda crf: {"crf": str(crf), "preset": "fast"},
    ),
    CodecTrip(
        "libx265",
        "hevc",
        0.2,
        (20, 32),
        lambda crf: {
            "crf": str(crf),
            "preset": "fast",
            "x265-params": "log-level=none:pools=none:frame-threads=1",
        },
    ),
    # Quantisers 2 to 7: DVDs and DivX files.
    CodecTrip("mpeg4", "mpeg4", 0.1, (2, 7), lambda q: {"qmin": str(q), "qmax": str(q), "bf": "1"}),
    CodecTrip(
        "mpeg2video", "mpeg2video", 0.1, (2, 7), lambda q: {"qmin": str(q), "qmax": str(q), "bf": "2"}
    ),
)

LEAST_SIDE = 64
"""Least height and width that is encoded, reached by repeating the border: x265 4.1 writes beyond its
buffers where a side is shorter than its coding tree of 64."""


@dataclass(frozen=True)
class VideoDegradation:
    """Ranges of the "video" degradation; lengths in LR pixels, so that both scales get the same."""

    blur_share: float = 0.5  # of clips
    sigma: tuple[float, float] = (0.1, 0.5)  # of the Gaussian, LR pixels
    sinc_share: float = 0.15  # of the blurs: the ringing of sharp reductions
    sinc_cutoff: tuple[float, float] = (0.9, 1.5)  # over the LR picture's Nyquist frequency
    noise_share: float = 0.3
    noise: tuple[float, float] = (0.5, 5.0)  # standard deviation, 8-bit levels
    grain_share: float = 0.5  # of the noisy clips: brightness only, softened, strongest in mid-tones
    codec_share: float = 0.9
    twice_share: float = 0.15  # of the compressed clips: uploaded, then compressed again
    codecs: tuple[CodecTrip, ...] = CODECS


def bicubic(clip: Tensor, scale: int) -> Tensor:
    """The benchmark's reduction: antialiased bicubic, rounded to bytes."""
    return _to_bytes(imresize(_to_floats(clip), 1 / scale))


def degrade_video(clip: Tensor, scale: int, seed: int, how: VideoDegradation | None = None) -> Tensor:
    """Blur, reduce by a random filter, add noise, compress: one random version of a clip."""
    how = how or VideoDegradation()
    chance = random.Random(seed)
    floats = _to_floats(clip)
    if chance.random() < how.blur_share:
        floats = blur(floats, random_kernel(scale, chance, how))
    reduced = _reduce(floats, scale, chance)
    if chance.random() < how.noise_share:
        reduced = _add_noise(reduced, chance, how)
    lr = _to_bytes(reduced)
    if chance.random() < how.codec_share:
        for _ in range(2 if chance.random() < how.twice_share else 1):
            codec = chance.choices(how.codecs, [codec.share for codec in how.codecs])[0]
            lr = round_trip(lr, codec, chance.randint(*codec.quality))
    return lr


def degrade_still(
    picture: Tensor, scale: int, seed: int, frames: int, how: VideoDegradation | None = None
) -> Tensor:
    """One (H, W, 3) picture as a frame of a degraded clip: (H/scale, W/scale, 3) uint8.

    The picture is moved at a constant speed for the length of the clip, so that the codec predicts it
    from frames before and after; the frame at which it lies in its own place is kept.
    """
    chance = random.Random(seed ^ 0x9A27)
    speed = (chance.uniform(-1.5, 1.5) * scale, chance.uniform(-1.5, 1.5) * scale)  # HR pixels a frame
    kept = chance.randrange(frames)
    clip = torch.stack(
        [_shifted(picture, *(round((index - kept) * part) for part in speed)) for index in range(frames)]
    )
    return degrade_video(clip, scale, seed, how)[kept]


def gaussian_kernel(sigma_y: float, sigma_x: float, angle: float = 0.0) -> Tensor:
    """(k, k) anisotropic Gaussian, turned by `angle` radians, of sum 1; sigmas in pixels."""
    radius = max(1, math.ceil(3 * max(sigma_y, sigma_x)))
    axis = torch.arange(-radius, radius + 1, dtype=torch.float64)
    y, x = axis[:, None], axis[None, :]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    kernel = torch.exp(-0.5 * ((along / sigma_x) ** 2 + (across / sigma_y) ** 2))
    return (kernel / kernel.sum()).float()


def sinc_kernel(cutoff: float, radius: int) -> Tensor:
    """(k, k) circular low-pass of sum 1; `cutoff` in radians a pixel.

    k(r) = cutoff * J1(cutoff * r) / (2 pi r): Real-ESRGAN, equation 2.
    """
    axis = torch.arange(-radius, radius + 1, dtype=torch.float64)
    r = (axis[:, None] ** 2 + axis[None, :] ** 2).sqrt()
    safe = r.clamp(min=1e-9)
    kernel = cutoff * torch.special.bessel_j1(cutoff * safe) / (2 * math.pi * safe)
    kernel[radius, radius] = cutoff**2 / (4 * math.pi)  # the limit at the centre
    normed: Tensor = kernel / kernel.sum()
    return normed.float()


def random_kernel(scale: int, chance: random.Random, how: VideoDegradation) -> Tensor:
    """An isotropic or anisotropic Gaussian, or a sinc, for HR pictures."""
    if chance.random() < how.sinc_share:
        return sinc_kernel(math.pi / scale * chance.uniform(*how.sinc_cutoff), radius=2 * scale + 2)
    first = chance.uniform(*how.sigma) * scale
    second = first if chance.random() < 0.5 else chance.uniform(*how.sigma) * scale
    return gaussian_kernel(first, second, chance.uniform(0, math.pi))


def blur(pictures: Tensor, kernel: Tensor) -> Tensor:
    """Filter (N, 3, H, W) floats by a (k, k) kernel, k odd, the border repeated."""
    radius = kernel.shape[-1] // 2
    padded = functional.pad(pictures, (radius,) * 4, mode="replicate")
    blurred: Tensor = functional.conv2d(padded, kernel.expand(3, 1, -1, -1), groups=3)
    return blurred


def round_trip(clip: Tensor, codec: CodecTrip, quality: int) -> Tensor:
    """Compress a (T, h, w, 3) uint8 clip as 4:2:0 video and decompress it, in memory."""
    height, width = int(clip.shape[1]), int(clip.shape[2])
    padded = _pad(clip, _even(height), _even(width))
    color = ColorSpec()
    planes = to_planes(padded, color)
    encoder = _open(codec.encoder, "w")
    encoder.height, encoder.width = int(padded.shape[1]), int(padded.shape[2])
    encoder.pix_fmt = "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = dict(codec.options(quality))
    try:
        packets = []
        for index in range(len(clip)):
            packets += encoder.encode(_to_frame([plane[index] for plane in planes], index))
        packets += encoder.encode(None)
        decoder = _open(codec.decoder, "r")
        if encoder.extradata:
            decoder.extradata = encoder.extradata
        decoded = FrameStack("yuv420p", encoder.height, encoder.width, capacity=len(clip))
        for packet in (*packets, None):
            for frame in decoder.decode(packet):
                decoded.add(frame)
    except av.FFmpegError as error:
        raise TrainingError(
            f"{codec.encoder} could not compress a clip of {width}x{height} ({error}); "
            "this build of FFmpeg may lack it: take --degradation bicubic"
        ) from error
    if decoded.count != len(clip):
        raise TrainingError(f"{codec.encoder} gave {decoded.count} frames back of {len(clip)}")
    rgb: Tensor = to_rgb(
        FrameBatch(decoded.take(), color, tuple(range(len(clip))), Fraction(1, 25)).tensors()
    )
    return rgb[:, :height, :width].contiguous()


def _reduce(pictures: Tensor, scale: int, chance: random.Random) -> Tensor:
    """Reduce (N, 3, H, W) floats by one of the filters that video is reduced with."""
    kind = chance.choice(("bicubic", "lanczos", "area", "bilinear"))
    if kind == "bicubic":
        return imresize(pictures, 1 / scale)
    if kind == "lanczos":
        return imresize(pictures, 1 / scale, kernel="lanczos3")
    if kind == "area":
        return functional.avg_pool2d(pictures, scale)
    size = [pictures.shape[-2] // scale, pictures.shape[-1] // scale]
    reduced: Tensor = functional.interpolate(pictures, size=size, mode="bilinear", antialias=True)
    return reduced


def _add_noise(pictures: Tensor, chance: random.Random, how: VideoDegradation) -> Tensor:
    """Noise of a sensor, or grain of film, new in each frame."""
    generator = torch.Generator().manual_seed(chance.getrandbits(62))
    strength = chance.uniform(*how.noise) / 255
    count, _, height, width = pictures.shape
    if chance.random() < how.grain_share:
        noise = torch.randn(count, 1, height, width, generator=generator).expand(-1, 3, -1, -1)
        noise = blur(noise, gaussian_kernel(0.6, 0.6))
        noise = noise / noise.std()
        luma = pictures.mean(dim=1, keepdim=True).clamp(0, 1)
        return pictures + strength * noise * (4 * luma * (1 - luma)).sqrt()
    return pictures + strength * torch.randn(pictures.shape, generator=generator)


def _shifted(picture: Tensor, down: int, right: int) -> Tensor:
    """An (H, W, 3) picture moved by whole pixels, its border repeated into the gap."""
    rows = (torch.arange(picture.shape[0]) - down).clamp(0, picture.shape[0] - 1)
    columns = (torch.arange(picture.shape[1]) - right).clamp(0, picture.shape[1] - 1)
    return picture[rows][:, columns]


def _even(side: int) -> int:
    return max(LEAST_SIDE, side + side % 2)


def _pad(clip: Tensor, height: int, width: int) -> Tensor:
    """Enlarge (T, h, w, 3) downwards and to the right by repeating its border."""
    rows = torch.arange(height).clamp(max=clip.shape[1] - 1)
    columns = torch.arange(width).clamp(max=clip.shape[2] - 1)
    return clip[:, rows][:, :, columns]


def _to_frame(planes: list[Tensor], pts: int) -> VideoFrame:
    frame = VideoFrame(int(planes[0].shape[1]), int(planes[0].shape[0]), "yuv420p")
    for target, plane in zip(frame.planes, planes, strict=True):
        rows = torch.frombuffer(target, dtype=torch.uint8).view(-1, target.line_size)
        rows[: plane.shape[0], : plane.shape[1]] = plane
    frame.pts = pts
    return frame


def _open(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    return context


def _to_floats(clip: Tensor) -> Tensor:
    return clip.permute(0, 3, 1, 2).float() / 255


def _to_bytes(pictures: Tensor) -> Tensor:
    return (pictures * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
