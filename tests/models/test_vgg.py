from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vidsr.errors import WeightsError
from vidsr.models import vgg
from vidsr.models.vgg import VggFeatures, layer_names, load_vgg, probe_distances, probe_picture

SHARED = Path(__file__).parents[2].parent / "shared" / "weights"


def shared_weights(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{name} is not beside the checkout")
    return path


def random_vgg(layers: tuple[str, ...] = ("conv2_1",), seed: int = 0) -> VggFeatures:
    net = VggFeatures(19, layers)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in net.state_dict().items():
        fan_in = tensor[0].numel() if name.endswith("weight") else 1
        tensor.normal_(0, (2 / fan_in) ** 0.5 if fan_in > 1 else 0.01, generator=generator)
    return net


def test_parameters_are_named_and_shaped_as_in_torchvision() -> None:
    # torchvision's "E" (vgg19): index of each convolution in `features`, with its widths.
    expected = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256)}
    expected |= {14: (256, 256), 16: (256, 256), 19: (512, 256)}
    expected |= dict.fromkeys((21, 23, 25, 28, 30, 32, 34), (512, 512))
    state = VggFeatures(19, ["relu5_4"]).state_dict()
    weights = {name: tuple(t.shape) for name, t in state.items() if name.endswith("weight")}
    assert weights == {f"features.{i}.weight": (*shape, 3, 3) for i, shape in expected.items()}
    sixteen = VggFeatures(16, ["relu5_3"]).state_dict()
    indices = sorted(int(name.split(".")[1]) for name in sixteen if name.endswith("bias"))
    assert indices == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]


def test_stops_at_the_deepest_layer() -> None:
    assert len(VggFeatures(19, ["conv1_1"]).features) == 2
    assert len(VggFeatures(19, ["relu2_2", "conv1_2"]).features) == 9
    assert not any(p.requires_grad for p in VggFeatures(16, ["conv1_1"]).parameters())


def test_before_and_after_activation_are_told_apart() -> None:
    net = random_vgg(("conv1_2", "relu1_2", "conv2_1"))
    found = net(torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(1)))
    assert list(found) == ["conv1_2", "relu1_2", "conv2_1"]
    assert found["conv1_2"].shape == (2, 64, 20, 30)
    assert found["conv2_1"].shape == (2, 128, 10, 15)
    assert found["conv1_2"].min() < 0
    assert torch.equal(found["conv1_2"].relu(), found["relu1_2"])


def test_input_is_normalised_as_for_imagenet() -> None:
    net = random_vgg(("conv1_1",))
    first = net.features[0]
    assert isinstance(first, nn.Conv2d)
    rgb = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert first.bias is not None
    assert torch.allclose(net(rgb)["conv1_1"][0, :, 4, 4], first.bias, atol=1e-6)
    red_up = rgb.clone()
    red_up[:, 0] += 0.229  # one standard deviation of red
    expected = first.bias + first.weight[:, 0].sum((1, 2))
    assert torch.allclose(net(red_up)["conv1_1"][0, :, 4, 4], expected, atol=1e-5)


def test_gradients_reach_the_picture_through_a_layer_before_its_activation() -> None:
    rgb = torch.rand(1, 3, 16, 16, requires_grad=True)
    features = random_vgg(("conv1_2", "conv2_1"))(rgb)["conv2_1"]
    (gradient,) = torch.autograd.grad(features.square().mean(), rgb)
    assert gradient.abs().sum() > 0


def test_unknown_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="conv5_4"):
        VggFeatures(16, ["conv5_4"])
    with pytest.raises(ValueError, match="at least one"):
        VggFeatures(19, [])


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_two_scalings_of_the_same_network_give_the_same_features(tmp_path: Path, suffix: str) -> None:
    layers = ("relu1_2", "conv2_2")
    state = random_vgg(layers).state_dict()
    other = {name: tensor.clone() for name, tensor in state.items()}
    for name in ("features.0.weight", "features.0.bias"):
        other[name] = other[name] / 12.75  # ReLU networks are homogeneous: this scales all layers ...
    for name in (n for n in other if n.endswith("bias") and n != "features.0.bias"):
        other[name] = other[name] / 12.75  # ... if the biases follow
    paths = [tmp_path / f"{i}.{suffix}" for i in range(2)]
    for path, tensors in zip(paths, (state, other), strict=True):
        tensors = {**tensors, "classifier.0.weight": torch.zeros(2, 2)}
        save_file(tensors, path) if suffix == "safetensors" else torch.save(tensors, path)
    one, two = (load_vgg(path, layers) for path in paths)
    picture = torch.rand(1, 3, 24, 24)
    for name, features in one(picture).items():
        assert torch.allclose(features, two(picture)[name], rtol=1e-3, atol=1e-3 * float(features.std()))
    assert probe_distances(one)["conv2_2"] == pytest.approx(vgg.REFERENCE_DISTANCES["conv2_2"], rel=1e-3)


