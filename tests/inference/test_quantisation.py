"""Ranges for 8 bits: what is measured, what is kept, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.blends import save_sets
from vidsr.errors import InputError, UsageError, WeightsError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference import quantisation
from vidsr.inference.calibration import (
    FORMAT,
    LEVELS,
    Calibration,
    calibration_path,
    find_calibration,
    grid,
    read_calibration,
)
from vidsr.inference.quantisation import Pictures, calibrate, measure_ranges, weighed
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights import (
    OBJECTIVES,
    SHIPPED,
    Weights,
    find_sets,
    find_weights,
    load_generator,
    registry,
)
from vidsr.models.weights_file import save_weights
from vidsr.progress import Advanced, Event, Finished, Started
from vidsr.video.durable import sha256_of
from vidsr.video.stills import write_still

CONFIG = GeneratorConfig(
    scale=2,
    blocks=2,
    channels=16,
    activation="leaky_relu",
    upsampler="single",
    head_kernel=3,
    tail_kernel=3,
    input_skip=True,
)


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    torch.manual_seed(4)
    path = tmp_path / "net.safetensors"
    save_weights(path, Generator(CONFIG), metadata={})
    return find_weights(str(path), 2)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Seven pictures, smooth with an edge and some noise, two of them of odd sizes."""
    random = torch.Generator().manual_seed(8)
    paths = []
    for number in range(7):
        height, width = (61, 83) if number % 3 == 0 else (64, 96)
        ramp = torch.linspace(0, 180, width).expand(3, 1, height, width).clone()
        ramp[:, :, height // 2 :] += 40 + 5 * number
        noise = torch.randint(0, 30, ramp.shape, generator=random)
        planes = tuple((ramp + noise).clamp(0, 255).to(torch.uint8).numpy())
        color = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1))
        path = tmp_path / f"{number}.png"
        write_still(path, FrameBatch(planes, color, (0,), Fraction(1)))
        paths.append(path)
    return paths


def noise(side: int = 24) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(6))


def test_every_convolution_but_the_first_has_a_range(weights: Weights) -> None:
    generator = load_generator(weights, torch.device("cpu"))
    ranges = measure_ranges(generator, [noise()])
    convolutions = {n for n, m in generator.named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert set(ranges) == convolutions - {"head"}
    assert not any(module._forward_pre_hooks for module in generator.modules())


def test_a_lone_far_value_is_clamped_and_an_even_spread_is_not() -> None:
    # What goes into the body's convolution is the picture itself.
    generator = Generator(replace(CONFIG, body="plain", blocks=1, activation="relu", head_kernel=1))
    for parameter in generator.parameters():
        torch.nn.init.zeros_(parameter)
    generator.head.weight.data[:3, :, 0, 0] = torch.eye(3)
    even = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    low, high = measure_ranges(generator, [even])["body.0"]
    assert low == 0 and high == pytest.approx(float(even.max()))
    even /= 10
    even[0, 0, 0, 0] = 1.0  # the first value is always among those weighed
    low, high = measure_ranges(generator, [even])["body.0"]
    assert high < 0.95


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-0.1, 2.7), (-3.0, 0.2), (0.5, 1.0), (-1.0, -0.5)])
def test_zero_is_a_level(ends: tuple[float, float]) -> None:
    step, zero = grid(*ends)
    assert 0 <= zero < LEVELS
    assert -zero * step == pytest.approx(min(ends[0], 0), abs=0.51 * step)
    assert (LEVELS - 1 - zero) * step == pytest.approx(max(ends[1], 0), abs=0.51 * step)


def test_a_layer_that_is_always_zero_has_levels_too() -> None:
    assert grid(0.0, 0.0) == (1.0, 0)


def test_what_was_calibrated_is_found_beside_the_weights(weights: Weights, pictures: list[Path]) -> None:
    pytest.importorskip("vidsr.inference.openvino_graph", exc_type=ImportError, reason="no OpenVINO")
    events: list[Event] = []
    calibration = calibrate(weights, Pictures.of(pictures), events.append)
    counts = [event.done for event in events if isinstance(event, Advanced)]
    assert counts == list(range(1, 25))  # six pictures, each in two forms, looked at twice
    assert Started("calibrate", 24, "pictures") in events and Finished("calibrate") in events
    assert find_calibration(weights) is None
    calibration.save(calibration_path(weights.path))
    assert find_calibration(weights) == calibration
    assert (calibration.pictures, calibration.held_out) == (6, 1)
    assert calibration.weights_sha256 == weights.sha256
    assert 30 < calibration.psnr_db < 100


def test_pictures_that_cannot_serve(weights: Weights, pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="5 pictures"):
        Pictures.of(pictures[:4])
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.png"):
        calibrate(weights, Pictures.of([broken, *pictures]))


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 1, "ranges": {"a": [1]}}'])
def test_a_damaged_file_is_named(text: str, weights: Weights) -> None:
    calibration_path(weights.path).write_text(text)
    with pytest.raises(WeightsError, match=r"net\.int8\.json.*vidsr export"):
        find_calibration(weights)


def test_files_of_other_weights_or_formats_are_not_used(weights: Weights) -> None:
    calibration = Calibration(weights.sha256, {"tail": (-1.0, 1.0)}, 4, 1, 50.0, 0.01)
    path = calibration_path(weights.path)
    for found, used in (
        (calibration, True),
        (replace(calibration, weights_sha256="f" * 64), False),
        (replace(calibration, format=FORMAT + 1), False),
    ):
        path.write_text(json.dumps(found.to_json()))
        assert (find_calibration(weights) is not None) is used


