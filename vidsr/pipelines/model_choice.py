"""Which model `--model auto` takes, and what to expect of it and of the others.

The order of preference is by quality (`PREFERRED`); a model that would need too long gives way to the
next. Too long is a matter of the whole file and of its length: nobody minds ten minutes for a clip, and
whoever enlarges a week of recordings knows that it takes days.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.errors import BackendUnavailable, UsageError
from vidsr.frames import VideoInfo
from vidsr.inference.backend import choose_device
from vidsr.inference.calibration import find_calibration
from vidsr.inference.processor import multiplies_bytes
from vidsr.inference.speed import known_speed, learn_speed, pixels_a_second
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.operations import operations_a_pixel
from vidsr.models.weights import FAST, Weights, find_weights, preferred_models
from vidsr.pipelines.geometry import plan_geometry
from vidsr.video.job import weights_of_job
from vidsr.video.timeline import Timeline

NIGHT_S = 8 * 3600.0
"""A job of up to a night is never too long, seconds."""

SLOWEST = 0.25
"""Nor is one that runs at this share of the video's own speed: an hour in four."""

FLOAT_COST = 4.0
STAGED_COST = 2.0
"""What an operation costs on a processor in fp32, where others are in 8 bits, and in a network with
layers at high resolution. Measured at 320x180 on two cores with byte products (16 convolutions of 48
channels, and the paper's network): 971 GOP/s in 8 bits, 252 in fp32, 114 of the paper's in fp32."""


LIGHT = 20_000
"""Operations in 8 bits for each pixel of the output, below which a network takes less of a processor
than the usual preset of x264 does: that is 58 ns a pixel of one core, and 46,700 operations are 135."""


TELLING = 48
"""Frames from which on a run tells how fast the network is."""


@dataclass(frozen=True)
class Expected:
    """What a model takes here."""

    model: str
    frame_s: float  # seconds a frame, the network alone


@dataclass(frozen=True)
class Choice:
    """The weights of a job, and what the user should know about them."""

    weights: Weights
    expectation: str | None = None  # how fast it is, and what else there is; where nobody named a model


def choose_weights(config: UpscaleConfig, info: VideoInfo, timeline: Timeline | None) -> Choice:
    """The weights for the factor that the options ask for; `auto` by device, speed and length.

    A job that was begun goes on with its own. `timeline` is None for a pipe, whose length nobody knows:
    the preferred model is taken, and what to expect of it said. Raises WeightsError and UsageError as
    `find_weights`.
    """
    factor = plan_geometry(config, info, (1, 1)).factor
    if config.model != "auto":
        return Choice(find_weights(config.model, factor, detail=config.detail))
    candidates = _candidates(config, factor)
    begun = None if config.restart else weights_of_job(config.output)
    for weights in candidates:
        if weights.sha256 == begun:
            return Choice(weights)
    try:
        expected = expect(candidates, config, info)
    except BackendUnavailable:
        return Choice(candidates[0])  # whoever opens the backend next says so
    if timeline is None:
        return Choice(candidates[0], _expectation(expected[0], expected))
    seconds = float((timeline.end - timeline.start) * timeline.time_base)
    taken = choose_model(expected, timeline.count, seconds)
    weights = next(one for one in candidates if one.name == taken.model)
    return Choice(weights, _expectation(taken, expected))


def paced(encode: EncodeConfig, weights: Weights, config: UpscaleConfig) -> EncodeConfig:
    """How to encode where the user did not name a preset: quickly, if the network is that quick too.

    On a processor the two share the cores: beside a light network the encoder's usual preset would take
    most of the time. A card leaves it the processor.
    """
    # Files without a configuration of ours are published networks, none of them light.
    known = choose_device(config) == "cpu" and "config" in weights.header
    return replace(encode, hurry=known and _cost(weights, config) < LIGHT * weights.scale**2)


def choose_model(expected: Sequence[Expected], frames: int, duration_s: float) -> Expected:
    """The first that is not too slow for so many frames, shown in `duration_s`; else the fastest."""
    for one in expected:
        total = one.frame_s * frames
        if total <= NIGHT_S or total * SLOWEST <= duration_s:
            return one
    return min(expected, key=lambda one: one.frame_s)


def expect(candidates: Sequence[Weights], config: UpscaleConfig, info: VideoInfo) -> list[Expected]:
    """What each takes for a frame of this video: as measured, else by its operations."""
    first = candidates[0]
    pixels = info.height * info.width
    measured_s = pixels / pixels_a_second(first, config)
    unit_s = measured_s / _cost(first, config)
    found = [Expected(first.name, measured_s)]
    for weights in candidates[1:]:
        known = known_speed(weights, config)
        frame_s = unit_s * _cost(weights, config) if known is None else pixels / known
        found.append(Expected(weights.name, frame_s))
    return found


def learn_from(
    config: UpscaleConfig, weights: Weights, info: VideoInfo, frames: float, network_s: float
) -> None:
    """Let the next run expect what this one saw: `frames` computed, whole ones, in `network_s` seconds.

    Of a short run most is preparation, and nothing is learnt.
    """
    if frames >= TELLING:
        learn_speed(weights, config, frames * info.height * info.width / network_s)


def _candidates(config: UpscaleConfig, factor: float) -> list[Weights]:
    """The shipped models that can do what is asked, the preferred one first."""
    found: list[Weights] = []
    refusal: UsageError | None = None
    for name in preferred_models(choose_device(config)):
        try:
            found.append(find_weights(name, factor, detail=config.detail))
        except UsageError as error:  # not at this factor, or not with this detail
            refusal = refusal or error
    if refusal is not None and not found:
        raise refusal
    return found


def _cost(weights: Weights, config: UpscaleConfig) -> float:
    """Operations a pixel, weighted by how well this kind of network runs."""
    shape = GeneratorConfig(**json.loads(weights.header["config"]))
    cost = float(operations_a_pixel(shape))
    if choose_device(config) == "cuda":
        return cost
    if shape.upsampler == "staged":
        cost *= STAGED_COST
    in_bytes = (
        config.precision in ("auto", "int8")
        and config.backend != "cpu"
        and multiplies_bytes()
        and find_calibration(weights) is not None
    )
    return cost if in_bytes else cost * FLOAT_COST


def _expectation(taken: Expected, expected: Sequence[Expected]) -> str:
    said = f"the network makes about {_rate(taken)} frames/s here"
    others = [
        f"{'--fast' if one.model == FAST else f'--model {one.model}'} about {_rate(one)}"
        for one in expected
        if one is not taken
    ]
    if taken is not expected[0]:
        said += f", where {expected[0].model} would take longer than a night"
    return f"{said} ({', '.join([*others, 'vidsr plan measures the whole job'])})"


def _rate(one: Expected) -> str:
    """Frames a second in two digits."""
    return f"{1 / one.frame_s:.2g}" if one.frame_s > 0.1 else f"{1 / one.frame_s:.0f}"
