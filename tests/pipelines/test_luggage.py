"""Weights that travel are the same at their other place."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import torch

from tests.blends import calibrate_sets, save_sets
from vidsr.inference.calibration import find_calibration
from vidsr.models.weights import find_weights, load_generator
from vidsr.pipelines.luggage import Luggage


def test_a_shipped_model_travels_with_its_calibration(tmp_path: Path) -> None:
    weights = find_weights("srgan-lite", 2)
    there = pickle.loads(pickle.dumps(Luggage.pack(weights))).unpack(tmp_path)
    assert there.path.parent == tmp_path
    assert replace(there, path=weights.path, detailed=weights.detailed) == weights
    ours, theirs = find_calibration(weights), find_calibration(there)
    assert ours is not None
    assert theirs is not None
    assert theirs.digest == ours.digest


def test_both_sets_of_a_blend_travel(tmp_path: Path) -> None:
    home, away = save_sets(tmp_path / "home"), tmp_path / "away"
    away.mkdir()
    weights = find_weights(str(home), 2, detail=0.25)
    there = Luggage.pack(weights).unpack(away)
    lr = torch.rand(1, 3, 8, 8)
    cpu = torch.device("cpu")
    assert torch.equal(load_generator(there, cpu)(lr), load_generator(weights, cpu)(lr))
    assert {path.name for path in away.iterdir()} == {"pixel.safetensors", "adversarial.safetensors"}
    assert find_calibration(there) is None
    calibrate_sets(str(home))
    there = Luggage.pack(weights).unpack(away)
    ours, theirs = find_calibration(weights), find_calibration(there)
    assert ours is not None
    assert theirs is not None
    assert theirs.digest == ours.digest
