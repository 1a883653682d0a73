from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.inference.nearest import NearestBackend, repeated
from tests.video.kinds import Kind, both_kinds
from vidsr.inference.backend import SizeLimits
from vidsr.inference.tiling import least_tile, plan_tiles, upscale_tiled
from vidsr.inference.torch_backend import TorchBackend
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig, Upsampler
from vidsr.models.weights import find_weights
from vidsr.models.weights_file import save_weights


@pytest.mark.parametrize("length", [1, 31, 32, 33, 63, 64, 65, 100, 257])
@pytest.mark.parametrize(("tile", "overlap"), [(32, 0), (32, 5), (48, 20), (64, 16)])
def test_tiles_keep_every_pixel_once_with_its_context(length: int, tile: int, overlap: int) -> None:
    kept = np.zeros((length, 17), int)
    for part in plan_tiles(length, 17, tile, overlap):
        rows = part.rows
        kept[rows.keep_start : rows.keep_stop, part.columns.keep_start : part.columns.keep_stop] += 1
        assert rows.keep_start - rows.start >= min(overlap, rows.keep_start)
        assert rows.stop - rows.keep_stop >= min(overlap, length - rows.keep_stop)
        assert part.size[0] == min(tile, length)
    assert (kept == 1).all()


def test_a_tile_without_a_core_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves nothing"):
        plan_tiles(100, 100, 80, 40)
    assert plan_tiles(100, 100, least_tile(40), 40)


@both_kinds
@pytest.mark.parametrize("size", [(5, 7), (40, 40), (41, 90), (97, 64)])
@pytest.mark.parametrize("limits", [SizeLimits(), SizeLimits(least=16, multiple=8)])
def test_assembled_tiles_are_the_whole_picture(
    size: tuple[int, int], limits: SizeLimits, kind: Kind
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    backend = NearestBackend(2, limits, device=kind.device)
    tiled = kind.back(upscale_tiled(kind.of(image), backend, plan_tiles(*size, 40, 4)))
    assert np.array_equal(tiled, repeated(image, 2))
    assert all(h % limits.multiple == 0 and w >= limits.least for _, h, w, _ in backend.calls)


@pytest.mark.parametrize("upsampler", ["staged", "single"])
def test_overlap_of_the_receptive_radius_is_exact(tmp_path: Path, upsampler: Upsampler) -> None:
    torch.manual_seed(1)
    config = GeneratorConfig(blocks=2, channels=8, scale=4, upsampler=upsampler)
    save_weights(tmp_path / "g.safetensors", Generator(config), metadata={})
    backend = TorchBackend(find_weights(str(tmp_path / "g.safetensors"), 4), torch.device("cpu"))
    image = torch.rand(1, 70, 61, 3)
    radius = backend.receptive_radius
    whole = upscale_tiled(image, backend, plan_tiles(70, 61, None, radius))
    tiled = upscale_tiled(image, backend, plan_tiles(70, 61, least_tile(radius), radius))
    assert len(plan_tiles(70, 61, least_tile(radius), radius)) > 1
    torch.testing.assert_close(tiled, whole, atol=1e-6, rtol=0)
    # With half of the context the seams must show, or this test would prove nothing.
    short = plan_tiles(70, 61, 2 * (radius // 2) + 32, radius // 2)
    assert (upscale_tiled(image, backend, short) - whole).abs().max() > 1e-5
