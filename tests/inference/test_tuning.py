"""Trying variants out: the fastest of those that work, and the reasons of those that do not."""

from __future__ import annotations

import time
import weakref

import pytest
import torch
from torch import Tensor

from vidsr.errors import EngineError
from vidsr.inference import tuning
from vidsr.inference.tuning import Run, call_s, fastest, try_out
from vidsr.inference.variants import Variant

FORMS = (Variant("rewritten"), Variant("plain"), Variant("compiled"))
LR = torch.zeros(1, 2, 2, 3)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "TRIAL_S", 0.02)


def busy(lr: Tensor) -> Tensor:
    end = time.process_time() + 0.005
    while time.process_time() < end:
        pass
    return lr


def idle(lr: Tensor) -> Tensor:
    return lr


def test_the_fastest_is_found_and_equals_keep_the_first() -> None:
    assert fastest({"a": 2.0, "b": 1.0, "c": 3.0}) == "b"
    assert fastest({"a": 1.02, "b": 1.0}) == "a"  # a fiftieth is noise
    assert fastest({"a": 1.2, "b": 1.0}) == "b"
    assert fastest({}) is None


def test_who_works_longer_is_slower() -> None:
    runs: dict[str, Run] = {"rewritten": busy, "plain": idle, "compiled": busy}
    trial = try_out(FORMS, lambda variant: runs[variant.form], LR)
    assert list(trial.times_ms) == list(FORMS)
    assert not trial.refused
    assert fastest(trial.times_ms) == Variant("plain")
    assert trial.times_ms[Variant("rewritten")] >= 5  # milliseconds, that it works at least


def test_on_a_processor_they_take_turns_and_waiting_is_no_work() -> None:
    calls: list[str] = []

    def open_variant(variant: Variant) -> Run:
        def run(lr: Tensor) -> Tensor:
            calls.append(variant.form)
            return busy(lr)

        return run

    try_out(FORMS, open_variant, LR)
    # One call each when it is opened, then all in turn, once at least.
    assert len(calls) >= 6
    assert calls == ["rewritten", "plain", "compiled"] * (len(calls) // 3)
    assert call_s(lambda lr: time.sleep(0.05) or lr, LR) < 0.05  # another process's work is not ours


def test_refusals_are_told_with_their_reason() -> None:
    def open_variant(variant: Variant) -> Run:
        if variant.form == "rewritten":
            raise EngineError("computes something else\nat length")
        if variant.form == "compiled":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return idle

    trial = try_out(FORMS, open_variant, LR)
    assert list(trial.times_ms) == [Variant("plain")]
    assert trial.refused == {
        Variant("rewritten"): "computes something else",
        Variant("compiled"): "does not fit into memory",
    }


def test_a_variant_that_fails_while_it_runs_is_refused() -> None:
    def failing(lr: Tensor) -> Tensor:
        raise RuntimeError

    runs: dict[str, Run] = {"rewritten": failing, "plain": idle, "compiled": idle}
    trial = try_out(FORMS, lambda variant: runs[variant.form], LR)
    assert trial.refused == {FORMS[0]: "RuntimeError"}
    assert set(trial.times_ms) == set(FORMS[1:])


def test_on_a_card_each_is_let_go_before_the_next_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording holds the memory of a whole call; two would not fit."""
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    opened: list[weakref.ref[Recording]] = []

    class Recording:
        def __call__(self, lr: Tensor) -> Tensor:
            return lr

    def open_variant(variant: Variant) -> Run:
        assert not [ref for ref in opened if ref() is not None]
        recording = Recording()
        opened.append(weakref.ref(recording))
        return recording

    trial = try_out(FORMS, open_variant, torch.zeros(1, 2, 2, 3, device="meta"))
    assert not trial.refused
    assert len(opened) == len(FORMS)
