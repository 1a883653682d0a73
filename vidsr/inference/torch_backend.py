"""The generator in PyTorch, on an NVIDIA card or on the processor."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from vidsr.config import UpscalePrecision
from vidsr.errors import BackendUnavailable, OutOfMemory
from vidsr.inference.backend import SizeLimits
from vidsr.models.generator import Generator, GeneratorConfig
from vidsr.models.weights import Weights, load_generator

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class TorchBackend:
    """Runs a generator eagerly: channels-last, fp16 on CUDA, fp32 on the CPU."""

    limits = SizeLimits()

    def __init__(
        self, weights: Weights, device: torch.device, precision: UpscalePrecision = "auto"
    ) -> None:
        if device.type == "cuda":
            _require_cuda()
        self.name = device.type
        self.device = device
        self.scale = weights.scale
        if precision == "auto":
            precision = "fp16" if device.type == "cuda" else "fp32"
        if precision == "int8":
            raise BackendUnavailable("8 bits are for --backend openvino: use --precision auto")
        if device.type == "cpu" and precision == "fp16":
            raise BackendUnavailable(
                "half precision is slower than single on a CPU: use --precision fp32"
            )
        self.precision: str = precision
        self.runtime = f"torch {torch.__version__}"
        self._dtype = DTYPES[precision]
        generator = load_generator(weights, device)
        generator = generator.to(self._dtype)
        for parameter in generator.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self._generator: Generator | None = generator
        self.receptive_radius = generator.config.receptive_radius
        self.bytes_per_pixel = working_bytes_per_pixel(generator.config, self._dtype.itemsize)

    def __call__(self, lr: Tensor) -> Tensor:
        """Enlarge (N, h, w, 3) RGB, uint8 or floating in [0, 1], by the scale; clamped, same dtype."""
        if self._generator is None:
            raise ValueError("the backend is closed")
        try:
            with torch.inference_mode():
                return self._run(self._generator, lr)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory(f"{self.name}: {lr.shape[0]} frames at once do not fit") from error
        except RuntimeError as error:
            # The processor's allocator has no type of its own.
            if "can't allocate memory" not in str(error):
                raise
            raise OutOfMemory(f"{self.name}: {lr.shape[0]} frames at once do not fit") from error

    def _run(self, generator: Generator, lr: Tensor) -> Tensor:
        # (N, h, w, 3) seen as (N, 3, h, w) is channels-last already: no copy but the cast.
        pixels = lr.permute(0, 3, 1, 2)
        if lr.dtype == torch.uint8:
            sr = generator(pixels.to(self._dtype) / 255)
            # Scaled in fp32: fp16 holds 255 levels only to half a level near white.
            out = sr.float().mul_(255).round_().clamp_(0, 255).to(torch.uint8)
        else:
            out = generator(pixels.to(self._dtype)).clamp_(0, 1).to(lr.dtype)
        nhwc: Tensor = out.permute(0, 2, 3, 1).contiguous()
        return nhwc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._generator = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def working_bytes_per_pixel(config: GeneratorConfig, itemsize: int) -> int:
    """An upper estimate of a call's working memory per LR pixel, bytes.

    Input, skip, two inner maps and a convolution's workspace live at once in the body; where the
    upsampling is staged, its last stage holds the map before and after the shuffle and the activation.
    The final image exists as floats and as bytes.
    """
    body = 5 * config.channels * itemsize
    image = config.scale**2 * 3 * (itemsize + 4 + 1)
    if config.upsampler == "single":
        return body + 2 * image
    return body + 4 * config.channels * config.scale**2 * itemsize + image


def _require_cuda() -> None:
    if torch.version.cuda is None:
        raise BackendUnavailable("this PyTorch is a build without CUDA")
    if not torch.cuda.is_available():
        raise BackendUnavailable("PyTorch finds no NVIDIA GPU or driver")
