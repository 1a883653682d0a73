"""What the convolutions of a training compute in, measured rather than guessed."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from vidsr.errors import TrainingError

NAMES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WORTH = 1.1
"""How much faster bf16 must be on a CPU to be taken: within 10 %, the exact one is."""

ROUNDS = 5
"""Times that the types are timed in turn, so that another program's burst does not decide for days: two
trainings that began together once took fp32 for the faster, and were half as fast for it."""


def choose_dtype(asked: str, device: torch.device) -> tuple[str, str]:
    """The name of the type to compute in, and why, in a few words for the user.

    `asked` is "auto", "fp32", "bf16" or "fp16". On CUDA auto takes bf16 where the GPU has it, else fp16.
    On a CPU it times both, because bf16 is twice as fast with AVX512-BF16 or AMX and many times slower
    where it is emulated; fp16 is refused there.
    """
    if asked != "auto":
        if device.type == "cpu" and asked == "fp16":
            raise TrainingError("fp16 training needs a GPU: take --precision bf16 or fp32 on a CPU")
        return asked, "as asked"
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "this GPU has it"
        return "fp16", "this GPU has no bf16"
    exact = half = float("inf")
    for _ in range(ROUNDS):
        exact = min(exact, seconds_per_update(torch.float32))
        half = min(half, seconds_per_update(torch.bfloat16))
    if half * WORTH < exact:
        return "bf16", f"{exact / half:.1f} times as fast as fp32 on this CPU"
    return "fp32", f"bf16 is {exact / half:.1f} times as fast on this CPU"


def seconds_per_update(dtype: torch.dtype, repeats: int = 3) -> float:
    """Least time of a forward and backward pass of a few wide convolutions on the CPU."""
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(*[nn.Conv2d(48, 48, 3, padding=1) for _ in range(3)])
        pictures = torch.rand(4, 48, 32, 32)
    to_channels_last(network)
    pictures = pictures.to(memory_format=torch.channels_last)
    best = float("inf")
    for _ in range(repeats + 1):  # the first builds kernels
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            made: Tensor = network(pictures)
        torch.autograd.backward(made.float().square().mean())
        best = min(best, time.perf_counter() - start)
        network.zero_grad(set_to_none=True)
    return best


def to_channels_last(network: nn.Module) -> None:
    """Lay the weights of convolutions out as fast kernels want them, in place; values stay."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
