from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from vidsr import cores
from vidsr.cores import BESIDE, side_by_side, threads, usable_cores, use_threads


def test_what_the_system_leaves_a_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert usable_cores() == 3


@pytest.mark.parametrize(("known", "expected"), [(8, 8), (None, 1)])
def test_without_such_a_limit_all_there_are(
    monkeypatch: pytest.MonkeyPatch, known: int | None, expected: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: known)
    assert usable_cores() == expected


# -- Threads -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_threads")
def test_where_pytorch_is_loaded_its_threads_are_the_threads() -> None:
    use_threads(3)
    assert threads() == torch.get_num_threads() == 3
    torch.set_num_threads(2)
    assert threads() == 2


def said(program: str, asked: str | None = None) -> list[str]:
    """What a program prints in a process of its own, with OMP_NUM_THREADS as given, line by line."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    if asked is not None:
        environment["OMP_NUM_THREADS"] = asked
    program = f"import sys\nfrom vidsr import cores\nfrom vidsr.cores import *\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


NOT_LOADED = "\nassert 'torch' not in sys.modules"


@pytest.mark.parametrize(("asked", "expected"), [("1", "1"), ("5", "5"), ("12", "12")])
def test_without_pytorch_the_environment_says_how_many(asked: str, expected: str) -> None:
    assert said("print(cores.threads())" + NOT_LOADED, asked) == [expected]


@pytest.mark.parametrize("asked", [None, "", "0", "-2", "4,2", "many"])
def test_what_the_environment_does_not_say_is_one_for_each_core(asked: str | None) -> None:
    assert said("print(cores.threads() == cores._whole_cores())" + NOT_LOADED, asked) == ["True"]


def test_what_was_chosen_counts_before_the_environment() -> None:
    assert said("cores.use_threads(3)\nprint(cores.threads())" + NOT_LOADED, "5") == ["3"]


def test_the_environment_says_the_same_to_pytorch() -> None:
    """Of more than there are cores PyTorch may take fewer; one there is everywhere."""
    program = "print(cores.threads())\nimport torch\nprint(torch.get_num_threads(), cores.threads())"
    assert said(program, "1") == ["1", "1", "1"]


def test_pytorch_loaded_later_is_told_what_was_chosen() -> None:
    program = (
        "cores.use_threads(3)\n"
        "import torch\n"
        "print(cores.threads())\n"
        "cores.use_threads(cores.threads())\n"
        "print(torch.get_num_threads(), cores.threads())\n"
        "torch.set_num_threads(2)\n"
        "print(cores.threads())"
    )
    assert said(program, "5") == ["3", "3", "3", "2"]


# -- Cores behind processors ---------------------------------------------------------------------------


def system(folder: Path, siblings: list[str]) -> Path:
    """Linux's folder of processors, each with the list of those that share its core."""
    for number, text in enumerate(siblings):
        topology = folder / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(text + "\n")
    return folder


@pytest.mark.parametrize(
    ("siblings", "allowed", "cores_there"),
    [
        (["0-1", "0-1", "2-3", "2-3"], {0, 1, 2, 3}, 2),
        (["0,2", "1,3", "0,2", "1,3"], {0, 1, 2, 3}, 2),
        (["0,2", "1,3", "0,2", "1,3"], {0, 2}, 1),
        (["0,2", "1,3", "0,2", "1,3"], {1, 2}, 2),
        (["0", "1", "2"], {0, 1, 2}, 3),
        (["0-1", "0-1", "2"], {0, 1, 2}, 2),  # some of today's processors have cores of both kinds
    ],
)
def test_two_processors_of_one_core_are_one(
    siblings: list[str],
    allowed: set[int],
    cores_there: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed, raising=False)
    assert cores._whole_cores(system(tmp_path, siblings)) == cores_there


@pytest.mark.parametrize("siblings", [[], ["0-1"]])
def test_where_the_system_does_not_say_each_processor_is_a_core(
    siblings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    assert cores._whole_cores(system(tmp_path, siblings)) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores._whole_cores(system(tmp_path / "other", ["0-1", "0-1"])) == 6


# -- Work side by side ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_threads")
@pytest.mark.parametrize("count", [1, 4, 8, 40])
def test_results_come_in_the_order_of_their_items(count: int) -> None:
    use_threads(count)

    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(side_by_side(work, range(20))) == [number * number for number in range(20)]
    assert list(side_by_side(work, [])) == []


@pytest.mark.usefixtures("own_threads")
@pytest.mark.parametrize("count", [1, 8])
def test_an_error_comes_out_where_its_result_would_have(count: int) -> None:
    use_threads(count)

    def work(number: int) -> int:
        if number == 2:
            raise LookupError("two")
        return number

    results: list[int] = []
    with pytest.raises(LookupError, match="two"):
        for result in side_by_side(work, range(5)):
            results.append(result)
    assert results == [0, 1]
    assert list(side_by_side(work, [3, 4])) == [3, 4]  # an error ends no thread


@pytest.mark.usefixtures("own_threads")
@pytest.mark.parametrize("workers", [2, 3])
def test_several_threads_work_at_once_where_there_are_enough(workers: int) -> None:
    use_threads(BESIDE * workers + BESIDE - 1)
    all_in = threading.Barrier(workers, timeout=20)

    def work(number: int) -> str:
        all_in.wait()  # passes only when so many are in it
        return threading.current_thread().name

    names = list(side_by_side(work, range(workers)))
    assert len(set(names)) == workers
    assert threading.current_thread().name not in names


@pytest.mark.usefixtures("own_threads")
@pytest.mark.parametrize(("count", "items"), [(1, 9), (2 * BESIDE - 1, 9), (40, 1)])
def test_too_few_threads_or_items_are_worked_on_here(count: int, items: int) -> None:
    use_threads(count)
    names = list(side_by_side(lambda number: threading.current_thread().name, range(items)))
    assert names == [threading.current_thread().name] * items
