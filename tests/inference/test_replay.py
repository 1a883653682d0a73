"""A recorded network plays back what the network itself computes, on other inputs and other streams."""

from __future__ import annotations

import pytest
import torch

from tests.gpu import require_gpu
from tests.inference.test_rewrites import SHAPES, generator_of
from vidsr.inference.replay import Replay
from vidsr.inference.variants import build_network

pytestmark = pytest.mark.gpu


@pytest.fixture
def device() -> torch.device:
    return require_gpu()


@pytest.mark.parametrize("form", ["plain", "rewritten", "fused"])
def test_every_input_gets_its_own_result(form: str, device: torch.device) -> None:
    generator = generator_of(SHAPES["paper x4"]).float().to(device)
    network = build_network(generator, form, torch.float16, "bytes")  # type: ignore[arg-type]
    inputs = [torch.randint(0, 256, (2, 40, 56, 3), dtype=torch.uint8, device=device) for _ in range(5)]
    with torch.inference_mode():
        expected = [network(lr) for lr in inputs]
        replay = Replay(network, inputs[0])
        assert replay.kind == (inputs[0].shape, torch.uint8)
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):  # not the stream that it was recorded on
            found = [replay(lr) for lr in inputs]
        stream.synchronize()
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)


def test_results_keep_their_memory(device: torch.device) -> None:
    replay = Replay(lambda lr: lr * 2, torch.zeros(4, 4, device=device))
    with torch.inference_mode():
        first = replay(torch.ones(4, 4, device=device))
        replay(torch.full((4, 4), 5.0, device=device))
    assert float(first.sum()) == 32
