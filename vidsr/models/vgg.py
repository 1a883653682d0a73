"""VGG-16 and VGG-19 as extractors of features, for perceptual losses and metrics.

Architecture: K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015 (arXiv:1409.1556), table 1, columns D and E, without the classifier. Parameter
names are torchvision's (`features.34.weight` is conv5_4 of VGG-19), so its files load as they are.

Two trainings of VGG-19 are in use and their activations differ in size by layer-dependent factors:
the authors' own (Caffe), on which the SRGAN paper's factor 1/12.75 and every loss weight published
with it rest, and torchvision's. `load_vgg` therefore measures how far apart the network puts a fixed
pair of pictures and scales each layer to what the paper's network gives: a loss weight then means
the same whichever file is used.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidsr.errors import WeightsError
from vidsr.models.state_dict import read_state_dict

Depth = Literal[16, 19]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's R, G, B in [0, 1], as torchvision's networks expect it taken away."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of the same, by which they expect the rest divided."""

VGG19_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
"""torchvision's VGG-19 (IMAGENET1K_V1), 548 MB; the name carries the start of its SHA-256."""

_CONVS_PER_BLOCK: dict[Depth, tuple[int, ...]] = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)


def layer_names(depth: Depth) -> tuple[str, ...]:
    """All layers that can be asked for, in order: conv1_1, relu1_1, conv1_2, ... (relu: after ReLU)."""
    return tuple(
        f"{kind}{block}_{conv}"
        for block, convs in enumerate(_CONVS_PER_BLOCK[depth], start=1)
        for conv in range(1, convs + 1)
        for kind in ("conv", "relu")
    )


REFERENCE_DISTANCES = {
    "conv1_1": 3.315,
    "relu1_1": 2.274,
    "conv1_2": 10.57,
    "relu1_2": 8.644,
    "conv2_1": 22.54,
    "relu2_1": 15.48,
    "conv2_2": 36.11,
    "relu2_2": 23.71,
    "conv3_1": 43.07,
    "relu3_1": 26.52,
    "conv3_2": 42.97,
    "relu3_2": 28.11,
    "conv3_3": 47.49,
    "relu3_3": 41.40,
    "conv3_4": 94.48,
    "relu3_4": 81.57,
    "conv4_1": 160.8,
    "relu4_1": 89.54,
    "conv4_2": 137.3,
    "relu4_2": 68.68,
    "conv4_3": 91.25,
    "relu4_3": 38.28,
    "conv4_4": 49.43,
    "relu4_4": 12.43,
    "conv5_1": 19.38,
    "relu5_1": 8.404,
    "conv5_2": 9.709,
    "relu5_2": 3.690,
    "conv5_3": 4.525,
    "relu5_3": 1.370,
    "conv5_4": 1.784,
    "relu5_4": 0.3237,
}
"""`probe_distances` of the authors' VGG-19 with activations over 12.75, as C. Ledig et al. rescale them,
arXiv:1609.04802, section 3.2. Measured with 8-bit weights. VGG-16 is brought to the same distances,
layer by layer of the same name: the paper has none of its own."""


