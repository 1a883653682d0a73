"""SRGAN generators trained by others: their tensors under our names.

Every published SRGAN generator holds the same layers in the same order (Ledig et al. 2017, figure 4)
under names of its own. So the tensors are taken in their order and recognised by their shapes:
convolutions have four axes, batch norms four vectors of one length, PReLU a single vector.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidsr.errors import WeightsError
from vidsr.models.generator_config import GeneratorConfig


def adopt(state: dict[str, Tensor], path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and renamed tensors of a paper-style generator.

    Weights with batch norm are taken as published, with the output tanh mapped from [-1, 1] to
    [0, 1]; without it the output is linear. A file that means something else must carry a `config`.
    Raises WeightsError where the layers are not those of an SRGAN generator.
    """
    layers = _layers(state)
    kinds = [kind for kind, _ in layers]
    convolutions = [tensors["weight"] for kind, tensors in layers if kind == "conv"]
    try:
        if len(convolutions) < 5 or convolutions[0].shape[1] != 3 or convolutions[-1].shape[0] != 3:
            raise ValueError("its convolutions do not lead from 3 channels to 3")
        channels = int(convolutions[0].shape[0])
        stages = sum(1 for weight in convolutions[:-1] if weight.shape[0] == 4 * channels)
        inner = len(convolutions) - 3 - stages  # less head, body_conv and tail
        if stages not in (1, 2) or inner < 2 or inner % 2:
            raise ValueError(f"{inner} convolutions in blocks and {stages} upsampling stages")
        slopes = [tensors["weight"] for kind, tensors in layers if kind == "prelu"]
        config = GeneratorConfig(
            scale=2**stages,
            blocks=inner // 2,
            channels=channels,
            batch_norm="norm" in kinds,
            activation="prelu" if slopes else "relu",
            channel_slopes=bool(slopes) and slopes[0].numel() > 1,
            head_kernel=int(convolutions[0].shape[-1]),
            tail_kernel=int(convolutions[-1].shape[-1]),
            output="tanh" if "norm" in kinds else "linear",
        )
        names = _names(config)
        if [kind for kind, _ in names] != kinds:
            raise ValueError("its layers come in another order")
    except ValueError as error:
        raise WeightsError(f"{path}: not the weights of an SRGAN generator ({error})") from error
    renamed: dict[str, Tensor] = {}
    for (kind, name), (_, tensors) in zip(names, layers, strict=True):
        if kind == "conv" and "bias" not in tensors:  # usual in front of a batch norm
            tensors["bias"] = torch.zeros(tensors["weight"].shape[0])
        if kind == "norm":
            tensors.setdefault("num_batches_tracked", torch.tensor(0))
        renamed |= {f"{name}.{part}": tensor for part, tensor in tensors.items()}
    return asdict(config), renamed


def _layers(state: dict[str, Tensor]) -> list[tuple[str, dict[str, Tensor]]]:
    """The layers in their order: ("conv" | "norm" | "prelu", tensors by their last name)."""
    grouped: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        module, _, part = name.removeprefix("module.").rpartition(".")
        grouped.setdefault(module, {})[part] = tensor
    layers: list[tuple[str, dict[str, Tensor]]] = []
    for tensors in grouped.values():
        if "running_mean" in tensors:
            layers.append(("norm", tensors))
        elif tensors.get("weight") is not None and tensors["weight"].dim() == 4:
            layers.append(("conv", tensors))
        else:
            layers.append(("prelu", tensors))
    return layers


def _names(config: GeneratorConfig) -> list[tuple[str, str]]:
    """The kind and our name of every layer with tensors, in the network's order."""
    act = [("prelu", "")] if config.activation == "prelu" else []
    norm = [("norm", "")] if config.batch_norm else []

    def named(layers: list[tuple[str, str]], *names: str) -> list[tuple[str, str]]:
        return [(kind, name) for (kind, _), name in zip(layers, names, strict=False)]

    result = [("conv", "head"), *named(act, "head_act")]
    for i in range(config.blocks):
        block = f"body.{i}"
        result += [("conv", f"{block}.conv1"), *named(norm, f"{block}.bn1"), *named(act, f"{block}.act")]
        result += [("conv", f"{block}.conv2"), *named(norm, f"{block}.bn2")]
    result += [("conv", "body_conv"), *named(norm, "body_bn")]
    for stage in range(config.stages):
        result += [("conv", f"upsample.{3 * stage}"), *named(act, f"upsample.{3 * stage + 2}")]
    return [*result, ("conv", "tail")]
