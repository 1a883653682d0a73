"""A trial measures what it can reach: places that give no frame are left out, time limits are kept."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.inference.nearest import NearestBackend
from tests.synthetic import make_video
from vidsr.arrays import HOST, Array
from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.errors import InputError
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights_file import save_weights
from vidsr.pipelines import trial as module
from vidsr.pipelines.samples import Run, spread
from vidsr.pipelines.trial import GOOD_FRAMES, LEAST_FRAMES, Trial, measure
from vidsr.pipelines.upscale_plan import open_reader, plan_upscale

NOWHERE = Run(10**9, None, 5, 0)
"""Behind the end: nothing can be decoded there."""


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    monkeypatch.setattr(module, "ENCODER_FRAMES", 20)
    torch.manual_seed(3)
    shape = GeneratorConfig(scale=2, blocks=1, channels=16, upsampler="single", tail_kernel=3)
    save_weights(tmp_path / "tiny.safetensors", Generator(shape), metadata={})
    make_video(tmp_path / "in.mkv", frames=60)
    job = UpscaleConfig(
        tmp_path / "in.mkv",
        tmp_path / "out.mkv",
        scale=2,
        model=str(tmp_path / "tiny.safetensors"),
        backend="cpu",
        encode=EncodeConfig(preset="ultrafast"),
    )
    (tmp_path / "work").mkdir()
    with open_reader(job) as reader:
        plan = plan_upscale(job, reader)
        runs = spread(reader.timeline, places=3, frames=15)
    return Trial(reader, runs, plan.weights, job, plan.output, plan.encoding, 60.0, tmp_path / "work")


def test_every_place_is_visited_where_there_is_time(trial: Trial) -> None:
    found = measure(trial)
    assert found.frames == 45 and found.filled
    assert (found.precision, found.on_cpu, found.device_bytes) == ("fp32", True, None)
    assert found.key_bytes > found.other_bytes > 0


def test_a_slow_network_sees_fewer_places_but_never_less_than_two_frames(trial: Trial) -> None:
    assert measure(replace(trial, seconds=1e-6)).frames == LEAST_FRAMES < GOOD_FRAMES


def test_places_that_give_no_frame_are_left_out(trial: Trial) -> None:
    assert measure(replace(trial, runs=(NOWHERE, *trial.runs))).frames == 45
    with pytest.raises(InputError, match=r"in\.mkv: not one frame"):
        measure(replace(trial, runs=(NOWHERE,)))


class TwoAtOnce(NearestBackend):
    """Takes its time for a frame, and computes two side by side, which then end at once."""

    frame_s = 0.2

    def calls_at_once(self, pixels: int) -> int:
        return 2

    def abreast(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __call__(self, lr: Array) -> Array:
        time.sleep(self.frame_s)
        return super().__call__(lr)


def test_two_frames_that_end_at_once_took_the_time_of_both(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(weights: Any, config: UpscaleConfig, progress: Any) -> TwoAtOnce:
        return TwoAtOnce(weights.scale, device=HOST)

    monkeypatch.setattr(module, "open_backend", opened)
    for seconds in (1e-6, 0.5, 1.0):  # least frames, and time for more
        assert measure(replace(trial, seconds=seconds)).network_s >= TwoAtOnce.frame_s / 2
