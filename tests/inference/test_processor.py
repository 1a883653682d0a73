"""Bytes or floats: by the processor's own words, else measured once and remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidsr.inference.processor import WORTH, bytes_pay, multiplies_bytes, vector_instructions


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A processor of 2013 in Linux's words."""
    path = tmp_path / "cpuinfo"
    path.write_text("model name\t: Old\nflags\t\t: fpu sse4_2 avx avx2 fma\n")
    return path


@pytest.mark.parametrize("flag", ["avx512_vnni", "avx_vnni", "amx_int8"])
def test_instructions_are_known_by_name(flag: str, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"flags\t\t: fpu avx2 {flag} fsrm\n")
    assert multiplies_bytes(cpuinfo)
    assert bytes_pay("x", lambda: pytest.fail("measured all the same"), tmp_path / "m", cpuinfo=cpuinfo)


def test_other_systems_do_not_know(tmp_path: Path, old: Path) -> None:
    assert not multiplies_bytes(old)
    assert not multiplies_bytes(tmp_path / "missing")


@pytest.mark.parametrize(
    ("line", "widest"),
    [
        ("flags\t\t: fpu avx avx2 avx512f avx512_vnni", "AVX-512"),
        ("flags\t\t: fpu sse4_2 avx avx2 fma", "AVX2"),
        ("flags\t\t: fpu sse4_2 avx", "plain"),
        ("Features\t: fp asimd sve", "SVE"),
        ("Features\t: fp asimd", "NEON"),
    ],
)
def test_the_widest_vectors_count(line: str, widest: str, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: Some\n{line}\n")
    assert vector_instructions(cpuinfo) == widest


def test_unknown_vectors_are_plain(tmp_path: Path) -> None:
    assert vector_instructions(tmp_path / "missing") == "plain"


@pytest.mark.parametrize(("share", "pays"), [(0.4, True), (WORTH, True), (0.95, False), (1.5, False)])
def test_measured_once_for_each_subject(share: float, pays: bool, tmp_path: Path, old: Path) -> None:
    memory = tmp_path / "new" / "int8.json"
    asked: list[float] = []

    def measure() -> float:
        asked.append(share)
        return share

    for _ in range(3):
        assert bytes_pay("weights A", measure, memory, cpuinfo=old) is pays
    assert len(asked) == 1
    bytes_pay("weights B", measure, memory, cpuinfo=old)
    assert len(asked) == 2


def test_a_damaged_memory_is_measured_again(tmp_path: Path, old: Path) -> None:
    memory = tmp_path / "int8.json"
    memory.write_text("[1, 2")
    assert bytes_pay("weights", lambda: 0.5, memory, cpuinfo=old)
    assert bytes_pay("weights", lambda: pytest.fail("asked twice"), memory, cpuinfo=old)


def test_no_place_to_remember_is_no_error(tmp_path: Path, old: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert bytes_pay("weights", lambda: 0.5, blocked / "int8.json", cpuinfo=old)
