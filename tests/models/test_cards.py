"""What the model cards and README promise is what the shipped files do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vidsr.config import EvaluateConfig
from vidsr.models.weights import RegistryEntry, model_card, registry
from vidsr.pipelines.evaluate import evaluate_images

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
SET5 = SHARED / "benchmarks" / "Set5"
LPIPS = (
    SHARED / "weights" / "alexnet_features_fp16.safetensors",
    SHARED / "weights" / "lpips_lin_v0.1.safetensors",
)


def promised(text: str, scale: int, name: str) -> list[list[float]]:
    """[Set5, Set14] of a model in the table whose head begins with the scale: PSNR, SSIM, LPIPS."""
    table = re.search(rf"^\| x{scale} \| Set5 PSNR.*?(?=\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    assert table, f"no scores at x{scale}"
    cells = (line.split("|") for line in table[0].splitlines())
    [row] = [row for row in cells if row[1].replace("`", "").strip() == name]
    return [[float(value) for value in cell.split("/")] for cell in row[2:4]]


Row = tuple[RegistryEntry, str, float | None]
"""A model at one scale, how it is called in the tables of scores, and its detail."""


def rows(entry: RegistryEntry) -> list[Row]:
    """What the tables say of a model: as it comes, and at both ends where it has two sets."""
    usual: Row = (entry, entry.name, None)
    if len(entry.files) == 1:
        return [usual]
    return [(entry, f"{entry.name}, detail {detail:g}", detail) for detail in (0.0, 1.0)] + [usual]


ROWS = [row for entry in registry() for row in rows(entry)]


@pytest.mark.parametrize(
    ("entry", "name", "detail"), ROWS, ids=[f"{name} x{entry.scale}" for entry, name, _ in ROWS]
)
def test_the_card_s_scores_are_measured_again(
    entry: RegistryEntry, name: str, detail: float | None
) -> None:
    if not SET5.is_dir() or not all(path.is_file() for path in LPIPS):
        pytest.skip("Set5 or the weights of LPIPS are not beside the checkout")
    config = EvaluateConfig(
        images=SET5,
        model=entry.name,
        detail=detail,
        scale=entry.scale,
        lpips_weights=LPIPS,
        device="cpu",
    )
    report = evaluate_images(config)
    found = report.mean(report.methods[-1])
    psnr_db, ssim, lpips = promised(model_card(entry.name), entry.scale, name)[0]
    assert found.psnr_db == pytest.approx(psnr_db, abs=0.01)
    assert found.ssim == pytest.approx(ssim, abs=0.0002)
    assert found.lpips == pytest.approx(lpips, abs=0.001)


@pytest.mark.parametrize("entry", registry(), ids=lambda entry: f"{entry.name}-x{entry.scale}")
def test_a_card_tells_how_each_set_was_made(entry: RegistryEntry) -> None:
    card = model_card(entry.name)
    for heading in ("Trained for", "Data", "Training", "Scores", "Weaknesses"):
        assert re.search(rf"^## {heading}", card, re.MULTILINE)
    for objective in entry.files:
        [row] = re.findall(rf"^\| x{entry.scale} {objective} \|(.*)$", card, re.MULTILINE)
        assert "vidsr train" in row


def test_readme_repeats_the_cards() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for entry, name, _ in ROWS:
        if entry.scale == 4:
            assert promised(readme, 4, name) == promised(model_card(entry.name), 4, name)
