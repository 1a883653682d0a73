"""The shape of a generator: read by all that plan a job, PyTorch or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Activation = Literal["prelu", "relu", "leaky_relu"]
Body = Literal["residual", "plain"]
Upsampler = Literal["staged", "single"]
Output = Literal["linear", "tanh"]

LEAKY_SLOPE = 0.1
"""Negative slope of the leaky ReLU: free in int8 on CPUs, unlike the learned slopes of PReLU."""


@dataclass(frozen=True)
class GeneratorConfig:
    """The shape of a generator; the defaults are the paper's x4 network without batch norm."""

    scale: int = 4  # 2 or 4: output size over input size
    blocks: int = 16  # residual blocks, or plain convolutions where body is "plain"
    channels: int = 64  # width of every hidden layer
    batch_norm: bool = False  # as published; folded into the convolutions before inference
    activation: Activation = "prelu"
    channel_slopes: bool = False  # PReLU with one slope per channel instead of one per layer
    body: Body = "residual"
    head_kernel: int = 9  # side of the first convolution, odd
    upsampler: Upsampler = (
        "staged"  # "staged": the paper's; "single": one PixelShuffle(scale) at the end
    )
    tail_kernel: int = 9  # side of the last convolution, odd; at high resolution where staged
    input_skip: bool = False  # add the input to the output, repeated to its size
    output: Output = "linear"  # "tanh": the original's output in [-1, 1], mapped to [0, 1]

    def __post_init__(self) -> None:
        if self.scale not in (2, 4):
            raise ValueError(f"scale must be 2 or 4, not {self.scale}")
        if self.blocks < 1 or self.channels < 1:
            raise ValueError("blocks and channels must be at least 1")
        for name in ("head_kernel", "tail_kernel"):
            if getattr(self, name) < 1 or getattr(self, name) % 2 == 0:
                raise ValueError(f"{name} must be odd and positive, not {getattr(self, name)}")
        for name, choices in (
            ("activation", get_args(Activation)),
            ("body", get_args(Body)),
            ("upsampler", get_args(Upsampler)),
            ("output", get_args(Output)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}"
                )
        if self.input_skip and self.output == "tanh":
            raise ValueError("input_skip needs a linear output")
        if self.output == "tanh" and self.upsampler == "single":
            raise ValueError("a tanh output needs the staged upsampler, as published")

    @property
    def receptive_radius(self) -> int:
        """How far an output pixel looks, in LR pixels to each side (40 for the paper's 16 blocks)."""
        convs_per_block = 2 if self.body == "residual" else 1
        radius = self.head_kernel // 2 + convs_per_block * self.blocks
        if self.body == "residual":
            radius += 1  # the convolution before the global skip
        if self.upsampler == "single":
            return radius + self.tail_kernel // 2
        # Each stage's 3x3 works at 1, 2, ... times the LR size, the tail at the full factor.
        at_lr = sum(1 / 2**stage for stage in range(self.stages))
        at_lr += self.tail_kernel // 2 / self.scale
        return radius + int(-(-at_lr // 1))

    @property
    def stages(self) -> int:
        """Number of x2 upsampling stages of the staged form."""
        return self.scale.bit_length() - 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the generator's tensors, as its state dict has them."""
        width, kernel = self.channels, (3, 3)
        shapes: dict[str, tuple[int, ...]] = {}

        def convolution(name: str, inputs: int, outputs: int, sides: tuple[int, int] = kernel) -> None:
            shapes[f"{name}.weight"] = (outputs, inputs, *sides)
            shapes[f"{name}.bias"] = (outputs,)

        def activation(name: str) -> None:
            if self.activation == "prelu":
                shapes[f"{name}.weight"] = (width if self.channel_slopes else 1,)

        convolution("head", 3, width, (self.head_kernel, self.head_kernel))
        activation("head_act")
        for name in self.body_convolutions():
            convolution(name, width, width)
        for block in range(self.blocks):
            activation(f"body.{block}.act" if self.body == "residual" else f"body.{3 * block + 2}")
        if self.batch_norm:
            for norm in self.norms().values():
                for part in ("weight", "bias", "running_mean", "running_var"):
                    shapes[f"{norm}.{part}"] = (width,)
                shapes[f"{norm}.num_batches_tracked"] = ()
        if self.upsampler == "staged":
            for stage in range(self.stages):
                convolution(f"upsample.{3 * stage}", width, 4 * width)
                activation(f"upsample.{3 * stage + 2}")
        outputs = 3 if self.upsampler == "staged" else 3 * self.scale**2
        convolution("tail", width, outputs, (self.tail_kernel, self.tail_kernel))
        return shapes

    def body_convolutions(self) -> list[str]:
        """Names of the convolutions of the body, in order."""
        if self.body == "plain":
            return [f"body.{3 * block}" for block in range(self.blocks)]
        names = [f"body.{block}.conv{place}" for block in range(self.blocks) for place in (1, 2)]
        return [*names, "body_conv"]

    def norms(self) -> dict[str, str]:
        """Names of the batch norms behind the convolutions of the body, by those."""
        if self.body == "plain":
            return {f"body.{3 * block}": f"body.{3 * block + 1}" for block in range(self.blocks)}
        return {name: name.replace("conv", "bn") for name in self.body_convolutions()}
