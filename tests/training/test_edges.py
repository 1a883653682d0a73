import torch

from vidsr.training.edges import CONTRAST, RADIUS, without_texture

AREA = 40


def test_a_strong_edge_stays_and_weak_texture_goes() -> None:
    torch.manual_seed(0)
    picture = torch.full((1, 3, AREA, AREA), 0.25)
    picture[..., AREA // 2 :] = 0.75
    texture = 0.02 * torch.randn(1, 1, AREA, AREA)
    found = without_texture(picture + texture)
    step = found[..., AREA // 2] - found[..., AREA // 2 - 1]
    assert float(step.mean()) > 0.45
    far = slice(None, AREA // 2 - 2 * RADIUS - 1)
    assert float(found[..., far].std()) < 0.25 * float((picture + texture)[..., far].std())
    assert abs(float(found.mean() - (picture + texture).mean())) < 1e-3


def test_contrast_is_what_is_halfway_kept() -> None:
    board = (torch.arange(AREA)[:, None] + torch.arange(AREA)) % 2
    for contrast, kept in ((CONTRAST, 0.5), (3 * CONTRAST, 0.9), (CONTRAST / 3, 0.1)):
        picture = (0.5 + contrast * (2.0 * board - 1)).expand(1, 3, AREA, AREA)
        inside = without_texture(picture)[..., 10:-10, 10:-10]
        assert abs(float(inside.std()) / contrast - kept) < 0.02


def test_even_pictures_and_colours_stay() -> None:
    even = torch.tensor([0.9, 0.1, 0.4]).view(1, 3, 1, 1).expand(2, 3, 20, 30)
    torch.testing.assert_close(without_texture(even), even.contiguous(), rtol=0, atol=1e-5)
    # A border of colours that differ in grey stays in all three.
    picture = even.clone()
    picture[..., 15:] = torch.tensor([0.2, 0.0, 0.1]).view(1, 3, 1, 1)
    assert float((without_texture(picture) - picture).abs().max()) < 0.05


def test_a_flip_commutes() -> None:
    picture = torch.rand(1, 3, 24, 24)
    torch.testing.assert_close(without_texture(picture.flip(3)), without_texture(picture).flip(3))
