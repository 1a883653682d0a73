"""The kernels against PyTorch: on a card as compiled, anywhere else in Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.inference.test_rewrites import SHAPES, generator_of
from vidsr.inference.rewrites import Depth, FrameNetwork

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="module", autouse=True)
def kernels() -> Iterator[ModuleType]:
    """The module of the kernels; without a card Triton is told to interpret before it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE.type == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")
        pytest.importorskip("triton", reason="Triton has no wheel for this machine")
        from vidsr.inference import epilogues

        yield epilogues


def features(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    random = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(*shape, generator=random).to(DEVICE, dtype)
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def sub_pixels(kernels: ModuleType, x: Tensor, factor: int) -> Tensor:
    """The same channels in the order that the kernels take them."""
    order = kernels.sub_pixel_order(x.shape[1], factor).to(DEVICE)
    return x[:, order].contiguous(memory_format=torch.channels_last)


# Fewer and more pixels than a program takes, channels that are no power of two, frames of one pixel.
SIZES = [(1, 1, 1), (2, 19, 31)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("channels", "factor"), [(1, 1), (24, 1), (64, 1), (12, 2), (64, 2), (48, 4)])
def test_bias_and_activation_and_shuffle(
    kernels: ModuleType, size: tuple[int, int, int], channels: int, factor: int, dtype: torch.dtype
) -> None:
    count, height, width = size
    x = features(count, channels, height, width, dtype=dtype)
    bias, slopes = features(channels), features(channels) * 0.5
    # In fp32 and rounded once: so it is equal to the bit.
    sums = x.float() + bias[:, None, None]
    leaky = torch.where(sums > 0, sums, sums * slopes[:, None, None])
    expected = functional.pixel_shuffle(leaky, factor).to(dtype)
    order = kernels.sub_pixel_order(channels, factor).to(DEVICE)
    found = kernels.activate(sub_pixels(kernels, x, factor), bias[order], slopes[order], factor)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 24, 64])
def test_bias_and_residual(
    kernels: ModuleType, size: tuple[int, int, int], channels: int, dtype: torch.dtype
) -> None:
    count, height, width = size
    x = features(count, channels, height, width, dtype=dtype)
    residual = features(count, channels, width, height, dtype=dtype).transpose(2, 3)
    residual = residual.contiguous(memory_format=torch.channels_last)
    bias = features(channels)
    expected = (x.float() + bias[:, None, None] + residual.float()).to(dtype)
    found = kernels.add(x, bias, residual)
    assert found is x
    assert torch.equal(found, expected)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("factor", "scale"), [(2, 2), (2, 4), (4, 4)])
def test_frames_of_bytes(
    kernels: ModuleType,
    size: tuple[int, int, int],
    factor: int,
    scale: int,
    dtype: torch.dtype,
    skip: bool,
) -> None:
    count, height, width = size
    stages = scale // factor  # what the features are enlarged by already
    x = features(count, 3 * factor**2, height * stages, width * stages, dtype=dtype) * 100 + 128
    x = x.contiguous(memory_format=torch.channels_last)
    x[:, :, 0, 0] = 2.5  # a tie goes to the even byte
    bias = features(3 * factor**2).round()
    lr = torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, device=DEVICE)
    levels = functional.pixel_shuffle(x.float() + bias[:, None, None], factor).permute(0, 2, 3, 1)
    if skip:
        levels = levels + lr.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    expected = levels.clamp(0, 255).round().to(torch.uint8)
    order = kernels.sub_pixel_order(3 * factor**2, factor).to(DEVICE)
    padded = functional.pad(sub_pixels(kernels, x, factor), (0, 0, 0, 0, 0, 4), value=99.0)
    padded = padded.contiguous(memory_format=torch.channels_last)
    found = kernels.finish(padded, bias[order], factor, 255.0, torch.uint8, lr if skip else None)
    assert found.is_contiguous()
    assert torch.equal(found, expected)


