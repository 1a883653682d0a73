"""Which model is taken where nobody names one, and what is said of it; a begun job keeps its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.blends import SMALL, calibrate_sets, save_sets
from tests.inference.nearest import NearestBackend
from tests.synthetic import make_video
from vidsr.arrays import Array
from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.errors import UsageError
from vidsr.inference import speed
from vidsr.models import weights as registry
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.operations import operations_a_pixel
from vidsr.models.weights_file import save_weights
from vidsr.pipelines import model_choice
from vidsr.pipelines.info import describe
from vidsr.pipelines.model_choice import NIGHT_S, SLOWEST, Expected, choose_model, choose_weights
from vidsr.pipelines.upscale import upscale_video
from vidsr.pipelines.upscale_plan import open_reader, plan_upscale
from vidsr.progress import Event, Notice

BEST, NEXT, LAST = Expected("best", 1.0), Expected("next", 0.1), Expected("last", 0.2)


def test_the_preferred_one_is_taken_for_up_to_a_night() -> None:
    assert choose_model([BEST, NEXT], frames=int(NIGHT_S), duration_s=60) is BEST
    assert choose_model([BEST, NEXT], frames=int(NIGHT_S) + 1, duration_s=60) is NEXT


def test_a_long_video_may_take_long() -> None:
    frames = 10 * int(NIGHT_S)
    assert choose_model([BEST, NEXT], frames, duration_s=frames * SLOWEST) is BEST
    assert choose_model([BEST, NEXT], frames, duration_s=frames * SLOWEST - 1) is NEXT


def test_where_all_are_too_slow_the_fastest_is_taken() -> None:
    assert choose_model([BEST, LAST, NEXT], frames=10**9, duration_s=1) is NEXT
    assert choose_model([BEST], frames=10**9, duration_s=1) is BEST


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry of three small models, and an empty memory of speeds."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    torch.manual_seed(0)
    for name, blocks in (("srgan-lite", 4), ("srgan-fast", 1), ("srgan", 16)):
        shape = GeneratorConfig(scale=2, blocks=blocks, channels=16, upsampler="single", head_kernel=3)
        save_weights(folder / f"{name}_x2_pixel.safetensors", Generator(shape), metadata={})
    monkeypatch.setattr(registry, "SHIPPED", folder)
    monkeypatch.setenv("VIDSR_CACHE", str(tmp_path / "cache"))
    make_video(tmp_path / "in.mkv", frames=4, audio=1)
    return tmp_path


def job(folder: Path, **options: object) -> UpscaleConfig:
    given = {"output": folder / "out.mkv", "scale": 2, "backend": "cpu", **options}
    given.setdefault("encode", EncodeConfig(preset="ultrafast"))
    return UpscaleConfig(folder / "in.mkv", **given)  # type: ignore[arg-type]


def chosen(config: UpscaleConfig) -> model_choice.Choice:
    with open_reader(config) as reader:
        return choose_weights(config, reader.info, reader.timeline)


def test_the_notice_names_the_model_its_speed_and_the_others(shipped: Path) -> None:
    choice = chosen(job(shipped))
    assert choice.weights.name == "srgan-lite"
    assert choice.expectation is not None
    assert "the network makes about" in choice.expectation
    assert "--fast about" in choice.expectation and "--model srgan about" in choice.expectation
    facts = dict(describe(job(shipped)).facts)
    assert facts["model"] == f"srgan-lite x2 on cpu; {choice.expectation}"
    assert chosen(job(shipped, model="srgan")).expectation is None


def test_speed_is_measured_once_and_corrected_by_what_is_learnt(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = chosen(job(shipped))
    (found,) = json.loads((shipped / "cache" / "speed.json").read_text()).values()
    assert found["pixels"] > 0
    monkeypatch.setattr(speed, "_measured", lambda *_: pytest.fail("measured again"))
    assert chosen(job(shipped)) == first
    speed.learn_speed(first.weights, job(shipped), 64 * 48 * 7.0)
    again = chosen(job(shipped)).expectation
    assert again is not None and again.startswith("the network makes about 7 frames/s")


def test_a_run_corrects_what_is_expected(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_measured", lambda *_: 64 * 48 * 1e6)
    lite = chosen(job(shipped)).weights
    upscale_video(job(shipped))  # too short to tell
    assert speed.known_speed(lite, job(shipped)) == 64 * 48 * 1e6
    make_video(shipped / "in.mkv", frames=model_choice.TELLING, gop=100)
    upscale_video(job(shipped, overwrite=True, skip=False))
    assert 0 < (speed.known_speed(lite, job(shipped)) or 0) < 64 * 48 * 1e6


def test_a_model_that_takes_longer_than_a_night_gives_way(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = chosen(job(shipped)).weights
    speed.learn_speed(first, job(shipped), 64 * 48 / 10_000)
    choice = chosen(job(shipped))
    assert choice.weights.name == "srgan-fast"
    assert choice.expectation is not None
    assert "where srgan-lite would take longer than a night" in choice.expectation


def test_operations_tell_the_speed_of_what_was_never_run(shipped: Path) -> None:
    config = job(shipped)
    names = ("srgan-lite", "srgan-fast", "srgan")
    models = [registry.find_weights(name, 2) for name in names]
    speed.learn_speed(models[0], config, 1000.0)
    with open_reader(config) as reader:
        lite, fast, large = model_choice.expect(models, config, reader.info)
    assert lite.frame_s == pytest.approx(64 * 48 / 1000)
    assert fast.frame_s < lite.frame_s < large.frame_s
    speed.learn_speed(models[2], config, 123.0)
    with open_reader(config) as reader:
        assert model_choice.expect(models, config, reader.info)[2].frame_s == pytest.approx(
            64 * 48 / 123
        )


def test_a_begun_job_keeps_its_model(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopping(NearestBackend):
        def __call__(self, lr: Array) -> Array:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscale_video(job(shipped), opener=lambda *_: Stopping(2))
    lite = registry.find_weights("srgan-lite", 2)
    speed.learn_speed(lite, job(shipped), 1e-6)  # by now it would not be taken any more
    assert chosen(job(shipped)) == model_choice.Choice(lite)
    assert chosen(job(shipped, restart=True)).weights.name == "srgan-fast"
    events: list[Event] = []
    report = upscale_video(job(shipped), events.append, opener=lambda *_: NearestBackend(2))
    assert report.model == "srgan-lite"


def test_both_sets_are_blended_and_told_of(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = GeneratorConfig(scale=2, blocks=4, channels=16, upsampler="single", head_kernel=3)
    save_sets(shipped / "shipped", shape, "srgan-lite_x2_")
    choice = chosen(job(shipped))
    assert (choice.weights.name, choice.weights.detail) == ("srgan-lite", 0.75)
    facts = dict(describe(job(shipped)).facts)
    assert facts["model"] == f"srgan-lite x2, detail 0.75 on cpu; {choice.expectation}"
    assert dict(describe(job(shipped, detail=0)).facts)["model"].startswith(
        "srgan-lite x2, detail 0 on cpu"
    )
    # Of those without an adversarial set there is nothing to choose.
    choice = chosen(job(shipped, detail=0.5))
    assert choice.expectation is not None and "--fast" not in choice.expectation
    assert "--fast about" in (chosen(job(shipped, detail=0)).expectation or "")
    events: list[Event] = []
    report = upscale_video(job(shipped), events.append, opener=lambda *_: NearestBackend(2))
    said = [event.text for event in events if isinstance(event, Notice)]
    assert any(text.startswith("srgan-lite, detail 0.75: the network makes") for text in said)
    assert " srgan-lite x2, detail 0.75 on nearest, exact" in report.summary()
    picture = upscale_video(
        job(shipped, output=shipped / "out_%d.png"), opener=lambda *_: NearestBackend(2)
    )
    assert " srgan-lite x2, detail 0.75 on nearest, exact" in picture.summary()


def test_a_calibrated_blend_costs_what_8_bits_cost(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_choice, "multiplies_bytes", lambda: True)
    save_sets(shipped / "shipped", SMALL, "srgan-lite_x2_")
    config = job(shipped, backend="openvino")
    blends = [registry.find_weights("srgan-lite", 2, detail=detail) for detail in (0.25, None)]
    for weights in blends:
        assert model_choice._cost(weights, config) == model_choice.FLOAT_COST * operations_a_pixel(SMALL)
    calibrate_sets("srgan-lite")
    for weights in blends:
        assert model_choice._cost(weights, config) == operations_a_pixel(SMALL)


def test_what_is_known_of_a_blend_s_speed_is_of_its_detail_alone(shipped: Path) -> None:
    save_sets(shipped / "shipped", SMALL, "srgan-lite_x2_")
    for speed_px, detail in enumerate((0.0, 0.25, 0.75, 1.0), start=1):
        weights = registry.find_weights("srgan-lite", 2, detail=detail)
        assert speed.known_speed(weights, job(shipped)) is None
        speed.learn_speed(weights, job(shipped), speed_px)


def test_upscale_says_it_once_at_the_start(shipped: Path) -> None:
    events: list[Event] = []
    upscale_video(job(shipped), events.append, opener=lambda *_: NearestBackend(2))
    said = [event.text for event in events if isinstance(event, Notice)]
    assert len([text for text in said if text.startswith("srgan-lite: the network makes")]) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_backend_that_cannot_run_is_left_to_who_opens_it(shipped: Path) -> None:
    choice = chosen(job(shipped, backend="cuda"))
    assert (choice.weights.name, choice.expectation) == ("srgan", None)


def test_what_no_model_can_do_is_refused_with_its_reason(shipped: Path) -> None:
    with pytest.raises(UsageError, match="srgan-lite enlarges by 2 at most"):
        chosen(job(shipped, scale=3))
    with pytest.raises(
        UsageError,
        match=r"--detail 0\.5 needs the adversarial set of weights, and srgan-lite x2 has none",
    ):
        chosen(job(shipped, detail=0.5))


@pytest.mark.parametrize(
    ("codec", "usual", "quick"),
    [("h264", "medium", "veryfast"), ("hevc", "medium", "veryfast"), ("av1", "6", "9")],
)
def test_a_light_network_gets_a_quick_encoder_unless_one_is_named(
    shipped: Path, codec: str, usual: str, quick: str
) -> None:
    shape = GeneratorConfig(
        scale=2, blocks=1, channels=8, upsampler="single", head_kernel=3, tail_kernel=3
    )
    save_weights(shipped / "light.safetensors", Generator(shape), metadata={})

    def preset(model: str, **options: object) -> str:
        encode = EncodeConfig(codec=codec, **options)  # type: ignore[arg-type]
        config = job(shipped, model=model, encode=encode)
        with open_reader(config) as reader:
            return plan_upscale(config, reader).encoding.options["preset"]

    light = str(shipped / "light.safetensors")
    assert preset(light) == quick
    assert preset("srgan") == usual
    named = "8" if codec == "av1" else "faster"
    assert preset(light, preset=named) == named
