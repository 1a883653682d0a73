"""Trying variants out: the fastest of those that work, and the reasons of those that do not."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor

from vidsr.errors import EngineError
from vidsr.inference import tuning
from vidsr.inference.tuning import Run, fastest, seconds_a_call, try_out
from vidsr.inference.variants import Variant

FORMS = (Variant("rewritten"), Variant("plain"), Variant("compiled"))
LR = torch.zeros(1, 2, 2, 3)


def slow(lr: Tensor) -> Tensor:
    time.sleep(0.01)
    return lr


def test_the_fastest_is_found_and_equals_keep_the_first() -> None:
    assert fastest({"a": 2.0, "b": 1.0, "c": 3.0}) == "b"
    assert fastest({"a": 1.02, "b": 1.0}) == "a"  # a fiftieth is noise
    assert fastest({"a": 1.2, "b": 1.0}) == "b"
    assert fastest({}) is None


def test_refusals_are_told_with_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "TRIAL_S", 0.02)

    def open_variant(variant: Variant) -> Run:
        if variant.form == "rewritten":
            raise EngineError("computes something else\nat length")
        if variant.form == "compiled":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return slow

    trial = try_out(FORMS, open_variant, LR)
    assert list(trial.times_ms) == [Variant("plain")]
    assert trial.times_ms[Variant("plain")] >= 10  # it sleeps for so long
    assert trial.refused == {
        Variant("rewritten"): "computes something else",
        Variant("compiled"): "does not fit into memory",
    }


def test_a_variant_that_fails_while_it_runs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "TRIAL_S", 0.02)

    def failing(lr: Tensor) -> Tensor:
        raise RuntimeError

    runs: dict[str, Run] = {"rewritten": failing, "plain": slow, "compiled": slow}
    trial = try_out(FORMS, lambda variant: runs[variant.form], LR)
    assert trial.refused == {FORMS[0]: "RuntimeError"}
    assert set(trial.times_ms) == set(FORMS[1:])


def test_the_first_call_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "TRIAL_S", 0.0)
    calls: list[int] = []

    def first_is_slow(lr: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 1:
            time.sleep(5e-2)
        return lr

    assert seconds_a_call(first_is_slow, LR) < 5e-2
    assert len(calls) == 2
