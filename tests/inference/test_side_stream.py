"""A stream beside the caller's, on a card: in order with it, and what is recorded plays back."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

from vidsr.inference.side_stream import SideStream

pytestmark = pytest.mark.gpu


@pytest.fixture
def stream() -> SideStream:
    if not torch.cuda.is_available():
        if os.environ.get("VIDSR_REQUIRE_GPU") == "1":
            pytest.fail("VIDSR_REQUIRE_GPU=1, but PyTorch finds no NVIDIA GPU")
        pytest.skip("PyTorch finds no NVIDIA GPU")
    return SideStream(torch.device("cuda"))


def slowly(value: Tensor) -> Tensor:
    """The value doubled, behind enough work that whoever does not wait reads something else."""
    busy = torch.rand(2048, 2048, device="cuda")
    for _ in range(20):
        busy = busy @ busy / 1024
    return value * 2 + (busy * 0).nan_to_num_().sum()


def test_it_keeps_the_caller_s_order(stream: SideStream) -> None:
    for number in range(20):
        before = slowly(torch.full((64, 64), float(number), device="cuda"))
        between = stream.run(slowly, before)
        del before  # its memory may go to what is queued next, and must not too early
        after = slowly(between) + torch.zeros(64, 64, device="cuda")
        assert torch.equal(after.cpu(), torch.full((64, 64), 8.0 * number))


def test_a_recording_plays_back_on_the_same_memory(stream: SideStream) -> None:
    lr, sr = torch.zeros(64, 64, device="cuda"), torch.zeros(64, 64, device="cuda")

    def double() -> None:
        torch.mul(lr, 2, out=sr)

    def play(value: Tensor) -> Tensor:
        lr.copy_(value)
        replay()
        return sr.clone()

    double()
    replay = stream.record(double)
    results = [stream.run(play, torch.full((64, 64), float(n), device="cuda")) for n in range(10)]
    stream.finish()
    assert [float(result.mean()) for result in results] == [2.0 * n for n in range(10)]
