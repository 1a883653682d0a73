"""The examination really runs what it says works, and says of the rest why it does not."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import torch

from vidsr.config import BackendName
from vidsr.errors import BackendUnavailable, EngineError, VidsrError
from vidsr.inference import backend as ladder
from vidsr.inference.backend import LADDER
from vidsr.models.weights import find_weights
from vidsr.pipelines import backend_check, doctor
from vidsr.pipelines.backend_check import BackendCheck, check_backend
from vidsr.pipelines.doctor import examine
from vidsr.pipelines.doctor_report import Diagnosis
from vidsr.progress import Advanced, Event

SOUND = BackendCheck("srgan-lite x4", "int8", "openvino", 0.5, 12.34, 53.1, 4.0)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Diagnosis:
    """An examination whose processes are stood in for: one backend works, one crashes."""

    def answer(function: object, name: BackendName, *, timeout_s: float) -> BackendCheck:
        assert function is check_backend
        if name == "openvino":
            return SOUND
        raise VidsrError("its process was ended by SIGSEGV")

    monkeypatch.setattr(doctor, "call_apart", answer)
    events: list[Event] = []
    found = examine(events.append)
    assert Advanced("examine", len(LADDER)) in events
    return found


def test_a_backend_is_run_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_check, "SECONDS", 0.0)
    check = check_backend("cpu")
    assert (check.precision, check.model) == ("fp32", find_weights("srgan-lite", 4).title)
    assert check.psnr_db >= 60 and check.most_levels <= 1
    assert check.frames_s > 0 and check.open_s > 0


def test_a_backend_that_computes_something_else_is_no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_check, "SECONDS", 0.0)
    opened = ladder.open_backend

    def broken(*arguments: object) -> object:
        backend = opened(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(
            type(backend),
            "__call__",
            lambda self, lr: lr.repeat_interleave(4, 1).repeat_interleave(4, 2),
        )
        return backend

    monkeypatch.setattr(backend_check, "open_backend", broken)
    with pytest.raises(EngineError, match="computes something else than the network"):
        check_backend("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_what_cannot_run_says_why_and_what_would_help(found: Diagnosis) -> None:
    states = {state.name: state for state in found.backends}
    assert list(states) == list(LADDER)
    with pytest.raises(BackendUnavailable) as refusal:
        check_backend("cuda")
    assert states["cuda"].reason == str(refusal.value)
    assert states["cpu"].reason == "its process was ended by SIGSEGV"
    assert any(text.startswith("cuda: ") for text in found.notices)


def test_a_card_without_a_fitting_pytorch_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.version.cuda is not None:
        pytest.skip("this PyTorch has CUDA")
    wanted = "pip install" if sys.platform == "linux" else "pytorch.org"
    assert wanted in str(doctor._remedy("cuda", "an NVIDIA card"))
    assert "graphics card" in str(doctor._remedy("cuda", None))


def test_tables_and_json_say_the_same(found: Diagnosis) -> None:
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["works"] is True
    rows = [state.row() for state in found.backends]
    assert ("openvino", "works", "int8", "12.3", "53.1 dB") in rows
    assert ("cpu", "no", "", "", "") in rows
    facts = dict(found.facts)
    assert f"torch {torch.__version__}" in facts["libraries"] and "FFmpeg" in facts["libraries"]
    assert "srgan-lite x4" in facts["models"]
    reason = plain["no_card_decoder"]
    assert facts["decoder"].startswith("software")
    assert (reason is None) == ("--hwaccel cuda" in facts["decoder"])
    assert reason is None or reason in facts["decoder"]
    assert ("h264", "libx264", "opens") in found.encoder_rows
    assert {row[0] for row in found.encoder_rows} >= {"h264", "hevc", "av1", "vp9", "prores", "ffv1"}


def test_nothing_works_only_where_nothing_computes_or_encodes(found: Diagnosis) -> None:
    nothing = tuple(replace(state, check=None, reason="no") for state in found.backends)
    assert not replace(found, backends=nothing).works
    silent = tuple(replace(state, refusal="no") for state in found.encoders)
    assert not replace(found, encoders=silent).works
