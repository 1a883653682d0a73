import os
import signal

import pytest
import torch

from vidsr.errors import TrainingError
from vidsr.training import precision
from vidsr.training.interrupt import stop_requests
from vidsr.training.precision import choose_dtype, seconds_per_update

CPU = torch.device("cpu")


@pytest.mark.parametrize(("half_s", "taken"), [(0.5, "bf16"), (0.95, "fp32"), (2.0, "fp32")])
def test_the_faster_type_is_taken(monkeypatch: pytest.MonkeyPatch, half_s: float, taken: str) -> None:
    times = {torch.float32: 1.0, torch.bfloat16: half_s}
    monkeypatch.setattr(precision, "seconds_per_update", lambda dtype: times[dtype])
    assert choose_dtype("auto", CPU)[0] == taken


def test_a_burst_of_other_work_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    half = iter([9.0, 0.6, 9.0, 9.0, 0.7])
    monkeypatch.setattr(
        precision, "seconds_per_update", lambda dtype: 1.0 if dtype == torch.float32 else next(half)
    )
    assert choose_dtype("auto", CPU) == ("bf16", "1.7 times as fast as fp32 on this CPU")


def test_a_wish_is_granted_or_refused() -> None:
    assert choose_dtype("bf16", CPU)[0] == "bf16"
    with pytest.raises(TrainingError, match="bf16 or fp32"):
        choose_dtype("fp16", CPU)


def test_measuring_leaves_the_random_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    assert seconds_per_update(torch.float32, repeats=1) > 0
    assert torch.equal(torch.rand(2), expected)


def test_the_first_interrupt_asks_the_second_insists() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_requests() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(5)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
