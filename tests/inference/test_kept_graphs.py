"""Compiled graphs that are kept: found again, few of them, and never believed when they are damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vidsr.inference.backend import Call
from vidsr.inference.kept_graphs import MOST, folder_of
from vidsr.inference.openvino_backend import OpenvinoBackend
from vidsr.models.weights import find_weights

CALL = Call(1, 24, 40, "uint8")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_threads: None) -> Path:
    """The user's cache, empty; and the threads that frames side by side need."""
    from vidsr.cores import use_threads

    use_threads(2)
    monkeypatch.setenv("VIDSR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def enlarged(expected: Call | None = CALL) -> bytes:
    lr = np.random.default_rng(0).integers(0, 256, (1, 24, 40, 3), np.uint8)
    with OpenvinoBackend(find_weights("srgan-fast", 2)) as backend:
        if expected is not None:
            backend.expect(expected)
        with backend.abreast():
            return backend(lr).tobytes()


def test_what_was_expected_is_kept_and_computes_the_same(cache: Path) -> None:
    plain = enlarged(None)
    assert not list(cache.rglob("*.blob"))
    assert enlarged() == plain
    (kept,) = cache.rglob("*.blob")
    written = kept.stat().st_mtime_ns
    assert enlarged() == plain
    assert kept.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["cut off", "noise", "empty"])
def test_a_damaged_file_is_not_believed(cache: Path, damage: str) -> None:
    plain = enlarged()
    (kept,) = cache.rglob("*.blob")
    whole = kept.read_bytes()
    kept.chmod(0o600)
    kept.write_bytes(
        {
            "cut off": whole[: len(whole) // 2],
            "noise": np.random.default_rng(0).bytes(len(whole)),
            "empty": b"",
        }[damage]
    )
    # In a process of its own: within one, OpenVINO looks at a file but once.
    again = (
        "import sys; from tests.inference.test_kept_graphs import enlarged; from vidsr import cores\n"
    )
    again += "cores.use_threads(2); sys.stdout.buffer.write(enlarged())"
    done = subprocess.run([sys.executable, "-c", again], capture_output=True, check=True, timeout=120)
    assert done.stdout == plain


def test_each_network_has_a_folder_of_its_own() -> None:
    folders = {folder_of(network) for network in ("one int8", "one fp32", "other int8")}
    assert len(folders) == 3 and None not in folders


def test_the_oldest_make_room() -> None:
    folder = folder_of("network")
    assert folder is not None
    for age in range(MOST + 3):
        (folder / f"{age}.blob").touch()
        os.utime(folder / f"{age}.blob", (1000 - age, 1000 - age))
    folder_of("network")
    assert {file.stem for file in folder.iterdir()} == {str(age) for age in range(MOST)}


def test_where_nothing_can_be_written_it_works_without(cache: Path) -> None:
    cache.write_text("a file, not a folder")
    assert folder_of("network") is None
    assert len(enlarged()) == 48 * 80 * 3
