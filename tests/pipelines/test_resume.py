"""What the first run chose is what every later run of the same job computes with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.blends import save_sets
from tests.gpu import require_gpu
from tests.pipelines.test_upscale import LOSSLESS, Stop, digest, run, stopping_after
from tests.synthetic import make_video
from vidsr.config import UpscaleConfig
from vidsr.errors import JobError
from vidsr.inference.backend import Call
from vidsr.inference.torch_backend import TorchBackend
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import Weights
from vidsr.models.weights_file import save_weights
from vidsr.pipelines.report import UpscaleReport
from vidsr.pipelines.upscale import upscale_video
from vidsr.progress import Progress, silent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, Generator(GeneratorConfig(blocks=1, channels=8, scale=2)), metadata={})
    return path


class Fickle(TorchBackend):
    """Finds another way to be the fastest each time, and computes so that it shows."""

    findings = iter(())
    used: list[str]

    def tune(self, call: Call) -> str:
        return next(self.findings)

    def use(self, way: str, call: Call) -> None:
        self.used.append(way)
        super().use(way, call)

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        sr = super().__call__(lr)
        return sr + 1 if self.used[-1] == "plain" else sr


@pytest.fixture
def fickle(monkeypatch: pytest.MonkeyPatch) -> type[Fickle]:
    monkeypatch.setattr(Fickle, "findings", iter(["plain", "plain", "rewritten", "rewritten"]))
    monkeypatch.setattr(Fickle, "used", [], raising=False)
    return Fickle


def test_a_resumed_run_computes_as_the_first_did(
    tmp_path: Path, model: Path, fickle: type[Fickle]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=30)

    def opener(weights: Weights, config: UpscaleConfig, progress: Progress) -> Fickle:
        return fickle(weights, torch.device("cpu"))

    def run(name: str, progress: Progress = silent, **values: bool) -> str:
        config = UpscaleConfig(
            source,
            tmp_path / name,
            scale=2,
            model=str(model),
            segment_frames=8,
            encode=LOSSLESS,
            **values,  # type: ignore[arg-type]
        )
        upscale_video(config, progress, opener=opener)
        return digest(tmp_path / name)

    whole = run("whole.mkv")
    with pytest.raises(Stop):
        run("out.mkv", stopping_after(12))
    assert run("out.mkv") == whole
    assert fickle.used == ["plain", "plain", "plain"]  # although the last finds "rewritten" faster
    assert run("out.mkv", overwrite=True) != whole  # a new job chooses anew
    assert fickle.used[-1] == "rewritten"


def test_another_detail_is_refused_by_name(tmp_path: Path) -> None:
    source, model = make_video(tmp_path / "in.mp4", frames=30), str(save_sets(tmp_path / "run"))

    def go(progress: Progress = silent, **options: Any) -> UpscaleReport:
        return run(source, tmp_path / "out.mkv", progress, model=model, segment_frames=8, **options)

    with pytest.raises(Stop):
        go(stopping_after(12))
    for detail in (0.5, 0, 1):
        with pytest.raises(
            JobError, match=rf"settings changed .*settings\.detail 0\.75 -> {detail:.1f}"
        ):
            go(detail=detail)
    assert go(detail=0.75).resumed_frames  # what is taken where nobody says


@pytest.mark.gpu
def test_on_a_card_a_resumed_run_ends_the_same(tmp_path: Path) -> None:
    """To the bit, graphs, kernels of its own and batches included."""
    require_gpu()
    source = make_video(tmp_path / "in.mp4", frames=60, size=(96, 128))

    def run(name: str, progress: Progress = silent) -> str:
        config = UpscaleConfig(
            source, tmp_path / name, backend="cuda", segment_frames=16, batch=4, encode=LOSSLESS
        )
        upscale_video(config, progress)
        return digest(tmp_path / name)

    whole = run("whole.mkv")
    with pytest.raises(Stop):
        run("out.mkv", stopping_after(20))
    assert run("out.mkv") == whole
