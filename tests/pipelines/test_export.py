"""`vidsr export`: every set of a model calibrated, or nothing written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("vidsr.inference.openvino_graph", exc_type=ImportError, reason="no OpenVINO here")

from tests.blends import save_sets
from vidsr.errors import InputError, UsageError, WeightsError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference import quantisation
from vidsr.inference.calibration import find_calibration, read_calibration
from vidsr.inference.openvino_backend import OpenvinoBackend
from vidsr.models.weights import find_sets, find_weights
from vidsr.pipelines.export import export
from vidsr.video.stills import write_still

MOST_LOSS_DB = 3.0
"""Random weights make no picture: what 8 bits do to their PSNR against one is chance."""


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(save_sets(tmp_path / "run"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Five small pictures, smooth with some noise."""
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.default_rng(3)
    color = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1))
    for number in range(5):
        ramp = np.linspace(20 * number, 200, 64, dtype=np.float32)[None, None].repeat(48, 1)
        planes = tuple((ramp + random.integers(0, 40, ramp.shape)).astype(np.uint8) for _ in range(3))
        write_still(folder / f"{number}.png", FrameBatch(planes, color, (0,), Fraction(1)))
    return folder


def test_both_sets_are_calibrated_each_beside_its_file(model: str, images: Path) -> None:
    said = export(model, 2, images, most_loss_db=MOST_LOSS_DB).splitlines()
    assert [line.split(":")[0] for line in said] == [
        f"{model}/pixel.int8.json",
        f"{model}/adversarial.int8.json",
        "run x2, detail 0.75",
    ]
    for weights in (*find_sets(model, 2), find_weights(model, 2), find_weights(model, 2, detail=0.3)):
        assert find_calibration(weights) is not None
        assert OpenvinoBackend(weights, "int8").precision == "int8"


def test_one_set_may_be_calibrated_alone_and_elsewhere(model: str, images: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--output is one file, and .*run/pixel\.safetensors"):
        export(model, 2, images, tmp_path / "own.json")
    one, other = find_sets(model, 2)
    export(str(other.path), 2, images, tmp_path / "own.json", MOST_LOSS_DB)
    found = read_calibration(tmp_path / "own.json")
    assert found is not None and found.weights_sha256 == other.sha256
    assert find_calibration(other) is None
    export(str(one.path), 2, images, most_loss_db=MOST_LOSS_DB)
    assert find_calibration(one) is not None and find_calibration(find_weights(model, 2)) is None


@pytest.mark.parametrize(
    ("costly", "named"),
    [(0, r"run/pixel\.safetensors"), (1, r"run/adversarial\.safetensors"), (2, r"run x2, detail 0\.75")],
)
def test_where_one_of_them_loses_too_much_nothing_is_written(
    model: str, images: Path, monkeypatch: pytest.MonkeyPatch, costly: int, named: str
) -> None:
    costs = iter([(50.0, 0.2 if number == costly else 0.01) for number in range(3)])
    monkeypatch.setattr(quantisation, "_cost", lambda *arguments: next(costs))
    with pytest.raises(WeightsError, match=rf"{named}: 8 bits would lose 0\.20 dB, .*--most-loss"):
        export(model, 2, images)
    assert not list(Path(model).glob("*.json"))
    assert len(list(costs)) == 2 - costly  # nobody waits for the others


def test_a_folder_that_is_none_is_refused(model: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder of pictures"):
        export(model, 2, tmp_path / "none")
