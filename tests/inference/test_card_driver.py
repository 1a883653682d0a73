"""Whether there is a card: asked of the driver first, and of PyTorch only behind it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vidsr.inference import card_driver


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    card_driver.card_answers.cache_clear()
    yield
    card_driver.card_answers.cache_clear()


def test_it_says_what_pytorch_says() -> None:
    assert card_driver.card_answers() == torch.cuda.is_available()


def test_a_driver_is_a_library_or_a_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(card_driver, "ROCM_DEVICE", tmp_path / "kfd")
    monkeypatch.setattr(card_driver, "DRIVERS", {})
    assert not card_driver.has_driver()
    monkeypatch.setattr(card_driver, "DRIVERS", {sys.platform: "no such library"})
    assert not card_driver.has_driver()
    library = torch._C.__file__  # some library that there is
    monkeypatch.setattr(card_driver, "DRIVERS", {sys.platform: library})
    assert card_driver.has_driver()
    (tmp_path / "kfd").touch()
    monkeypatch.setattr(card_driver, "DRIVERS", {})
    assert card_driver.has_driver()


def test_behind_a_driver_pytorch_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(card_driver, "has_driver", lambda: False)
    assert not card_driver.card_answers()
    card_driver.card_answers.cache_clear()
    monkeypatch.setattr(card_driver, "has_driver", lambda: True)
    assert card_driver.card_answers()
