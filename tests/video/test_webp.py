"""WebP in memory: exact where asked for, in the right colours where not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vidsr.errors import OutputError
from vidsr.evaluation.page_pictures import rgb_bytes
from vidsr.video.webp import encode_webp


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (64, 48)])
def test_lossless_is_exact_whatever_the_size(tmp_path: Path, size: tuple[int, int]) -> None:
    rgb = torch.randint(0, 256, (*size, 3), generator=torch.Generator().manual_seed(1)).byte()
    path = tmp_path / "a.webp"
    path.write_bytes(encode_webp(rgb, None))
    assert torch.equal(rgb_bytes(path), rgb)


def test_less_quality_is_smaller_and_keeps_the_colours(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 255, 96).byte()
    rgb = torch.stack([ramp.expand(80, 96), ramp.flip(0).expand(80, 96), torch.full((80, 96), 90)], -1)
    sizes = []
    for quality in (95, 60):
        path = tmp_path / "a.webp"
        path.write_bytes(encode_webp(rgb.byte(), quality))
        sizes.append(path.stat().st_size)
        # A wrong matrix or range would be off by ten and more.
        assert float((rgb_bytes(path).int() - rgb.int()).abs().float().mean()) < 3
    assert sizes[0] > sizes[1]


def test_what_webp_cannot_hold_is_refused() -> None:
    with pytest.raises(OutputError, match="16384x1 is larger than WebP holds"):
        encode_webp(torch.zeros(1, 16384, 3, dtype=torch.uint8), 80)
