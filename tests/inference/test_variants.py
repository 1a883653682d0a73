"""Every variant computes the same picture, whatever the network's shape and the kind of frames."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.inference.test_rewrites import SHAPES, generator_of
from vidsr.inference.rewrites import Depth
from vidsr.inference.self_check import frames
from vidsr.inference.variants import Variant, build_network, offered
from vidsr.models.generator import Generator
from vidsr.models.weights import find_weights, load_generator

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_names_are_read_back() -> None:
    every = {*offered(CPU, compiled=True), *offered(CUDA, compiled=True)}
    assert {Variant.parse(str(variant)) for variant in every} == every
    assert len({str(variant) for variant in every}) == len(every)
    for wrong in ("", "fast", "rewritten, as a graph, as a graph"):
        with pytest.raises(ValueError, match="no way to compute"):
            Variant.parse(wrong)


def test_what_is_offered() -> None:
    assert offered(CPU, compiled=False) == (Variant("rewritten"), Variant("plain"))
    assert Variant("compiled") not in offered(CUDA, compiled=False)
    graphs = {variant.form for variant in offered(CUDA, compiled=True) if variant.graph}
    assert graphs == {variant.form for variant in offered(CUDA, compiled=True)}
    assert not any(variant.graph for variant in offered(CPU, compiled=True))


def expected(generator: Generator, lr: Tensor) -> Tensor:
    """(N, h, w, 3) in [0, 1] to the same, enlarged, in fp64."""
    exact = generator.double()(lr.double().permute(0, 3, 1, 2))
    generator.float()
    return exact.permute(0, 2, 3, 1).clamp(0, 1)


@pytest.mark.parametrize("depth", ["bytes", "floats"])
@pytest.mark.parametrize("name", SHAPES)
def test_the_forms_agree_in_fp32(name: str, depth: Depth) -> None:
    """To one rounding of a byte, and to 2e-6 of floats in [0, 1]: another order of some hundred sums."""
    generator = generator_of(SHAPES[name]).float()
    lr = torch.rand(2, 9, 7, 3, generator=torch.Generator().manual_seed(2))
    lr = (lr * 255).to(torch.uint8) if depth == "bytes" else lr
    exact = expected(generator, lr / 255 if depth == "bytes" else lr)
    for form in ("plain", "rewritten"):
        sr = build_network(generator, form, torch.float32, depth)(lr)
        assert sr.shape == exact.shape
        if depth == "bytes":
            assert sr.dtype == torch.uint8
            assert (sr - exact * 255).abs().max() <= 0.5 + 1e-3
        else:
            assert (sr - exact).abs().max() < 2e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_forms_agree_on_a_real_picture(dtype: torch.dtype) -> None:
    generator = load_generator(find_weights("srgan-lite", 4), CPU)
    lr = dict(frames(40, 64))["picture"][None]
    plain = build_network(generator, "plain", dtype, "bytes")(lr).int()
    rewritten = build_network(generator, "rewritten", dtype, "bytes")(lr).int()
    difference = (plain - rewritten).abs()
    # In bf16 a level near white is less than the spacing of its numbers: two roundings of one level.
    assert difference.max() <= (1 if dtype == torch.float32 else 4)
    if dtype == torch.float32:
        assert (difference > 0).float().mean() < 1e-3


def test_weights_lie_channels_last_and_the_generator_is_left_alone() -> None:
    generator = generator_of(replace(SHAPES["paper x2"], channels=4)).float()
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    for form in ("plain", "rewritten"):
        network = build_network(generator, form, torch.bfloat16, "bytes")
        weights = [p for p in network.parameters() if p.dim() == 4 and min(p.shape) > 1]
        assert weights
        assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
        assert all(p.dtype == torch.bfloat16 for p in weights)
    after = generator.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
