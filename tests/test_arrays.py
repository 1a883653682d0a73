"""What is spelled differently for arrays of NumPy's and tensors of PyTorch's does the same for both."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.gpu import require_gpu
from tests.video.kinds import TENSORS, Kind, both_kinds
from vidsr.arrays import (
    HOST,
    Device,
    DType,
    Host,
    accumulate,
    add_scaled,
    cast,
    copy,
    dense,
    device_of,
    dtype_of,
    empty,
    equal,
    floats,
    is_floating,
    namespace,
    store_floored,
    to_device,
    to_host,
    writing,
)

DTYPES: list[DType] = ["uint8", "uint16", "float32"]


def numbers(dtype: str = "float32", *shape: int) -> NDArray[Any]:
    values = np.random.default_rng(3).random(shape or (4, 5, 3)) * 200
    return values.astype(dtype)


def test_the_host_is_one_device() -> None:
    assert Host() == HOST
    assert HOST.type == "cpu"
    cpu: Device = torch.device("cpu")
    assert cpu != HOST
    assert len({Host(), HOST}) == 1  # devices are keys of caches


@both_kinds
def test_an_array_tells_what_it_is(kind: Kind) -> None:
    array = kind.of(numbers())
    assert namespace(array) is (np if kind.device == HOST else torch)
    assert device_of(array) == kind.device
    assert [dtype_of(kind.of(numbers(dtype))) for dtype in DTYPES] == DTYPES
    floating = [is_floating(kind.of(numbers(name))) for name in ("uint8", "int32", "float16", "float64")]
    assert floating == [False, False, True, True]


def test_all_of_pytorch_s_floats_are_floating() -> None:
    assert is_floating(torch.zeros(1, dtype=torch.bfloat16))
    assert not is_floating(torch.zeros(1, dtype=torch.bool))


@both_kinds
@pytest.mark.parametrize("name", ["add", "multiply", "clip", "concatenate", "moveaxis", "rot90"])
def test_functions_of_the_namespace_agree(name: str, kind: Kind) -> None:
    one, other = numbers(), numbers("float32", 4, 5, 3)[::-1].copy()
    arguments: dict[str, tuple[Any, ...]] = {
        "add": (one, other),
        "multiply": (one, other),
        "clip": (one, 20, 90),
        "concatenate": ((one, other),),
        "moveaxis": (one, 1, 2),
        "rot90": (one, 3, (0, 1)),
    }

    def given(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(given, value))
        return kind.of(value) if isinstance(value, np.ndarray) else value

    found = getattr(namespace(kind.of(one)), name)(*map(given, arguments[name]))
    np.testing.assert_allclose(kind.back(found), getattr(np, name)(*arguments[name]), rtol=1e-6)


@both_kinds
@pytest.mark.parametrize("dtype", DTYPES)
def test_room_is_made(dtype: DType, kind: Kind) -> None:
    room = empty([2, 3, 4], dtype, kind.device)
    assert kind.back(room).shape == (2, 3, 4)
    assert dtype_of(room) == dtype
    room[...] = 7
    assert (kind.back(room) == 7).all()


@both_kinds
@pytest.mark.parametrize("target", DTYPES)
@pytest.mark.parametrize("source", DTYPES)
def test_casts_keep_the_numbers(source: DType, target: DType, kind: Kind) -> None:
    array = numbers(source)
    given = kind.of(array)
    found = cast(given, target)
    assert dtype_of(found) == target
    assert np.array_equal(kind.back(found), array.astype(target))
    assert np.shares_memory(kind.back(found), array) == (source == target)


@both_kinds
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
def test_floats_are_a_dense_copy(dtype: str, kind: Kind) -> None:
    array = numbers(dtype)
    for given in (kind.of(array), kind.of(array).swapaxes(0, 2), kind.of(array)[1:, ::2]):
        expected = kind.back(given).astype(np.float32)
        found = floats(given)
        assert dtype_of(found) == "float32"
        assert kind.back(found).flags.c_contiguous
        assert np.array_equal(kind.back(found), expected)
        found *= 0
        assert np.array_equal(kind.back(given).astype(np.float32), expected)


@both_kinds
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scaled_sums(dtype: str, kind: Kind) -> None:
    one, other = numbers(dtype), numbers(dtype)[::-1].copy()
    expected = one + 0.3 * other.astype(np.float64)
    exact = 1e-6 if dtype == "float32" else 1e-15
    mine, others = kind.of(one.copy()), kind.of(other.copy())
    found = add_scaled(mine, others, 0.3)
    assert dtype_of(found) == dtype
    np.testing.assert_allclose(kind.back(found), expected, rtol=exact)
    assert np.array_equal(kind.back(mine), one) and np.array_equal(kind.back(others), other)
    accumulate(mine, others, 0.3)
    assert dtype_of(mine) == dtype
    np.testing.assert_allclose(kind.back(mine), expected, rtol=exact)
    assert np.array_equal(kind.back(others), other)


@both_kinds
@pytest.mark.parametrize(("dtype", "peak"), [("uint8", 255), ("uint16", 65535)])
def test_fractions_are_cut_off_where_integers_are_stored(dtype: DType, peak: int, kind: Kind) -> None:
    codes = np.arange(peak + 1, dtype=np.float32)
    for fraction in (0.0, 0.25, 0.99):
        room = empty((2, peak + 1), dtype, kind.device)
        room[...] = 1
        store_floored(kind.of(codes + np.float32(fraction)), room[0])
        found = kind.back(room)
        assert np.array_equal(found[0], np.floor(codes + np.float32(fraction)))
        assert (found[1] == 1).all()
    across = empty((peak + 1, 2), dtype, kind.device)
    store_floored(kind.of(codes), across[:, 1])
    assert np.array_equal(kind.back(across)[:, 1], codes)


@both_kinds
def test_what_is_dense_stays_and_all_else_is_gathered(kind: Kind) -> None:
    array = numbers()
    given = kind.of(array)
    assert np.shares_memory(kind.back(dense(given)), array)
    turned = dense(given.swapaxes(0, 2))
    assert kind.back(turned).flags.c_contiguous
    assert np.array_equal(kind.back(turned), array.swapaxes(0, 2))


@both_kinds
def test_equal_looks_at_shape_and_numbers(kind: Kind) -> None:
    array = numbers()
    other = array.copy()
    other[0, 0, 0] += 1
    assert equal(kind.of(array), kind.of(array.copy()))
    assert not equal(kind.of(array), kind.of(other))
    assert not equal(kind.of(array), kind.of(array[:-1]))
    assert not equal(kind.of(array), kind.of(array[None]))
    assert equal(kind.of(array).swapaxes(0, 1), kind.of(array.swapaxes(0, 1).copy()))


@both_kinds
def test_a_copy_has_memory_of_its_own(kind: Kind) -> None:
    array = numbers()
    found = copy(kind.of(array))
    assert np.array_equal(kind.back(found), array)
    assert not np.shares_memory(kind.back(found), array)


@both_kinds
def test_what_a_network_gave_may_be_written_within_writing(kind: Kind) -> None:
    with torch.inference_mode():
        given = kind.of(numbers()) * 1
    with writing(given):
        given[0] = 5
        given += 1
    assert (kind.back(given)[0] == 6).all()


def test_tensors_of_a_network_may_be_written_nowhere_else() -> None:
    with torch.inference_mode():
        given = TENSORS.of(numbers()) * 1
    with pytest.raises(RuntimeError, match="inference tensor"):
        given += 1


@both_kinds
@pytest.mark.parametrize("dtype", DTYPES)
def test_to_the_host_and_back_shares_the_memory(dtype: DType, kind: Kind) -> None:
    array = numbers(dtype)
    given = to_device(array, kind.device)
    assert device_of(given) == kind.device
    back = to_host(given)
    assert isinstance(back, np.ndarray) and back.dtype == array.dtype
    assert np.array_equal(back, array)
    back[0] = 9
    assert (array[0] == 9).all()


def test_arrays_alone_do_not_load_pytorch() -> None:
    program = (
        "import sys, numpy as np\n"
        "import vidsr.arrays as a\n"
        "x = np.ones((3, 4), np.float32)\n"
        "a.empty((2,), 'uint8', a.HOST)\n"
        "a.namespace(x), a.device_of(x), a.dtype_of(x), a.is_floating(x)\n"
        "a.floats(x), a.dense(x), a.copy(x)\n"
        "a.cast(x, 'uint8'), a.add_scaled(x, x, 2), a.accumulate(x, x, 2), a.equal(x, x)\n"
        "a.store_floored(x, np.empty((3, 4), np.uint8)), a.to_device(a.to_host(x), a.HOST)\n"
        "with a.writing(x): pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_card_has_memory_of_its_own(dtype: DType) -> None:
    array = numbers(dtype)
    there = to_device(array, require_gpu())
    assert device_of(there).type == "cuda" and dtype_of(there) == dtype
    back = to_host(there)
    assert np.array_equal(back, array) and not np.shares_memory(back, array)
