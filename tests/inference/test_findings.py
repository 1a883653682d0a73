"""What was measured once is not measured again, unless its record is of no use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidsr.inference.findings import keep, measured_once, recall


def never() -> dict[str, float]:
    pytest.fail("measured again")


def test_each_subject_is_measured_once(tmp_path: Path) -> None:
    file = tmp_path / "new" / "findings.json"
    assert measured_once(file, "a", lambda: {"x": 2.0, "y": 1.0}) == {"x": 2.0, "y": 1.0}
    assert measured_once(file, "b", lambda: {"x": 3.0}) == {"x": 3.0}
    again = measured_once(file, "a", never)
    assert list(again.items()) == [("x", 2.0), ("y", 1.0)]  # their order too: it decides between equals


def test_two_runs_at_once_keep_both_findings(tmp_path: Path) -> None:
    file = tmp_path / "findings.json"

    def slow() -> dict[str, float]:
        measured_once(file, "b", lambda: {"x": 2.0})  # another process, meanwhile
        return {"x": 1.0}

    measured_once(file, "a", slow)
    assert measured_once(file, "a", never) == {"x": 1.0}
    assert measured_once(file, "b", never) == {"x": 2.0}


def test_nothing_found_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "findings.json"
    assert measured_once(file, "a", dict) == {}
    assert measured_once(file, "a", lambda: {"x": 1.0}) == {"x": 1.0}


@pytest.mark.parametrize("text", ["[1, 2", "[]", '{"a": 1}', '{"a": {"x": "fast"}}'])
def test_a_damaged_record_is_begun_anew(text: str, tmp_path: Path) -> None:
    file = tmp_path / "findings.json"
    file.write_text(text)
    assert measured_once(file, "a", lambda: {"x": 1.0}) == {"x": 1.0}
    assert json.loads(file.read_text()) == {"a": {"x": 1.0}}


def test_no_place_to_remember_is_no_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for number in (1.0, 2.0):
        assert measured_once(blocked / "f.json", "a", lambda n=number: {"x": n}) == {"x": number}  # type: ignore[misc]


def test_a_newer_finding_takes_the_place_of_an_older(tmp_path: Path) -> None:
    file = tmp_path / "findings.json"
    measured_once(file, "a", lambda: {"x": 1.0})
    keep(file, "a", {"x": 2.0})
    assert recall(file) == {"a": {"x": 2.0}}
