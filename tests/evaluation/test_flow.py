from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vidsr.evaluation.flow import estimate_flow, visible, warp


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Luma with detail at several scales, as pictures have."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 1, height, width)
    for step in (4, 8, 16, 32):
        coarse = torch.randn(1, 1, height // step + 2, width // step + 2, generator=generator)
        total += step**0.5 * functional.interpolate(
            coarse, size=(height, width), mode="bicubic", align_corners=False
        )
    return 128 + 15 * total


def moved(dx: int, dy: int, height: int = 96, width: int = 128) -> tuple[Tensor, Tensor]:
    """Two pictures of one scene whose content moves by whole pixels between them."""
    margin = 32
    scene = texture(height + 2 * margin, width + 2 * margin)
    first = scene[..., margin : margin + height, margin : margin + width]
    top, left = margin - dy, margin - dx
    return first, scene[..., top : top + height, left : left + width]


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (1, 0), (0, -1), (3, 2), (-6, 4)])
def test_finds_a_translation(dx: int, dy: int) -> None:
    first, second = moved(dx, dy)
    flow = estimate_flow(first, second)
    assert flow.shape == (1, 2, 96, 128)
    inner = flow[..., 10:-10, 10:-10]
    error = (inner - torch.tensor([dx, dy]).view(1, 2, 1, 1)).norm(dim=1)
    assert float(error.median()) < 0.05
    assert float(error.mean()) < 0.1
    left = (warp(second, flow) - first)[..., 10:-10, 10:-10].abs().mean()
    assert left <= 0.05 * (second - first).abs().mean() + 1e-3


def test_finds_a_fraction_of_a_pixel() -> None:
    # Half-size pictures of a scene that moved by odd numbers of pixels.
    first, second = moved(3, -1, 160, 192)
    flow = estimate_flow(functional.avg_pool2d(first, 2), functional.avg_pool2d(second, 2))
    u, v = flow[0, :, 10:-10, 10:-10].flatten(1).median(dim=1).values.tolist()
    assert (u, v) == pytest.approx((1.5, -0.5), abs=0.05)


def test_tells_two_motions_apart() -> None:
    first, second = moved(4, 0)
    still = texture(96, 128, seed=9)
    first, second = first.clone(), second.clone()
    first[..., :48, :] = second[..., :48, :] = still[..., :48, :]
    flow = estimate_flow(first, second)
    assert float(flow[:, :, 8:32, 16:-16].norm(dim=1).mean()) < 0.1
    assert float((flow[:, 0, 64:-8, 16:-16] - 4).abs().mean()) < 0.1


def test_pictures_of_a_batch_do_not_mix() -> None:
    a, b = moved(2, 0), moved(0, -3)
    both = estimate_flow(torch.cat((a[0], b[0])), torch.cat((a[1], b[1])))
    assert torch.allclose(both[1:], estimate_flow(*b), atol=1e-3)


def test_nothing_to_see_is_no_motion() -> None:
    flat = torch.full((1, 1, 40, 40), 90.0)
    assert estimate_flow(flat, flat + 20).abs().max() < 1e-3
    generator = torch.Generator().manual_seed(0)
    noisy = [flat + 0.5 * torch.randn(1, 1, 40, 40, generator=generator) for _ in range(2)]
    assert float(estimate_flow(*noisy).abs().mean()) < 0.05


def test_warp_fetches_along_the_flow() -> None:
    x = torch.arange(30.0).view(1, 1, 5, 6)
    flow = torch.zeros(1, 2, 5, 6)
    flow[:, 0] = 1.0
    assert torch.allclose(warp(x, flow)[..., :-1], x[..., 1:], atol=1e-5)
    flow[:, 0], flow[:, 1] = 0.0, 0.5
    assert torch.allclose(warp(x, flow)[..., :-1, :], x[..., :-1, :] + 3, atol=1e-5)
    assert torch.allclose(warp(x, flow)[..., -1, :], x[..., -1, :], atol=1e-5)  # edges repeat


def test_a_still_picture_is_visible_everywhere() -> None:
    picture = texture(64, 80)
    flow = estimate_flow(picture, picture)
    assert visible(flow, flow).all()


def test_what_is_covered_or_leaves_is_not_visible() -> None:
    flow = torch.zeros(1, 2, 8, 20)
    flow[:, 0] = 4.0
    back = -flow
    assert visible(flow, back)[0, 0, :, :16].all()
    assert not visible(flow, back)[0, 0, :, 16:].any()  # leads out of the picture
    back[..., 10:14] = 0.0  # there another surface arrives, which has not moved
    seen = visible(flow, back)[0, 0]
    assert not seen[:, 6:10].any() and seen[:, :6].all() and seen[:, 10:16].all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        estimate_flow(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 9))
    with pytest.raises(ValueError, match="flow takes"):
        estimate_flow(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
