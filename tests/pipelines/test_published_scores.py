"""Scores that others have published or measured, from the pictures themselves.

Bicubic x4 has 28.42 dB on Set5 and 26.00 to 26.10 dB on Set14 in the literature (W.-S. Lai et al.,
LapSRN, CVPR 2017: 28.42 / 0.810 and 26.10 / 0.704); implementations differ in the second decimal by
how they round. The LPIPS values come from an independent measurement of the same pictures.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from vidsr.config import EvaluateConfig
from vidsr.evaluation.report import EvaluationReport
from vidsr.pipelines.evaluate import compare_methods
from vidsr.video.resample import imresize

SHARED = Path(__file__).parents[2].parent / "shared"
LPIPS = tuple(
    SHARED / "weights" / name
    for name in ("alexnet_features_fp16.safetensors", "lpips_lin_v0.1.safetensors")
)


METHODS = {
    "bicubic": lambda lr: imresize(lr, 4),
    "lanczos": lambda lr: imresize(lr, 4, kernel="lanczos3"),
}


def scored(benchmark: str, *names: str) -> EvaluationReport:
    images = SHARED / "benchmarks" / benchmark
    if not images.is_dir():
        pytest.skip(f"{benchmark} is not beside the checkout")
    weights = (LPIPS[0], LPIPS[1]) if all(path.is_file() for path in LPIPS) else None
    config = EvaluateConfig(images=images, lpips_weights=weights, device="cpu")
    return compare_methods(config, {name: METHODS[name] for name in names})


def test_set5() -> None:
    report = scored("Set5", "bicubic", "lanczos")
    bicubic, lanczos = report.mean("bicubic"), report.mean("lanczos")
    assert bicubic.psnr_db == pytest.approx(28.43, abs=0.01)
    assert bicubic.ssim == pytest.approx(0.8113, abs=0.0002)
    assert lanczos.psnr_db == pytest.approx(28.81, abs=0.01)
    assert bicubic.lpips is None or bicubic.lpips == pytest.approx(0.341, abs=0.001)


@pytest.mark.slow
def test_set14() -> None:
    bicubic = scored("Set14", "bicubic").mean("bicubic")
    assert bicubic.psnr_db == pytest.approx(26.09, abs=0.01)
    assert bicubic.ssim == pytest.approx(0.7050, abs=0.0002)
    assert bicubic.lpips is None or bicubic.lpips == pytest.approx(0.440, abs=0.001)
