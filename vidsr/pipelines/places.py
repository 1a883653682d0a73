"""What room the machines of a cluster have for workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidsr.config import UpscaleConfig
from vidsr.errors import BackendUnavailable


@dataclass(frozen=True)
class Places:
    """What room a cluster has for workers."""

    workers: int
    cpus: int  # for each
    card: bool  # for each


def find_places(config: UpscaleConfig, nodes: Sequence[Mapping[str, Any]]) -> Places:
    """How many workers to ask a cluster for, and of what size; `nodes` as `ray.nodes()` has them.

    One for each card, where there are cards and nothing else was asked for; else one for each machine,
    or for each `cpus_per_worker` of its cores. Raises BackendUnavailable where there is no room.
    """
    rooms = [
        (int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
        for node in nodes
        if node["Alive"]
    ]
    card = config.backend in ("cuda", "tensorrt")
    card |= config.backend == "auto" and any(cards for _, cards in rooms)
    rooms = [(cpus, cards) for cpus, cards in rooms if cpus and (cards or not card)]
    asked, cpus_each = config.crew.workers, config.crew.cpus_per_worker
    if not rooms:
        raise BackendUnavailable(f"the cluster has no {'card' if card else 'core'} to work on")
    if cpus_each is None:
        cpus_each = min(cpus // cards if card else cpus for cpus, cards in rooms)
        if asked is not None:
            cpus_each = min(cpus_each, sum(cpus for cpus, _ in rooms) // asked)
        cpus_each = max(1, cpus_each)
    most = sum(min(cpus // cpus_each, cards if card else cpus) for cpus, cards in rooms)
    if not most:
        raise BackendUnavailable(
            f"no machine of the cluster has {cpus_each} cores: give a smaller --cpus-per-worker"
        )
    return Places(most if asked is None else min(asked, most), cpus_each, card)
