"""How much arithmetic a generator is, whatever runs it."""

from __future__ import annotations

from vidsr.models.generator_config import GeneratorConfig


def operations_a_pixel(config: GeneratorConfig) -> int:
    """Operations of a forward pass for each LR pixel; multiply and add are two.

    Those of the convolutions, side of the kernel squared times channels in times channels out for each
    pixel they make; the rest is below a hundredth.
    """
    width, inner = config.channels, 9 * config.channels**2
    products = config.head_kernel**2 * 3 * width
    if config.body == "residual":
        products += (2 * config.blocks + 1) * inner  # the last one before the global skip
    else:
        products += config.blocks * inner
    if config.upsampler == "staged":
        # Each stage's convolution makes four times its channels, at 1, 2 ... times the LR size.
        products += sum(4 * inner * 4**stage for stage in range(config.stages))
    # The tail in both forms: 3 channels at high resolution, or 3 for each of its pixels at low.
    products += config.tail_kernel**2 * width * 3 * config.scale**2
    return 2 * products