def test_the_probe_never_changes() -> None:
    picture = probe_picture()
    assert picture.shape == (1, 3, 192, 192)
    bytes_ = (picture * 255).round().byte().numpy().tobytes()
    assert hashlib.sha256(bytes_).hexdigest()[:16] == "527e413ea1ad5a33"


def test_paper_weights_are_the_reference() -> None:
    net = load_vgg(shared_weights("vgg19_features_fp16.safetensors"), ["relu2_2", "conv5_4", "relu5_4"])
    assert net.depth == 19
    assert net.gains.tolist() == pytest.approx([1, 1, 1], rel=2e-3)


def test_vgg16_comes_to_the_same_distances() -> None:
    net = load_vgg(shared_weights("vgg16_features_fp16.safetensors"), ["relu1_2", "conv3_3"])
    assert net.depth == 16
    assert 3 < float(net.gains[0]) < 10  # torchvision's activations are that much smaller
    for name, distance in probe_distances(net).items():
        assert distance == pytest.approx(vgg.REFERENCE_DISTANCES[name], rel=1e-4)


def test_wrong_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.pth"):
        load_vgg(tmp_path / "absent.pth", ["relu1_1"])
    for suffix in ("pth", "safetensors"):
        text = tmp_path / f"text.{suffix}"
        text.write_text("not weights at all")
        with pytest.raises(WeightsError, match="not readable"):
            load_vgg(text, ["relu1_1"])
    foreign = tmp_path / "foreign.safetensors"
    save_file({"features.0.weight": torch.zeros(64, 3, 11, 11)}, foreign)
    with pytest.raises(WeightsError, match=r"foreign.*features\.0\.weight"):
        load_vgg(foreign, ["relu1_1"])
    nested = tmp_path / "nested.pth"
    torch.save({"epoch": {"a": torch.zeros(1)}}, nested)
    with pytest.raises(WeightsError, match="more than named tensors"):
        load_vgg(nested, ["relu1_1"])
    dead = tmp_path / "dead.safetensors"
    save_file({n: torch.zeros_like(t) for n, t in random_vgg(("conv1_1",)).state_dict().items()}, dead)
    with pytest.raises(WeightsError, match="conv1_1"):
        load_vgg(dead, ["conv1_1"])


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"features.0.weight": Path("x")}, path)
    with pytest.raises(WeightsError, match="not readable"):
        load_vgg(path, ["relu1_1"])


def test_public_file_comes_through_torch_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = random_vgg(("conv1_2",)).state_dict()
    torch.save(state, tmp_path / "vgg.pth")
    digest = hashlib.sha256((tmp_path / "vgg.pth").read_bytes()).hexdigest()[:8]
    served = tmp_path / f"vgg19-{digest}.pth"
    (tmp_path / "vgg.pth").rename(served)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(vgg, "VGG19_URL", served.as_uri())
    assert torch.equal(
        load_vgg(None, ["conv1_2"]).state_dict()["features.0.bias"], state["features.0.bias"]
    )
    monkeypatch.setattr(vgg, "VGG19_URL", (tmp_path / "gone-0000.pth").as_uri())
    with pytest.raises(WeightsError, match=r"gone-0000\.pth.*--vgg-weights.*--perceptual-layer none"):
        load_vgg(None, ["conv1_2"])


def test_layer_names_run_from_first_to_last() -> None:
    assert layer_names(19)[:3] == ("conv1_1", "relu1_1", "conv1_2")
    assert layer_names(19)[-1] == "relu5_4"
    assert layer_names(16)[-1] == "relu5_3"
    assert set(layer_names(16)) < set(vgg.REFERENCE_DISTANCES) == set(layer_names(19))
