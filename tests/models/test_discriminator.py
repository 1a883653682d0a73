import pytest
import torch
from torch import nn

from vidsr.models.discriminator import (
    ConvDiscriminator,
    PatchDiscriminator,
    RealAndMade,
    UnetDiscriminator,
    make_discriminator,
)
from vidsr.recipes import Form

WIDTH = 4


@pytest.mark.parametrize("form", ["paper", "compact"])
@pytest.mark.parametrize("side", [(32, 32), (96, 96), (48, 80)])
def test_one_logit_a_picture_at_any_size(form: Form, side: tuple[int, int]) -> None:
    assert make_discriminator(form, WIDTH)(torch.rand(2, 3, *side)).shape == (2, 1)


def test_unet_judges_every_pixel() -> None:
    assert make_discriminator("unet", WIDTH)(torch.rand(2, 3, 32, 48)).shape == (2, 1, 32, 48)


@pytest.mark.parametrize("side", [(64, 96), (24, 20), (16, 16)])
def test_patch_form_judges_places_of_three_sizes(side: tuple[int, int]) -> None:
    logits = make_discriminator("patch", WIDTH)(torch.rand(2, 3, *side))
    assert logits.shape == (2, 3, side[0] // 4, side[1] // 4)


def test_patch_form_sees_as_far_as_it_says() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(WIDTH).eval()
    rgb = torch.rand(1, 3, 128, 128, requires_grad=True)
    logits = network(rgb)
    for depth, side in enumerate((10, 22, 46)):
        (gradient,) = torch.autograd.grad(logits[0, depth, 16, 16], rgb, retain_graph=True)
        rows = gradient[0].abs().sum(dim=(0, 2)).nonzero()
        assert int(rows[-1] - rows[0]) + 1 == side


def test_paper_form_has_the_published_layers() -> None:
    network = ConvDiscriminator("paper")
    convs = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in network.features if isinstance(layer, nn.BatchNorm2d)]
    assert [conv.out_channels for conv in convs] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [conv.stride[0] for conv in convs] == [1, 2] * 4
    assert {conv.kernel_size for conv in convs} == {(3, 3)}
    assert len(norms) == 7
    assert isinstance(network.features[1], nn.LeakyReLU)  # no norm after the first convolution
    # At 96 pixels the grid before the dense layers is what four halvings leave: pooling does nothing.
    features = network.eval().features(torch.rand(1, 3, 96, 96))
    assert torch.equal(network.pool(features), features)
    dense = [layer for layer in network.dense if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in dense] == [1024, 1]


def test_compact_form_has_no_norm() -> None:
    network = ConvDiscriminator("compact", WIDTH)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    strides = [layer.stride[0] for layer in network.features if isinstance(layer, nn.Conv2d)]
    assert strides == [2, 2, 2, 2]


@pytest.mark.parametrize("form", ["unet", "patch"])
def test_layers_are_spectrally_normed(form: Form) -> None:
    torch.manual_seed(0)
    network = make_discriminator(form, WIDTH)
    assert isinstance(network, UnetDiscriminator | PatchDiscriminator)
    for _ in range(60):  # each pass is one step of the power iteration
        network(torch.rand(1, 3, 16, 16))
    network.eval()
    for conv in [*network.down, *getattr(network, "up", ())]:
        largest = torch.linalg.matrix_norm(conv.weight.detach().flatten(1), ord=2)
        assert float(largest) == pytest.approx(1, abs=0.05)


def test_two_judgements_in_one_call_are_the_single_ones() -> None:
    torch.manual_seed(0)
    network = make_discriminator("compact", WIDTH)
    hr, sr = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    real, made = RealAndMade(network)(hr, sr)
    assert torch.equal(real, network(hr))
    assert torch.equal(made, network(sr))


def test_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="paper, compact, unet, patch"):
        make_discriminator("resnet")  # type: ignore[arg-type]
