"""What of running an engine is our own: buffers and their addresses, graphs, memory that is short.

TensorRT is played by a module that reads and writes main memory by address, so a stale or freed address
shows as a wrong picture.
"""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor

from tests.inference.pretend_tensorrt import ACTIVATION_BYTES, DataType, open_runner
from vidsr.errors import EngineError
from vidsr.inference.engine_key import Flavour, ShapeRange

SHAPES = ShapeRange.up_to(40, 48, batch=3)


def noise(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=random)


def enlarged(lr: Tensor) -> Tensor:
    return lr.repeat_interleave(2, 1).repeat_interleave(2, 2)


@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt_rtx"])
def test_results_are_right_and_stay_so(monkeypatch: pytest.MonkeyPatch, flavour: Flavour) -> None:
    """Shapes that change and come back; no result is written into by a later call."""
    runner = open_runner(monkeypatch, SHAPES, flavour)
    sizes = [(1, 40, 48), (1, 40, 48), (3, 40, 48), (1, 32, 33), (1, 40, 48), (3, 40, 48)]
    inputs = [noise(*size, seed=seed) for seed, size in enumerate(sizes)]
    results = [runner(lr) for lr in inputs]
    for lr, sr in zip(inputs, results, strict=True):
        assert torch.equal(sr, enlarged(lr))
    assert runner.digest == hashlib.sha256(b"plan").hexdigest()[:16]
    assert runner.shapes == SHAPES


def test_one_shape_is_prepared_and_recorded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = open_runner(monkeypatch, SHAPES)
    for seed in range(4):
        runner(noise(1, 40, 48, seed))
    assert runner._stream.recorded == 1  # type: ignore[attr-defined]
    assert runner._context.calls == 2 + 4  # two before the recording
    runner(noise(2, 40, 48))
    assert runner._stream.recorded == 2  # type: ignore[attr-defined]


def test_tensorrt_rtx_records_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = open_runner(monkeypatch, SHAPES, "tensorrt_rtx")
    runner(noise(1, 40, 48))
    assert runner._stream.recorded == 0  # type: ignore[attr-defined]


def test_what_cannot_be_recorded_is_launched_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = open_runner(monkeypatch, SHAPES)
    runner._stream.fault = RuntimeError(  # type: ignore[attr-defined]
        "CUDA error: operation not permitted when stream is capturing"
    )
    lr = noise(1, 40, 48)
    assert torch.equal(runner(lr), enlarged(lr))
    assert torch.equal(runner(lr), enlarged(lr))


@pytest.mark.parametrize("step", ["call", "address of lr", "address of sr"])
def test_where_memory_is_short_another_shape_goes_on(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """TensorRT's own lack of memory is PyTorch's, and nothing half prepared is left behind."""
    faults: set[str] = set()
    runner = open_runner(monkeypatch, SHAPES, faults=faults)
    small, large = noise(1, 32, 32), noise(3, 40, 48)
    assert torch.equal(runner(small), enlarged(small))
    faults.add(step)
    with pytest.raises(torch.OutOfMemoryError, match="OutOfMemory"):
        runner(large)
    faults.clear()
    assert torch.equal(runner(large), enlarged(large))  # the shape that failed is prepared anew
    assert torch.equal(runner(small), enlarged(small))
    with pytest.raises(EngineError, match="not in the profile"):  # not what was said before
        runner(noise(4, 40, 48))


def test_buffers_that_do_not_fit_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = open_runner(monkeypatch, SHAPES)
    lr = noise(3, 40, 48)
    empty = torch.empty

    def short(*shape: object, **options: object) -> Tensor:
        if shape == ((3, 80, 96, 3),):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return empty(*shape, **options)  # type: ignore[call-overload,no-any-return]

    with monkeypatch.context() as patch:
        patch.setattr(torch, "empty", short)
        with pytest.raises(torch.OutOfMemoryError):
            runner(lr)
    assert torch.equal(runner(lr), enlarged(lr))


def test_a_shape_outside_the_profile_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = open_runner(monkeypatch, SHAPES)
    with pytest.raises(EngineError, match=r"refuses the shape \(4, 40, 48, 3\): .*not in the profile"):
        runner(noise(4, 40, 48))
    lr = noise(1, 40, 48)
    assert torch.equal(runner(lr), enlarged(lr))


@pytest.mark.parametrize(
    ("dtype", "expected"), [(DataType.HALF, torch.float16), (DataType.FLOAT, torch.float32)]
)
def test_floats_go_through_in_the_engine_s_own_precision(
    monkeypatch: pytest.MonkeyPatch, dtype: DataType, expected: torch.dtype
) -> None:
    runner = open_runner(monkeypatch, SHAPES, dtype=dtype)
    assert runner.dtype == expected
    lr = torch.rand(2, 40, 48, 3).to(expected)
    assert torch.equal(runner(lr), enlarged(lr))


def test_closing_lets_go_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = open_runner(monkeypatch, SHAPES)
    runner(noise(1, 40, 48))
    assert runner._activations.numel() == ACTIVATION_BYTES
    with runner:
        pass
    assert sum(t.numel() for t in (runner._activations, runner._lr, runner._sr)) == 0