def test_frames_of_floats_are_clamped_and_not_rounded(kernels: ModuleType) -> None:
    x = features(2, 12, 5, 7, dtype=torch.float16)
    bias = features(12)
    order = kernels.sub_pixel_order(12, 2).to(DEVICE)
    found = kernels.finish(sub_pixels(kernels, x, 2), bias[order], 2, 1.0, torch.float16, None)
    expected = functional.pixel_shuffle(x.float() + bias[:, None, None], 2).clamp(0, 1)
    assert torch.equal(found, expected.permute(0, 2, 3, 1).half())


@pytest.mark.parametrize("depth", ["bytes", "floats"])
@pytest.mark.parametrize("name", SHAPES)
def test_the_fused_network_is_the_rewritten_one(name: str, depth: Depth) -> None:
    from vidsr.inference.fused import FusedNetwork

    generator = generator_of(SHAPES[name]).float().to(DEVICE)
    if generator.config.output == "tanh":
        with pytest.raises(ValueError, match="tanh"):
            FusedNetwork(generator, torch.float32, depth)
        return
    lr = torch.rand(2, 9, 7, 3, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    lr = (lr * 255).to(torch.uint8) if depth == "bytes" else lr
    fused = FusedNetwork(generator, torch.float32, depth)(lr)
    rewritten = FrameNetwork(generator, torch.float32, depth)(lr)
    assert (fused.dtype, fused.shape) == (rewritten.dtype, rewritten.shape)
    assert fused.is_contiguous()
    # The order of two additions differs: the last bit of a float, and rarely the rounding of a byte.
    difference = (fused.float() - rewritten.float()).abs()
    if depth == "bytes":
        assert difference.max() <= 1
        assert difference.mean() < 1e-3
    else:
        assert difference.max() < 2e-6


COMPILE = """
import re
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from vidsr.inference import epilogues

half, single, byte, count = "*fp16", "*fp32", "*u8", "i32"
kernels = {
    epilogues._activate: (
        dict(x=half, bias=single, slopes=single, out=half, pixels=count, width=count),
        dict(CHANNELS=256, FACTOR=2, PIXELS_A_TILE=16, CHANNELS_A_TILE=256),
    ),
    epilogues._add: (
        dict(x=half, bias=single, residual=half, pixels=count),
        dict(CHANNELS=64, PIXELS_A_TILE=64, CHANNELS_A_TILE=64),
    ),
    epilogues._finish: (
        dict(x=half, bias=single, lr=byte, out=byte, pixels=count, width=count, white="fp32"),
        dict(STRIDE=16, FACTOR=2, SCALE=4, SKIP=True, BYTES=True, PIXELS_A_TILE=256, CHANNELS_A_TILE=16),
    ),
}
for kernel, (types, constants) in kernels.items():
    # What a launch finds out by itself: PyTorch's memory begins at multiples of 16 bytes.
    aligned = {(at,): [["tt.divisibility", 16]] for at, kind in enumerate(types.values()) if "*" in kind}
    signature = {**types, **dict.fromkeys(constants, "constexpr")}
    source = ASTSource(kernel, signature, constants, attrs=aligned)
    done = compile(source, GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False})
    assert done.asm["cubin"]
    print(kernel.__name__, *sorted(set(re.findall(r"(?:ld|st)\\.global[.\\w]*", done.asm["ptx"]))))
"""


@pytest.mark.slow
def test_the_kernels_compile_for_a_card_that_is_not_here(tmp_path: Path) -> None:
    """To machine code for compute capability 9.0, with 16 bytes of features an access."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", COMPILE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    accesses = {line.split()[0]: set(line.split()[1:]) for line in done.stdout.splitlines()}
    assert set(accesses) == {"_activate", "_add", "_finish"}
    for name in ("_activate", "_add"):
        assert {"ld.global.v4.b32", "st.global.v4.b32"} <= accesses[name]
