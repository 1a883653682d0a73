"""Whether workers are of one kind."""

from __future__ import annotations

import platform
from dataclasses import replace
from itertools import product

import pytest

from tests.inference.nearest import NearestBackend
from vidsr.errors import UsageError
from vidsr.inference.processor import vector_instructions
from vidsr.pipelines import ability as module
from vidsr.pipelines.ability import Ability, ability_of, agree

CARD = Ability("cuda", "fp16", "torch 2.13", 4, "H100")


def test_workers_of_one_kind_have_its_ability() -> None:
    assert agree({"a": CARD, "b": CARD}, allow_mixed=False) == CARD


@pytest.mark.parametrize(
    "other",
    [
        replace(CARD, hardware="A100"),
        replace(CARD, runtime="torch 2.12"),
        replace(CARD, backend="openvino", precision="int8", hardware="x86_64 AVX2"),
    ],
)
def test_a_mix_is_refused_by_name_unless_allowed(other: Ability) -> None:
    with pytest.raises(UsageError, match=r"several kinds.*0, 2: cuda.*1: .*--allow-mixed"):
        agree({"0": CARD, "1": other, "2": CARD}, allow_mixed=False)
    mix = agree({"0": CARD, "1": other, "2": CARD}, allow_mixed=True)
    assert {CARD.hardware, other.hardware} == set(mix.hardware.split("+"))
    # Another name than either's: a job of the mix is not gone on with by one kind alone.
    assert mix.mixed
    assert (mix.backend, mix.runtime, mix.hardware) != (CARD.backend, CARD.runtime, CARD.hardware)


def test_a_backend_says_what_it_is() -> None:
    ability = ability_of(NearestBackend(2))
    assert (ability.backend, ability.precision, ability.scale) == ("nearest", "exact", 2)
    assert ability.hardware.startswith(f"{platform.machine()} {vector_instructions()}")


def test_processors_whose_last_bits_may_differ_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set()
    for vectors, products in product(("AVX2", "AVX-512"), (False, True)):
        monkeypatch.setattr(module, "vector_instructions", lambda vectors=vectors: vectors)
        monkeypatch.setattr(module, "multiplies_bytes", lambda products=products: products)
        hardware = ability_of(NearestBackend(2)).hardware
        assert vectors in hardware and ("byte products" in hardware) == products
        kinds.add(hardware)
    assert len(kinds) == 4
