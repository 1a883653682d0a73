import math

import pytest
import torch
from torch import Tensor

from vidsr.training.degradations import (
    CODECS,
    CodecTrip,
    VideoDegradation,
    bicubic,
    blur,
    degrade_still,
    degrade_video,
    gaussian_kernel,
    round_trip,
    sinc_kernel,
)
from vidsr.video.resample import imresize


def make_clip(frames: int = 4, height: int = 128, width: int = 160) -> Tensor:
    """A textured picture that moves by two pixels a frame: (T, H, W, 3) uint8."""
    y, x = torch.arange(height)[:, None], torch.arange(width + 2 * frames)
    channels = [
        128 + 60 * torch.sin(x / a) + 50 * torch.cos(y / b) for a, b in ((5, 7), (9, 4), (6, 11))
    ]
    picture = torch.stack(channels, dim=-1).to(torch.uint8)
    return torch.stack([picture[:, 2 * t : 2 * t + width] for t in range(frames)])


def centre_of_mass(picture: Tensor) -> tuple[float, float]:
    weights = picture.float().mean(dim=-1)
    weights = weights - weights.min()
    y = (weights.sum(1) * (torch.arange(len(weights)) + 0.5)).sum() / weights.sum()
    x = (weights.sum(0) * (torch.arange(weights.shape[1]) + 0.5)).sum() / weights.sum()
    return float(y), float(x)


def test_bicubic_is_the_benchmarks_reduction_in_bytes() -> None:
    clip = make_clip(1)
    floats = clip.permute(0, 3, 1, 2).float() / 255
    expected = (imresize(floats, 0.25) * 255).round().clamp(0, 255).to(torch.uint8)
    assert torch.equal(bicubic(clip, 4), expected.permute(0, 2, 3, 1))


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.encoder)
def test_codecs_keep_the_picture_and_lose_more_at_lower_quality(codec: CodecTrip) -> None:
    clip = make_clip()
    best, worst = (round_trip(clip, codec, quality) for quality in codec.quality)
    assert best.shape == worst.shape == clip.shape
    near, far = ((made.float() - clip.float()).abs().mean() for made in (best, worst))
    assert near < far
    assert far < 12
    assert near < 4


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.encoder)
@pytest.mark.parametrize("size", [(45, 61), (16, 24)])
def test_odd_and_small_clips_pass_the_codecs(codec: CodecTrip, size: tuple[int, int]) -> None:
    clip = make_clip(3, *size)
    made = round_trip(clip, codec, codec.quality[0])
    assert made.shape == clip.shape
    assert (made.float() - clip.float()).abs().mean() < 6


def test_frames_are_predicted_from_each_other() -> None:
    clip = make_clip(4)
    together = round_trip(clip, CODECS[0], 30)
    alone = torch.cat([round_trip(frame[None], CODECS[0], 30) for frame in clip])
    assert not torch.equal(together, alone)


@pytest.mark.parametrize("scale", [2, 4])
def test_degradation_is_repeatable_random_and_of_the_right_size(scale: int) -> None:
    clip = make_clip(3)
    made = [degrade_video(clip, scale, seed) for seed in range(4)]
    assert all(version.shape == (3, 128 // scale, 160 // scale, 3) for version in made)
    assert all(version.dtype == torch.uint8 for version in made)
    assert torch.equal(made[0], degrade_video(clip, scale, 0))
    assert not torch.equal(made[0], made[1])


@pytest.mark.parametrize("seed", range(8))
def test_nothing_shifts_the_picture(seed: int) -> None:
    clip = torch.full((3, 128, 128, 3), 20, dtype=torch.uint8)
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    disc = ((y - 50.5) ** 2 + (x - 70.5) ** 2).sqrt() < 24
    clip[:, disc] = 220
    quiet = VideoDegradation(noise_share=0.0)
    made = degrade_video(clip, 4, seed, quiet)[1]
    found = centre_of_mass(torch.where(made > 60, made, 20))
    assert found[0] * 4 == pytest.approx(51, abs=0.6)
    assert found[1] * 4 == pytest.approx(71, abs=0.6)


@pytest.mark.parametrize("seed", range(4))
def test_a_still_is_degraded_in_its_own_place(seed: int) -> None:
    clip = make_clip(1)
    made = degrade_still(clip[0], 4, seed, frames=3, how=VideoDegradation(noise_share=0.0))
    clean = bicubic(clip, 4)[0].float()
    errors = {
        (dy, dx): float((made.float().roll((dy, dx), (0, 1)) - clean)[3:-3, 3:-3].abs().mean())
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    }
    assert min(errors, key=lambda shift: errors[shift]) == (0, 0)
    assert errors[0, 0] < 15


def test_kernels_sum_to_one_and_have_their_width() -> None:
    kernel = gaussian_kernel(2.0, 1.0, angle=math.pi / 2)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    axis = torch.arange(kernel.shape[0]) - kernel.shape[0] // 2
    down = float((kernel.sum(1) * axis**2).sum()) ** 0.5
    right = float((kernel.sum(0) * axis**2).sum()) ** 0.5
    # Turned by a quarter, the sigmas have changed places; cut off at three sigma, a little is missing.
    assert (down, right) == (pytest.approx(1.0, rel=0.05), pytest.approx(2.0, rel=0.05))
    assert float(sinc_kernel(1.2, 10).sum()) == pytest.approx(1, abs=1e-5)


def test_sinc_passes_low_and_stops_high_frequencies() -> None:
    kernel = sinc_kernel(math.pi / 2, 10)
    x = torch.arange(96)
    for frequency, low, high in ((math.pi / 8, 0.9, 1.1), (0.9 * math.pi, 0.0, 0.1)):
        wave = torch.cos(frequency * x).expand(1, 3, 96, 96)
        kept = blur(wave, kernel)[..., 20:-20, 20:-20].std() / wave[..., 20:-20, 20:-20].std()
        assert low <= float(kept) <= high


def test_noise_changes_from_frame_to_frame() -> None:
    still = make_clip(1, 64, 64).expand(3, -1, -1, -1)
    only_noise = VideoDegradation(blur_share=0, noise_share=1, noise=(4, 4), codec_share=0)
    made = degrade_video(still, 2, 5, only_noise).float()
    assert 2 < float((made[0] - made[1]).std()) < 9  # sqrt(2) * 4, less where grain is shaped
