import pytest
import torch

from vidsr.pipelines.validation import SIDE, hold_validation
from vidsr.training.patches import Pictures, PictureTable
from vidsr.video.resample import imresize

SCALE = 2


def make_pictures(clips: int, height: int, width: int) -> Pictures:
    """Clips of two frames; version 0 is the HR picture's own reduction, version 1 all black."""
    torch.manual_seed(0)
    pixels, hr_at, lr_at, at = [], [], [], 0
    for _ in range(2 * clips):
        floats = imresize(
            torch.rand(1, 3, height // 4, width // 4), size=(height * SCALE, width * SCALE)
        )
        hr = (floats.clamp(0, 1) * 255).to(torch.uint8)[0].permute(1, 2, 0)
        lr = hr[::SCALE, ::SCALE]
        pixels += [hr.reshape(-1, 3), lr.reshape(-1, 3), torch.zeros_like(lr).reshape(-1, 3)]
        hr_at.append(at)
        at += height * width * SCALE**2
        lr_at.append([at, at + height * width])
        at += 2 * height * width
    table = PictureTable(
        hr=torch.tensor(hr_at),
        lr=torch.tensor(lr_at),
        height=torch.full((2 * clips,), height),
        width=torch.full((2 * clips,), width),
        clip=torch.arange(clips).repeat_interleave(2),
    )
    return Pictures(torch.cat(pixels), table, SCALE)


def test_pictures_are_spread_over_the_clips_and_cut_in_the_middle() -> None:
    pictures = make_pictures(6, 80, 40)
    validation = hold_validation(pictures, 3, torch.device("cpu"), None)
    assert len(validation.pairs) == 3
    for number, (lr, hr) in enumerate(validation.pairs):
        assert lr.shape == (1, SIDE, 40, 3)
        assert hr.shape == (1, SIDE * SCALE, 40 * SCALE, 3)
        whole = pictures.frame(4 * number, 0)[1]
        assert torch.equal(hr[0], whole[16:-16])
        assert not lr.any()  # the degraded version is what is scored


def test_scores_know_the_perfect_and_the_poor() -> None:
    pictures = make_pictures(2, 40, 40)
    validation = hold_validation(pictures, 8, torch.device("cpu"), None)
    answers = iter([hr for _, hr in validation.pairs])

    def perfect(lr: torch.Tensor) -> torch.Tensor:
        return next(answers).permute(0, 3, 1, 2).float() / 255

    assert validation.scores(perfect) == pytest.approx({"psnr": 99.0, "ssim": 1.0})
    poor = validation.scores(lambda lr: torch.zeros(1, 3, 80, 80))
    assert poor["psnr"] < 12
    baselines = validation.baselines()
    assert set(baselines) == {f"{name} {m}" for name in ("bicubic", "lanczos") for m in ("psnr", "ssim")}
    assert baselines["bicubic psnr"] == pytest.approx(poor["psnr"])  # enlarged black is black


def test_strips_show_four_pictures() -> None:
    validation = hold_validation(make_pictures(2, 40, 40), 8, torch.device("cpu"), None)
    strips = validation.strips(lambda lr: imresize(lr, SCALE), 1)
    assert [strip.shape for strip in strips] == [(80, 320, 3)]
    assert torch.equal(strips[0][:, 240:], validation.pairs[0][1][0])
