"""How many workers a cluster has room for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vidsr.config import UpscaleConfig
from vidsr.crews import CrewConfig
from vidsr.errors import BackendUnavailable
from vidsr.pipelines.places import Places, find_places


def node(cpus: int, cards: int = 0, *, alive: bool = True) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {"CPU": float(cpus), "GPU": float(cards), "memory": 1e9}}


def config(backend: str = "auto", **crew: Any) -> UpscaleConfig:
    crew = {"cluster": "auto", **crew}
    return UpscaleConfig(Path("in"), Path("out"), backend=backend, crew=CrewConfig(**crew))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("nodes", "options", "places"),
    [
        ([node(8), node(8), node(8, alive=False)], {}, Places(2, 8, False)),
        ([node(0), node(4), node(16)], {}, Places(5, 4, False)),  # a head without work of its own
        ([node(8), node(8)], {"cpus_per_worker": 2}, Places(8, 2, False)),
        ([node(8), node(8)], {"workers": 4}, Places(4, 4, False)),
        ([node(2)], {"workers": 2}, Places(2, 1, False)),
        ([node(2)], {"workers": 9}, Places(2, 1, False)),
        ([node(64, 8), node(32)], {}, Places(8, 8, True)),  # cards are there: cores alone are left out
        ([node(64, 8), node(16, 4)], {}, Places(12, 4, True)),
        ([node(64, 8)], {"backend": "openvino"}, Places(1, 64, False)),
        ([node(4, 8)], {}, Places(4, 1, True)),
    ],
)
def test_places(nodes: list[dict[str, Any]], options: dict[str, Any], places: Places) -> None:
    assert find_places(config(**options), nodes) == places


@pytest.mark.parametrize(
    ("nodes", "options", "said"),
    [
        ([node(0)], {}, "no core"),
        ([node(8)], {"backend": "cuda"}, "no card"),
        ([node(8)], {"cpus_per_worker": 9}, "smaller --cpus-per-worker"),
    ],
)
def test_no_room(nodes: list[dict[str, Any]], options: dict[str, Any], said: str) -> None:
    with pytest.raises(BackendUnavailable, match=said):
        find_places(config(**options), nodes)
