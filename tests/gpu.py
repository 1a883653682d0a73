"""What tests marked `gpu` need: a card, or a reason for its absence."""

from __future__ import annotations

import os

import pytest
import torch


def require_gpu() -> torch.device:
    """The first NVIDIA card; skips without one, unless VIDSR_REQUIRE_GPU=1 makes that a failure."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("VIDSR_REQUIRE_GPU") == "1":
        pytest.fail("VIDSR_REQUIRE_GPU=1, but PyTorch finds no NVIDIA GPU")
    pytest.skip("PyTorch finds no NVIDIA GPU")
