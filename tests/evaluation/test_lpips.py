from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from vidsr.errors import WeightsError
from vidsr.evaluation.lpips import Lpips, load_lpips
from vidsr.models.alexnet import WIDTHS, AlexNetFeatures, load_alexnet


class TwoChannels(AlexNetFeatures):
    """Features that can be reckoned by hand: red and green as they are, one map."""

    def forward(self, rgb: Tensor) -> list[Tensor]:
        return [rgb[:, :2]]


def random_backbone(seed: int = 0) -> AlexNetFeatures:
    net = AlexNetFeatures()
    generator = torch.Generator().manual_seed(seed)
    for tensor in net.state_dict().values():
        tensor.normal_(
            0, (2 / tensor[0].numel()) ** 0.5 if tensor.dim() == 4 else 0.1, generator=generator
        )
    return net


def random_lpips() -> Lpips:
    generator = torch.Generator().manual_seed(5)
    return Lpips(random_backbone(), [torch.rand(1, w, 1, 1, generator=generator) for w in WIDTHS])


def test_distance_by_hand() -> None:
    lpips = Lpips(TwoChannels(), [torch.tensor([2.0, 1.0]).view(1, 2, 1, 1)])
    a = torch.zeros(2, 3, 32, 32)
    a[:, 0], a[:, 1] = 0.3, 0.4  # direction (0.6, 0.8)
    b = a.clone()
    b[0, 0, :16], b[0, 1, :16] = 0.8, 0.6  # direction (0.8, 0.6) on half the picture
    b[1] *= 2  # length alone does not count
    # Half of 2 * 0.2^2 + 1 * 0.2^2.
    assert lpips(a, b).tolist() == pytest.approx([0.06, 0], abs=1e-6)


def test_zero_for_equal_symmetric_and_apart_for_each_picture() -> None:
    lpips = random_lpips()
    a, b = torch.rand(2, 2, 3, 40, 48, generator=torch.Generator().manual_seed(1)).unbind()
    assert lpips(a, a).tolist() == [0, 0]
    assert torch.allclose(lpips(a, b), lpips(b, a), rtol=1e-5)
    assert torch.allclose(lpips(a, b)[1], lpips(a[1:], b[1:])[0], rtol=1e-4)
    assert lpips(a, b).min() > 0


def test_gradient_is_finite_where_all_features_are_zero() -> None:
    lpips = Lpips(TwoChannels(), [torch.ones(1, 2, 1, 1)])
    a = torch.zeros(1, 3, 32, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(lpips(a, torch.rand(1, 3, 32, 32)).sum(), a)
    assert gradient.isfinite().all()


def test_feature_sizes_are_those_of_alexnet() -> None:
    maps = AlexNetFeatures()(torch.rand(1, 3, 224, 224))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 55, 55),
        (192, 27, 27),
        (384, 13, 13),
        (256, 13, 13),
        (256, 13, 13),
    ]
    assert min(float(m.min()) for m in maps) >= 0
    assert [tuple(m.shape[2:]) for m in AlexNetFeatures()(torch.rand(1, 3, 31, 31))][-1] == (1, 1)


@pytest.mark.parametrize("naming", ["alex.lin{}.weight", "lin{}.model.1.weight", "lin{}.weight"])
def test_heads_load_under_every_naming(tmp_path: Path, naming: str) -> None:
    made = random_lpips()
    save_file(made.backbone.state_dict(), tmp_path / "alexnet.safetensors")
    heads = {naming.format(i): head.detach() for i, head in enumerate(made.heads)}
    torch.save(heads, tmp_path / "alex.pth")
    loaded = load_lpips(tmp_path / "alexnet.safetensors", tmp_path / "alex.pth")
    a, b = torch.rand(2, 1, 3, 40, 40).unbind()
    assert torch.equal(loaded(a, b), made(a, b))
    assert not any(p.requires_grad for p in loaded.parameters())


def test_wrong_files_are_refused_by_name(tmp_path: Path) -> None:
    save_file(random_backbone().state_dict(), tmp_path / "alexnet.safetensors")
    with pytest.raises(WeightsError, match=r"alexnet\.safetensors: no LPIPS head of 64"):
        load_lpips(tmp_path / "alexnet.safetensors", tmp_path / "alexnet.safetensors")
    heads = {f"lin{i}.weight": torch.zeros(1, w, 1, 1) for i, w in enumerate(WIDTHS)}
    save_file(heads, tmp_path / "heads.safetensors")
    with pytest.raises(WeightsError, match=r"heads\.safetensors: features\.0"):
        load_alexnet(tmp_path / "heads.safetensors")
    with pytest.raises(WeightsError, match="no such"):
        load_lpips(tmp_path / "gone.pth", tmp_path / "heads.safetensors")


def test_unfit_pictures_are_refused() -> None:
    lpips = random_lpips()
    with pytest.raises(ValueError, match="at least 31"):
        lpips(torch.zeros(1, 3, 30, 64), torch.zeros(1, 3, 30, 64))
    with pytest.raises(ValueError, match="one shape"):
        lpips(torch.zeros(1, 3, 40, 40), torch.zeros(1, 3, 40, 41))
