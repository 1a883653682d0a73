from __future__ import annotations

import json

import pytest

from vidsr.evaluation.flicker import FlickerStep
from vidsr.evaluation.report import (
    EvaluationReport,
    FrameScore,
    ImageScores,
    Score,
    VideoEvaluationReport,
    sparkline,
)


def pictures(lpips: float | None = 0.25) -> EvaluationReport:
    return EvaluationReport(
        model="small",
        scale=4,
        border_px=4,
        lr="bicubic",
        images=(
            ImageScores("a.png", {"bicubic": Score(20, 0.5, lpips), "small": Score(22, 0.6, lpips)}),
            ImageScores("b|c.png", {"bicubic": Score(30, 0.7, lpips), "small": Score(100, 1.0, lpips)}),
        ),
    )


def video() -> VideoEvaluationReport:
    steps = [None, FlickerStep(2, 0.004, 0.002, 0.5, 0.9), FlickerStep(4, None, None, None, 0.1)]
    frames = tuple(FrameScore(i / 25, Score(30 + i, 0.8), step) for i, step in enumerate(steps))
    return VideoEvaluationReport("hr.mp4", "sr.mp4", 0, frames, 1, 2)


def test_mean_counts_every_picture_the_same() -> None:
    assert pictures().mean("bicubic") == Score(25, pytest.approx(0.6), 0.25)
    assert pictures().mean("small").psnr_db == 61
    assert pictures(None).mean("small").lpips is None
    assert pictures().methods == ("bicubic", "small")


def test_pictures_as_json_and_back() -> None:
    read = json.loads(json.dumps(pictures().to_json(), allow_nan=False))
    assert read["mean"]["small"] == {"psnr_db": 61, "ssim": 0.8, "lpips": 0.25}
    assert read["images"][0]["scores"]["bicubic"]["psnr_db"] == 20
    assert (read["model"], read["scale"], read["border_px"], read["lr"]) == ("small", 4, 4, "bicubic")


def test_pictures_as_markdown() -> None:
    text = pictures().to_markdown()
    assert "| bicubic | 25.00 | 0.6000 | 0.2500 |" in text
    assert "| a.png | small | 22.00 | 0.6000 | 0.2500 |" in text
    assert "b\\|c.png" in text  # or the table would get a column more
    assert "LPIPS" not in pictures(None).to_markdown()


def test_flicker_means_leave_out_what_a_cut_does_not_have() -> None:
    flicker = video().flicker
    assert flicker == {
        "temporal": 3,
        "warping": 0.004,
        "warping_reference": 0.002,
        "tof": 0.5,
        "followed": 0.5,
    }
    assert video().cuts == 1


def test_one_frame_has_no_flicker() -> None:
    one = VideoEvaluationReport("a", "b", 0, video().frames[:1], 0, 0)
    assert set(one.flicker.values()) == {None}
    assert "| tOF: difference of motion, px | - |" in one.to_markdown()
    json.dumps(one.to_json(), allow_nan=False)


def test_video_as_json_and_markdown() -> None:
    read = json.loads(json.dumps(video().to_json(), allow_nan=False))
    assert [frame["score"]["psnr_db"] for frame in read["frames"]] == [30, 31, 32]
    assert read["mean"] == {"psnr_db": 31, "ssim": pytest.approx(0.8), "lpips": None}
    assert (read["unpaired_reference"], read["unpaired_distorted"], read["cuts"]) == (1, 2, 1)
    text = video().to_markdown()
    assert "| mean | 31.00 | 0.8000 |" in text
    assert "| 0.000 s | 30.00 | 0.8000 |" in text
    assert "| warping error x 1000, luma in [0, 1] | 4.000 |" in text
    assert "▁▅█" in text


def test_sparkline() -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5]) == "▁▁"
    assert len(sparkline([float(i % 7) for i in range(1000)])) == 64
    assert sparkline([0.0] * 500 + [1.0] * 500) == "▁" * 32 + "█" * 32
