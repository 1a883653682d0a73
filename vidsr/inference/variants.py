"""The ways to compute one network in PyTorch: equal but for the last bits, and not equally fast."""

from __future__ import annotations

import copy
import importlib.util
from dataclasses import dataclass
from typing import Literal, Self, cast, get_args

import torch
from torch import Tensor, nn

from vidsr.inference.rewrites import BYTE_WHITE, Depth, FrameNetwork
from vidsr.models.generator import Generator

Form = Literal["rewritten", "plain", "fused", "compiled"]
"""How the network is written down: by the identities of `rewrites`; as trained; as rewritten, with what
follows a convolution in kernels of `epilogues`; as rewritten and put through torch.compile. It decides
the last bits of the result."""

GRAPH = ", as a graph"


@dataclass(frozen=True)
class Variant:
    """One way; its text form is what a job's manifest and the user's cache hold."""

    form: Form
    graph: bool = False  # all kernels of a call launched at once, as a CUDA graph: the same bits

    @property
    def needs_card(self) -> bool:
        """Whether it runs on NVIDIA cards alone."""
        return self.graph or self.form == "fused"

    def __str__(self) -> str:
        return self.form + GRAPH * self.graph

    @classmethod
    def parse(cls, text: str) -> Self:
        """The variant with this text form; ValueError where there is none."""
        form = text.removesuffix(GRAPH)
        if form not in get_args(Form):
            raise ValueError(f"no way to compute a network is called {text!r}")
        return cls(cast("Form", form), text.endswith(GRAPH))


def offered(device: torch.device, *, compiled: bool) -> tuple[Variant, ...]:
    """The variants worth trying on a device; of equals the first is taken.

    On the CPU no launch costs enough to save, and Triton has no compiler. `compiled` adds torch.compile,
    which takes from seconds to minutes before the first frame.
    """
    forms: list[Form] = ["rewritten", "plain"]
    if device.type == "cuda" and importlib.util.find_spec("triton") is not None:
        forms.append("fused")
    if compiled:
        forms.append("compiled")
    launches = (True, False) if device.type == "cuda" else (False,)
    return tuple(Variant(form, graph) for form in forms for graph in launches)


def build_network(generator: Generator, form: Form, dtype: torch.dtype, depth: Depth) -> nn.Module:
    """The network that maps frames to frames, (N, h, w, 3) to (N, scale*h, scale*w, 3), clamped.

    With `depth` "bytes" uint8 to uint8, else floating in [0, 1] to `dtype` in [0, 1]. Computes in
    `dtype`, on the generator's device, which is left alone.
    """
    network: nn.Module
    if form == "plain":
        network = PlainNetwork(generator, dtype, depth)
    elif form == "fused":
        from vidsr.inference.fused import FusedNetwork  # here, since not everyone has Triton

        network = FusedNetwork(generator, dtype, depth)
    else:
        network = FrameNetwork(generator, dtype, depth)
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    if form == "compiled":
        # One program for nearly all shapes: batches, tiles and parts of frames have many, a compilation
        # takes from seconds to a minute, and on a processor a program for one shape was no faster.
        network.compile(dynamic=True)
    return network


class PlainNetwork(nn.Module):
    """A generator as it was trained, from frames to frames."""

    def __init__(self, generator: Generator, dtype: torch.dtype, depth: Depth) -> None:
        super().__init__()
        self.dtype = dtype
        self.depth = depth
        self.network = copy.deepcopy(generator).to(dtype).eval().requires_grad_(False)

    def forward(self, lr: Tensor) -> Tensor:
        """Enlarge (N, h, w, 3) frames."""
        # (N, h, w, 3) seen as (N, 3, h, w) is channels-last already: no copy but the cast.
        pixels = lr.permute(0, 3, 1, 2).to(self.dtype)
        if self.depth == "floats":
            sr = self.network(pixels).clamp_(0, 1)
        else:
            # Scaled in fp32: fp16 holds 255 levels only to half a level near white.
            levels = self.network(pixels / BYTE_WHITE).float().mul_(BYTE_WHITE)
            sr = levels.round_().clamp_(0, BYTE_WHITE).to(torch.uint8)
        frames: Tensor = sr.permute(0, 2, 3, 1)
        return frames
