"""Presets, and what is asked for in their place."""

from pathlib import Path

import pytest

from vidsr.errors import UsageError
from vidsr.recipes import PRESETS
from vidsr.train_config import Preset, TrainConfig, TrainingBenchmarkConfig


def config_of(preset: Preset = "small", **asked: object) -> TrainConfig:
    return TrainConfig(Path("videos"), Path("run"), preset=preset, **asked)  # type: ignore[arg-type]


def test_the_paper_preset_has_the_losses_of_the_paper() -> None:
    recipe = config_of("paper").recipe
    # arXiv:1609.04802, section 3.2: VGG5,4 and 0.001 times the adversarial loss, no pixel loss.
    assert recipe.perceptual_layers == (("relu5_4", 1.0),)
    assert (recipe.adversarial_loss, recipe.adversarial_weight) == ("standard", 1e-3)
    assert (recipe.discriminator, recipe.pixel_weight) == ("paper", 0.0)
    assert recipe.degraded_share is None


@pytest.mark.parametrize("preset", ["tiny", "fast", "small"])
def test_presets_for_processors_need_no_vgg(preset: Preset) -> None:
    recipe = config_of(preset).recipe
    assert recipe.perceptual_layers == ()
    assert recipe.discriminator == "patch"
    assert recipe.pixel_weight > 0  # nothing else would keep to the picture


def test_what_is_asked_for_takes_the_place_of_the_preset() -> None:
    asked = {
        "degraded_share": 0.25,
        "pixel_weight": 0.0,
        "perceptual_layers": (("relu2_2", 0.5),),
        "adversarial_loss": "standard",
        "adversarial_weight": 0.0,
        "discriminator": "unet",
    }
    recipe = config_of(**asked).recipe
    assert {name: getattr(recipe, name) for name in asked} == asked
    assert config_of("paper", perceptual_layers=()).recipe.perceptual_layers == ()
    assert recipe.blocks == PRESETS["small"].blocks


@pytest.mark.parametrize(
    "asked", [{"degraded_share": 1.0}, {"degraded_share": -0.1}, {"adversarial_weight": -1.0}]
)
def test_impossible_shares_and_weights_are_refused(asked: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"--(degraded-share|adversarial-weight)"):
        config_of(**asked)


def test_the_benchmark_measures_the_pixel_stage_of_the_preset() -> None:
    config = TrainingBenchmarkConfig("fast", updates=3, warm_up=2).training
    assert (config.preset, config.stage, config.updates) == ("fast", "pixel", 5)


def test_edges_are_not_asked_of_patches_that_nobody_degrades() -> None:
    for preset, degradation in (("paper", "video"), ("small", "bicubic")):
        with pytest.raises(UsageError, match="--degraded-detail edges needs --degraded-share"):
            config_of(preset, degradation=degradation, degraded_detail="edges")  # type: ignore[arg-type]
    both = config_of("paper", degraded_share=0.5, degraded_detail="edges")
    assert both.recipe.degraded_detail == "edges"
