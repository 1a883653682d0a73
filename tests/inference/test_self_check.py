"""The self-check passes what is right and refuses what is wrong, shown with PyTorch in both roles."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vidsr.errors import EngineError
from vidsr.inference.rewrites import Depth, FrameNetwork
from vidsr.inference.self_check import check_engine, frames
from vidsr.models.generator import Generator
from vidsr.models.weights import find_weights, load_generator

SIZE = (40, 56)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator(find_weights("srgan-lite", 4), torch.device("cpu"))


@pytest.mark.parametrize("depth", ["bytes", "floats"])
@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("fp32", torch.float32)])
def test_a_sound_engine_passes(
    generator: Generator, precision: str, dtype: torch.dtype, depth: Depth
) -> None:
    network = FrameNetwork(generator, dtype, depth)
    measured = check_engine(network, generator, SIZE, network.outer_dtype, precision)
    assert list(measured) == ["black", "white", "noise", "picture"]
    assert all(frame["psnr_db"] > 55 for frame in measured.values())


def test_large_frames_are_compared_at_their_corners(generator: Generator) -> None:
    network = FrameNetwork(generator, torch.float32, "bytes")
    calls: list[torch.Size] = []

    def run(lr: Tensor) -> Tensor:
        calls.append(lr.shape)
        sr: Tensor = network(lr)
        # What lies between the two corners is not looked at.
        middle = sr.shape[2] // 2
        sr[:, :, middle - 8 : middle + 8] = 0
        return sr

    check_engine(run, generator, (24, 400), torch.uint8, "fp32")
    assert calls == [(1, 24, 400, 3)] * 4


def broken(change: Callable[[Tensor], Tensor]) -> Callable[[FrameNetwork], Callable[[Tensor], Tensor]]:
    return lambda network: lambda lr: change(network(lr))


@pytest.mark.parametrize(
    "damage",
    [
        broken(lambda sr: sr.flip(-1)),  # BGR
        broken(lambda sr: sr.roll(1, dims=2)),
        broken(lambda sr: torch.zeros_like(sr)),
        broken(lambda sr: 255 - sr),
        broken(lambda sr: sr // 16 * 16),
    ],
    ids=["BGR", "shifted", "black", "negative", "coarse"],
)
def test_a_wrong_engine_is_refused(
    generator: Generator, damage: Callable[[FrameNetwork], Callable[[Tensor], Tensor]]
) -> None:
    network = FrameNetwork(generator, torch.float32, "bytes")
    with pytest.raises(EngineError, match="differs from PyTorch on the frame"):
        check_engine(damage(network), generator, SIZE, torch.uint8, "fp32")


def test_one_wrong_pixel_is_refused(generator: Generator) -> None:
    network = FrameNetwork(generator, torch.float16, "bytes")

    def run(lr: Tensor) -> Tensor:
        sr: Tensor = network(lr)
        sr[0, -1, -1, 0] ^= 16
        return sr

    with pytest.raises(EngineError, match=r"16\.0 levels"):
        check_engine(run, generator, SIZE, torch.uint8, "fp16")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_infinities_are_refused(generator: Generator, value: float) -> None:
    network = FrameNetwork(generator, torch.float32, "floats")

    def run(lr: Tensor) -> Tensor:
        sr: Tensor = network(lr)
        sr[0, 0, 0, 0] = value
        return sr

    with pytest.raises(EngineError, match="infinities on the frame 'black'"):
        check_engine(run, generator, SIZE, torch.float32, "fp32")


def test_the_picture_is_real_and_fills_any_size() -> None:
    small, large = dict(frames(5, 9))["picture"], dict(frames(200, 300))["picture"]
    assert small.shape == (5, 9, 3)
    assert large.shape == (200, 300, 3)
    assert torch.equal(large[:5, :9], small)
    # Mirrored, not repeated: no seam where it continues.
    assert torch.equal(large[72], large[71])
    assert torch.equal(large[:, 128], large[:, 127])
    assert large.float().std() > 30
