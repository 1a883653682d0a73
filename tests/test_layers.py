"""The house: who may import whom, and which third party is let in where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "vidsr"

FLOORS = {
    "cli": 5,
    "console": 5,
    "pipelines": 4,
    "inference": 3,
    "training": 3,
    "evaluation": 3,
    "models": 2,
    "video": 2,
    "config": 1,
    "page_config": 1,
    "train_config": 1,
    "recipes": 1,
    "crews": 1,
    "arrays": 1,
    "frames": 1,
    "errors": 1,
    "progress": 1,
    "versions": 1,
    "distributed": 1,
    "cores": 1,
    "plain": 1,
    "network_name": 1,
}

SAME_FLOOR = {
    ("cli", "console"),
    ("config", "crews"),
    ("page_config", "config"),
    ("train_config", "recipes"),
    ("frames", "arrays"),
} | {(room, "errors") for room, floor in FLOORS.items() if floor == 1}

FENCES = {
    "av": ["video/*", "training/degradations.py"],
    "tensorrt": ["inference/tensorrt_backend.py", "inference/engine_builder.py"],
    "tensorrt_rtx": ["inference/tensorrt_backend.py", "inference/engine_builder.py"],
    "onnx": ["inference/engine_builder.py"],
    "onnxruntime": [],  # no rung of the ladder (docs/cpu.md); the tests run exported graphs in it
    "openvino": ["inference/openvino_*.py"],
    "triton": ["inference/epilogues.py"],
    "ray": ["pipelines/cluster.py"],
    "typer": ["cli/*"],
    "rich": ["console.py"],
}

FILES = sorted(ROOT.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in the file, type-checking imports included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "vidsr" and len(parts) > 1 and parts[1] in FLOORS else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_down(path: Path) -> None:
    relative = path.relative_to(ROOT)
    room = relative.parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return  # the front of the house: names of every floor
    assert room in FLOORS, f"{relative} stands on no floor"
    for module in imports(path):
        other = room_of(module)
        if other is None or other == room or (room, other) in SAME_FLOOR:
            continue
        assert FLOORS[other] < FLOORS[room], f"{relative} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_third_parties_stay_behind_their_fence(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    for module in imports(path):
        allowed = FENCES.get(module.split(".")[0])
        assert allowed is None or any(fnmatch(relative, pattern) for pattern in allowed), (
            f"{relative} imports {module}"
        )


def test_no_homeless_functions() -> None:
    homeless = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in FILES if set(path.with_suffix("").parts[-2:]) & homeless]


def test_files_stay_readable() -> None:
    long = {path.name: n for path in FILES if (n := len(path.read_text().splitlines())) > 500}
    assert not long, "look for the second noun"