class VggFeatures(nn.Module):
    """The convolutions of VGG as far as the deepest layer asked for; frozen.

    `gains` holds one factor a layer, 1 until `calibrate` sets it.
    """

    gains: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, depth: Depth, layers: Sequence[str]) -> None:
        super().__init__()
        known = layer_names(depth)
        for name in layers:
            if name not in known:
                raise ValueError(f"VGG-{depth} has no layer {name!r}: {', '.join(known)}")
        if not layers:
            raise ValueError("at least one layer must be asked for")
        self.depth = depth
        self.layers = tuple(dict.fromkeys(layers))
        deepest = max(known.index(name) for name in self.layers)
        self.features = nn.Sequential()
        self._name_of: dict[int, str] = {}  # index in `features` -> layer name; pools have none
        channels = 3
        for block, convs in enumerate(_CONVS_PER_BLOCK[depth], start=1):
            width = _WIDTHS[block - 1]
            for conv in range(1, convs + 1):
                before, after = f"conv{block}_{conv}", f"relu{block}_{conv}"
                if known.index(before) > deepest:
                    break
                self._name_of[len(self.features)] = before
                self.features.append(nn.Conv2d(channels, width, 3, padding=1))
                self._name_of[len(self.features)] = after
                # In place would overwrite the convolution's output where that was asked for.
                self.features.append(nn.ReLU(inplace=before not in self.layers))
                channels = width
            if known.index(f"relu{block}_{convs}") >= deepest:
                break
            self.features.append(nn.MaxPool2d(2, 2))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("gains", torch.ones(len(self.layers)), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        """Features of (N, 3, H, W) floats in [0, 1], RGB, by layer name in the order asked for.

        Each is (N, channels, H / 2**(block-1), W / 2**(block-1)), sizes rounded down. H and W must be
        at least 2**(block-1) for the deepest block.
        """
        found: dict[str, Tensor] = {}
        features = (rgb - self.mean) / self.std
        for index, layer in enumerate(self.features):
            features = layer(features)
            name = self._name_of.get(index)
            if name in self.layers:
                found[name] = features
                if len(found) == len(self.layers):
                    break
        return {name: found[name] * self.gains[i] for i, name in enumerate(self.layers)}


def load_vgg(path: Path | None, layers: Sequence[str]) -> VggFeatures:
    """Make a calibrated VGG from a weights file; depth is read from its tensors. fp32, on the CPU.

    Without a path, torchvision's VGG-19 is taken from torch.hub's cache or fetched into it. The file
    may hold more than the convolutions and any floating type. Raises WeightsError where no weights can
    be had, or where they are not those of a VGG.
    """
    tensors = _from_hub() if path is None else read_state_dict(path)
    source = VGG19_URL if path is None else str(path)
    tensors = {
        name: t for name, t in tensors.items() if re.fullmatch(r"features\.\d+\.(weight|bias)", name)
    }
    # VGG-19's block 3 has a fourth convolution at 16, where VGG-16 has a pool and goes on at 17.
    depth: Depth = 19 if "features.16.weight" in tensors else 16
    try:
        net = VggFeatures(depth, layers)
    except ValueError as error:
        raise WeightsError(f"{source}: {error}") from error
    wanted = net.state_dict()
    for name, own in wanted.items():
        if name not in tensors or tensors[name].shape != own.shape:
            raise WeightsError(
                f"{source}: {name} is missing or not {tuple(own.shape)}; "
                "give a VGG-16 or VGG-19 file with torchvision's parameter names, without batch norm"
            )
    net.load_state_dict({name: tensors[name].float() for name in wanted})
    calibrate(net)
    return net


def calibrate(net: VggFeatures) -> None:
    """Set the gain of each layer so that the probe pair is as far apart as in the paper's network."""
    measured = probe_distances(net)
    for index, name in enumerate(net.layers):
        if not 0 < measured[name] < float("inf"):
            raise WeightsError(
                f"{name} of these VGG weights does not react to pictures; fetch them again"
            )
        net.gains[index] *= REFERENCE_DISTANCES[name] / measured[name]


def probe_distances(net: VggFeatures) -> dict[str, float]:
    """Root mean square distance of the features of the probe picture and of its blurred self."""
    sharp = probe_picture().to(net.mean.device)
    size = sharp.shape[-2:]
    coarse = functional.avg_pool2d(sharp, 4)
    blurred = functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    with torch.no_grad():
        a, b = net(sharp), net(blurred)
    return {name: float((a[name] - b[name]).double().square().mean().sqrt()) for name in net.layers}


def probe_picture(side: int = 192, leaves: int = 900) -> Tensor:
    """(1, 3, side, side) floats in [0, 1]: the picture that scales are measured on, always the same.

    Opaque discs of random colour whose radii follow a cubic power law: the "dead leaves" model, which
    shares the edge and scale statistics of photographs (A. Lee, D. Mumford, J. Huang, "Occlusion Models
    for Natural Images", IJCV 2001). Python's own generator is used because its sequence is guaranteed.
    """
    generator = random.Random(1409)
    rows = torch.arange(side).view(-1, 1).float()
    columns = torch.arange(side).view(1, -1).float()
    picture = torch.full((3, side, side), 0.5)
    for _ in range(leaves):
        # Inverse of the cumulative distribution of p(r) ~ r**-3 between 2 pixels and a quarter side.
        least, greatest = 2.0, side / 4
        radius = (least**-2 - generator.random() * (least**-2 - greatest**-2)) ** -0.5
        y, x = generator.random() * side, generator.random() * side
        inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        picture[:, inside] = torch.tensor([generator.random() for _ in range(3)]).view(3, 1)
    return picture.unsqueeze(0)


def _from_hub() -> dict[str, Tensor]:
    try:
        tensors = torch.hub.load_state_dict_from_url(
            VGG19_URL, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"VGG-19 weights could not be fetched from {VGG19_URL}: go online once so that torch.hub "
            "can keep them, give a file with --vgg-weights FILE, or do without: --perceptual-layer none"
        ) from error
    return dict(tensors)