def test_of_many_pictures_a_spread_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantisation, "MOST_PICTURES", 7)
    found = Pictures.of([Path(f"{number}.png") for number in range(21)])
    assert [path.stem for path in found.measured] == ["0", "3", "6", "9", "15", "18"]
    assert [path.stem for path in found.held_out] == ["12"]


def test_shipped_calibrations_are_of_the_shipped_weights() -> None:
    for path in sorted(SHIPPED.glob("*.int8.json")):
        weights = path.with_name(path.name.replace(".int8.json", ".safetensors"))
        calibration = read_calibration(path)
        assert calibration is not None
        assert calibration.weights_sha256 == sha256_of(weights), f"{path.name}: run vidsr export again"
        assert calibration.loss_db <= 0.1
    for entry in registry():
        calibrated = {calibration_path(path).is_file() for path in entry.files.values()}
        assert len(calibrated) == 1, f"{entry.name} x{entry.scale}: a blend needs both, or neither"


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """The folder of a training with both sets, each with a calibration that says what it is of."""
    folder = save_sets(tmp_path / "run", CONFIG)
    for weights, ranges, pictures, loss_db in zip(
        find_sets(str(folder), 2),
        ({"body.0": (-1.0, 2.0), "tail": (-3.0, 1.0)}, {"body.0": (-2.0, 1.0), "tail": (-1.0, 1.5)}),
        (40, 50),
        (0.01, 0.03),
        strict=True,
    ):
        found = Calibration(weights.sha256, ranges, pictures, 10, 50.0, loss_db)
        found.save(calibration_path(weights.path))
    return folder


@pytest.mark.parametrize("detail", [None, 0.1, 0.75])
def test_a_blend_takes_the_wider_range_of_both_sets(sets: Path, detail: float | None) -> None:
    weights = find_weights(str(sets), 2, detail=detail)
    found = find_calibration(weights)
    assert found is not None and found.weights_sha256 == weights.sha256
    assert found.ranges == {"body.0": (-2.0, 2.0), "tail": (-3.0, 1.5)}
    assert (found.pictures, found.loss_db) == (40, 0.03)
    for detail in (0.0, 1.0):
        alone = find_calibration(find_weights(str(sets), 2, detail=detail))
        assert alone is not None and alone.digest != found.digest


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("change", ["missing", "of other weights", "of another format"])
def test_a_blend_with_one_calibration_has_none(sets: Path, objective: str, change: str) -> None:
    blend = find_weights(str(sets), 2)
    path = sets / f"{objective}.int8.json"
    found = read_calibration(path)
    assert found is not None and find_calibration(blend) is not None
    if change == "missing":
        path.unlink()
    elif change == "of other weights":
        replace(found, weights_sha256="f" * 64).save(path)
    else:
        replace(found, format=FORMAT + 1).save(path)
    assert find_calibration(blend) is None
    other = 0.0 if objective == "adversarial" else 1.0
    assert find_calibration(find_weights(str(sets), 2, detail=other)) is not None


def test_calibrations_that_changed_places_are_not_used(sets: Path) -> None:
    one, other = (sets / f"{objective}.int8.json" for objective in OBJECTIVES)
    swapped = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(swapped)
    assert find_calibration(find_weights(str(sets), 2)) is None


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_damaged_calibration_of_a_blend_is_named(sets: Path, objective: str) -> None:
    (sets / f"{objective}.int8.json").write_text("{")
    with pytest.raises(WeightsError, match=rf"{objective}\.int8\.json.*vidsr export"):
        find_calibration(find_weights(str(sets), 2))


@pytest.mark.parametrize("scale", [2, 4])
def test_the_wider_range_costs_a_blend_little(scale: int, tmp_path: Path, pictures: list[Path]) -> None:
    """A trained network, and what stands in for its adversarial set: every filter a little other."""
    pytest.importorskip("vidsr.inference.openvino_graph", exc_type=ImportError, reason="no OpenVINO")
    pixel = find_sets("srgan-fast", scale)[0]
    (tmp_path / "pixel.safetensors").write_bytes(pixel.path.read_bytes())
    generator = load_generator(pixel, torch.device("cpu"))
    torch.manual_seed(1)
    for tensor in generator.parameters():
        tensor.add_(0.1 * tensor.abs().mean() * torch.randn_like(tensor))
    save_weights(tmp_path / "adversarial.safetensors", generator, metadata={})
    blend, chosen = find_weights(str(tmp_path), scale), Pictures.of(pictures)
    one, other = (calibrate(weights, chosen) for weights in find_sets(str(tmp_path), scale))
    assert blend.detail is not None
    wide = weighed(one.of_blend(other, blend.detail), blend, chosen)
    own = calibrate(blend, chosen)
    # Steps an eighth coarser are 1 dB. Found: 58.8 and 59.0 dB from fp32 at x2, 56.3 and 56.1 at x4.
    assert wide.psnr_db > own.psnr_db - 1
    assert wide.loss_db < 0.1


def test_the_digest_follows_the_ranges_alone() -> None:
    one = Calibration("a", {"tail": (-1.0, 1.0)}, 4, 1, 50.0, 0.01)
    assert replace(one, pictures=9).digest == one.digest
    assert replace(one, ranges={"tail": (-1.0, 1.5)}).digest != one.digest
