"""What computes, and whether several of it are of one kind: only then are all frames as from one."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from vidsr.arrays import Device, is_card
from vidsr.errors import UsageError
from vidsr.inference.backend import Backend
from vidsr.inference.processor import multiplies_bytes, vector_instructions


@dataclass(frozen=True)
class Ability:
    """What computes: all of it that a job must know to be continued, or shared, with equal frames."""

    backend: str  # as the user asks for it
    precision: str
    runtime: str  # library, version, and all else that changes the result's last bits
    scale: int  # the network's own factor
    hardware: str  # the card's name, or what the processor can do
    mixed: bool = False  # workers of several kinds, whose names are joined above


def ability_of(backend: Backend) -> Ability:
    """What an open backend is."""
    return Ability(
        backend=backend.name,
        precision=backend.precision,
        runtime=backend.runtime,
        scale=backend.scale,
        hardware=_hardware(backend.device),
    )


def agree(abilities: Mapping[str, Ability], *, allow_mixed: bool) -> Ability:
    """The ability that workers, by their names, have in common; at least one.

    Raises UsageError where they are of several kinds, unless that is allowed: the kinds are then named
    together, so that a job begun by such a mix is not continued by one of its kinds alone.
    """
    kinds: dict[tuple[str, ...], list[str]] = {}
    for name, one in abilities.items():
        kinds.setdefault((one.backend, one.precision, one.runtime, one.hardware), []).append(name)
    if len(kinds) > 1 and not allow_mixed:
        told = "; ".join(f"{', '.join(names)}: {', '.join(kind)}" for kind, names in kinds.items())
        raise UsageError(
            f"the devices are of several kinds, whose frames may differ in their last bits ({told}): "
            "take devices of one kind, or --allow-mixed"
        )
    backends, precisions, runtimes, hardware = (
        "+".join(sorted(set(column))) for column in zip(*kinds, strict=True)
    )
    scale = next(iter(abilities.values())).scale
    return Ability(backends, precisions, runtimes, scale, hardware, mixed=len(kinds) > 1)


def _hardware(device: Device) -> str:
    """What tells devices apart whose results may differ in the last bit."""
    if is_card(device):
        import torch

        return torch.cuda.get_device_name(device)
    # Libraries choose their kernels by the width of the vectors, and 8-bit sums are added up in another
    # order where an instruction does four at once.
    bytes_too = " with byte products" if multiplies_bytes() else ""
    return f"{platform.machine()} {vector_instructions()}{bytes_too}"
