from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from vidsr.errors import OutputError
from vidsr.video.durable import disk_errors, part_path, put_in_place, sha256_of, write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_there_survives_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"first")
    part_path(path).mkdir()
    part_path(path).joinpath("in the way").touch()
    with pytest.raises(OutputError, match=r"a\.json: cannot be written"):
        write_whole(path, b"second")
    assert path.read_bytes() == b"first"


def test_a_part_gets_its_name(tmp_path: Path) -> None:
    part_path(tmp_path / "a").write_bytes(b"x")
    put_in_place(part_path(tmp_path / "a"), tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_part_that_is_missing_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such file"):
        put_in_place(tmp_path / "none", tmp_path / "a")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_told_from_other_errors(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="no space left on device: free some space"),
        disk_errors(tmp_path),
    ):
        Path("/dev/full").write_bytes(b"x")


def test_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
