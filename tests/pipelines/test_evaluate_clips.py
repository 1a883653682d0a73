"""Clips are reduced, compressed, enlarged and compared with themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.blends import save_sets
from tests.synthetic import make_video
from vidsr.config import EvaluateConfig
from vidsr.errors import InputError, UsageError
from vidsr.evaluation.clip_report import ClipEvaluationReport
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights_file import save_weights
from vidsr.pipelines.evaluate_clips import compare_on_clips, evaluate_clips, read_clip
from vidsr.video.resample import imresize

CLIP = Path(__file__).parents[1] / "data" / "bunny_320x180_h264_aac.mp4"


def lanczos(lr: Tensor) -> Tensor:
    return imresize(lr, 4, kernel="lanczos3")


def nearest(lr: Tensor) -> Tensor:
    return functional.interpolate(lr, scale_factor=4, mode="nearest")


def on_bunny(*crf: int) -> ClipEvaluationReport:
    config = EvaluateConfig(clips=CLIP, crf=crf, frames=3)
    return compare_on_clips(config, {"nearest": nearest, "lanczos": lanczos})


@pytest.fixture(scope="module")
def report() -> ClipEvaluationReport:
    return on_bunny(20, 34)


def test_frames_come_from_the_middle_and_fit_the_scale() -> None:
    clip = read_clip(CLIP, 3, 16)
    assert clip.first_frame == (132 - 3) // 2
    assert clip.frames.shape == (3, 176, 320, 3)
    assert read_clip(CLIP, 1000, 4).frames.shape == (132, 180, 320, 3)


def test_the_clean_reduction_is_that_of_the_pictures() -> None:
    [scores] = on_bunny().clips
    clip = read_clip(CLIP, 3, 4)
    expected = []
    for frame in clip.frames:
        hr = frame.permute(2, 0, 1)[None].float() / 255
        lr = (imresize(hr, 0.25).clamp(0, 1) * 255).round() / 255
        sr = (lanczos(lr).clamp(0, 1) * 255).round() / 255
        weights = torch.tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)
        error = ((sr - hr) * weights).sum(1)[:, 4:-4, 4:-4]
        expected.append(float(10 * torch.log10(255**2 / error.square().mean())))
    assert scores.crf is None and scores.size == (80, 45) and scores.frames == 3
    assert scores.scores["lanczos"].score.psnr_db == pytest.approx(sum(expected) / 3, abs=0.01)


def test_stronger_compression_scores_lower(report: ClipEvaluationReport) -> None:
    weak, strong = (report.mean("lanczos", crf).score for crf in (20, 34))
    assert weak.psnr_db > strong.psnr_db + 1
    assert weak.ssim > strong.ssim


def test_the_report_names_every_clip_strength_and_method(report: ClipEvaluationReport) -> None:
    assert [(clip.clip, clip.crf) for clip in report.clips] == [(CLIP.name, 20), (CLIP.name, 34)]
    assert report.model == "lanczos" and report.methods == ("nearest", "lanczos")
    text = report.to_markdown()
    assert f"| {CLIP.name} | 34 | nearest |" in text
    assert "| CRF | method | PSNR dB | SSIM | temporal |" in text
    found = json.loads(json.dumps(report.to_json()))
    assert [mean["crf"] for mean in found["mean"]] == [20, 20, 34, 34]
    assert found["clips"][0]["scores"]["nearest"]["temporal"] > 0


def test_a_model_is_scored_beside_lanczos_and_saved(tmp_path: Path) -> None:
    mine = Generator(GeneratorConfig(blocks=1, channels=4))
    save_weights(tmp_path / "mine.safetensors", mine, metadata={})
    (tmp_path / "clips").mkdir()
    make_video(tmp_path / "clips" / "one.mp4", frames=1, size=(64, 64))
    config = EvaluateConfig(
        clips=tmp_path / "clips", model=str(tmp_path / "mine.safetensors"), output=tmp_path / "r.json"
    )
    report = evaluate_clips(config)
    assert report.methods == ("lanczos", "mine")
    assert report.clips[0].scores["mine"].temporal is None  # of a single frame
    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved["clips"][0]["crf"] is None
    assert (tmp_path / "r.md").read_text() == report.to_markdown()
    both = evaluate_clips(replace(config, model=str(save_sets(tmp_path / "run")), scale=2, output=None))
    assert both.methods == ("lanczos", "run, detail 0.75")


def test_what_cannot_be_scored_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match="no video"):
        evaluate_clips(EvaluateConfig(clips=tmp_path, model="srgan-lite"))
    small = make_video(tmp_path / "small.mp4", frames=2, size=(16, 16))
    with pytest.raises(InputError, match="too small to score"):
        evaluate_clips(EvaluateConfig(clips=small, model="srgan-lite"))
    with pytest.raises(UsageError, match="--crf goes with --clips"):
        EvaluateConfig(images=tmp_path, crf=(23,))
    with pytest.raises(UsageError, match="from 0 to 51"):
        EvaluateConfig(clips=small, crf=(60,))
    with pytest.raises(UsageError, match="--frames"):
        EvaluateConfig(clips=small, frames=0)
