"""The store on real files: names, seals, damage, locks, several processes at once."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_S, started
from vidsr.errors import EngineError
from vidsr.inference import engines
from vidsr.inference.engine_files import Seal, private_folder, write_private
from vidsr.inference.engine_key import EngineKey, Machine, ShapeRange
from vidsr.inference.engines import EngineStore, TimingCache

KEY = EngineKey(
    model="srgan",
    weights_sha="a" * 64,
    graph_sha="b" * 64,
    scale=4,
    precision="fp16",
    depth="bytes",
    shapes=ShapeRange.fixed(180, 320),
    tensorrt="tensorrt 11.4.0.106",
    gpu="NVIDIA H200 (9.0, 132 SMs, 140 GiB)",
    system="linux-x86_64",
)
PLAN = bytes(range(256)) * 16
FACTS = {"built": "2026-01-01T00:00:00+00:00", "seconds": 1.5, "self_check": None}

posix = pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines", Seal(tmp_path / "seal" / "secret"))


# -- Keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha": "c" * 64},
        {"graph_sha": "c" * 64},
        {"scale": 2},
        {"precision": "fp32"},
        {"depth": "floats"},
        {"shapes": ShapeRange.fixed(180, 320, batch=2)},
        {"shapes": ShapeRange.up_to(180, 320)},
        {"tensorrt": "tensorrt 11.5.0.1"},
        {"tensorrt": "tensorrt_rtx 11.4.0.106"},
        {"gpu": "NVIDIA H100 (9.0, 132 SMs, 80 GiB)"},
        {"system": "windows-amd64"},
    ],
    ids=str,
)
def test_whatever_makes_an_engine_invalid_makes_another_name(change: Mapping[str, Any]) -> None:
    assert replace(KEY, **change).text != KEY.text


def test_a_key_survives_its_manifest(store: EngineStore) -> None:
    stored = store.put(KEY, PLAN, FACTS)
    assert store.entries() == [stored]
    assert stored.key == KEY
    assert stored.to_json()["shapes"]["greatest"] == (1, 180, 320)


def test_a_name_is_a_file_name_whatever_the_model_is_called() -> None:
    text = replace(KEY, model="../päth to/x.y").text
    assert Path(text).name == text
    assert text.startswith("..-p")


def test_shapes_say_themselves() -> None:
    assert str(ShapeRange.fixed(180, 320, batch=4)) == "1-4x180x320"
    assert str(ShapeRange.up_to(180, 320)) == "1x32-180x32-320"


# -- What may be loaded --------------------------------------------------------------------------------


def test_an_engine_comes_back_as_it_was(store: EngineStore) -> None:
    assert store.load(KEY) is None
    store.put(KEY, PLAN, FACTS)
    assert store.load(KEY) == PLAN
    assert store.verify() == [(f"{KEY.text}.engine", None)]


@pytest.mark.parametrize("at", [0, 2000, -1])
def test_a_flipped_byte_is_never_loaded(store: EngineStore, at: int) -> None:
    path = store.put(KEY, PLAN, FACTS).path
    damaged = bytearray(PLAN)
    damaged[at] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(EngineError, match="not those that were written"):
        store.load(KEY)
    ((name, problem),) = store.verify()
    assert name == path.name
    assert problem is not None


def test_a_cut_or_missing_engine_is_never_loaded(store: EngineStore) -> None:
    path = store.put(KEY, PLAN, FACTS).path
    path.write_bytes(PLAN[:-1])
    with pytest.raises(EngineError, match="not those that were written"):
        store.load(KEY)
    path.unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        store.load(KEY)


def test_an_engine_without_a_manifest_is_nothing(store: EngineStore) -> None:
    path = store.put(KEY, PLAN, FACTS).path
    path.with_suffix(".json").unlink()
    assert store.load(KEY) is None
    assert store.verify() == [(path.name, f"{KEY.text}.json: there is no manifest")]


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"seal": 1}', "\x00"])
def test_a_manifest_that_is_none_is_refused(store: EngineStore, text: str) -> None:
    path = store.put(KEY, PLAN, FACTS).path
    path.with_suffix(".json").write_text(text)
    with pytest.raises(EngineError, match="not a manifest"):
        store.load(KEY)
    assert store.entries() == []


def test_a_manifest_changed_by_hand_is_refused(store: EngineStore) -> None:
    path = store.put(KEY, PLAN, FACTS).path.with_suffix(".json")
    manifest = json.loads(path.read_text())
    manifest["facts"]["seconds"] = 2.5
    path.write_text(json.dumps(manifest))
    with pytest.raises(EngineError, match="vidsr did not write it"):
        store.load(KEY)


def test_an_engine_of_another_user_is_refused(tmp_path: Path, store: EngineStore) -> None:
    """What a download brings along is sealed with another secret, or with none."""
    store.put(KEY, PLAN, FACTS)
    for other in (tmp_path / "other" / "secret", tmp_path / "never made" / "secret"):
        with pytest.raises(EngineError, match="vidsr did not write it"):
            EngineStore(store.folder, Seal(other)).load(KEY)
        Seal(tmp_path / "other" / "secret").sign({})


def test_an_engine_under_the_name_of_another_is_refused(store: EngineStore) -> None:
    path = store.put(KEY, PLAN, FACTS).path
    other = replace(KEY, weights_sha="c" * 64)
    for suffix in (".engine", ".json"):
        (store.folder / f"{other.text}{suffix}").write_bytes(path.with_suffix(suffix).read_bytes())
    with pytest.raises(EngineError, match="describes another engine"):
        store.load(other)


def test_a_failed_build_is_not_kept(store: EngineStore) -> None:
    with pytest.raises(EngineError, match="100 bytes"):
        store.put(KEY, bytes(100), FACTS)
    assert store.verify() == []


# -- Building once -------------------------------------------------------------------------------------


def test_a_damaged_engine_is_built_anew_once_and_the_reason_is_said(store: EngineStore) -> None:
    store.put(KEY, PLAN, FACTS).path.write_bytes(b"x" * len(PLAN))
    builds: list[int] = []
    reasons: list[str] = []

    def build() -> tuple[bytes, Mapping[str, Any]]:
        builds.append(1)
        return PLAN[::-1], FACTS

    for _ in range(2):
        assert store.load_or_build(KEY, build, reasons.append) == PLAN[::-1]
    assert len(builds) == len(reasons) == 1
    assert "not those that were written" in reasons[0]


def test_a_build_that_fails_leaves_nothing(store: EngineStore) -> None:
    def build() -> tuple[bytes, Mapping[str, Any]]:
        raise EngineError("no")

    with pytest.raises(EngineError, match="no"):
        store.load_or_build(KEY, build, lambda reason: None)
    assert store.load(KEY) is None
    assert [path.suffix for path in store.folder.iterdir()] == [".lock"]


BUILDER = """
import sys, time
from pathlib import Path
from tests.inference.test_engines import FACTS, KEY, PLAN
from vidsr.inference import engines
from vidsr.inference.engine_files import Seal
from vidsr.inference.engines import EngineStore
root = Path(sys.argv[1])
def build():
    with open(root / "builds", "a") as file:
        file.write("x")
    print("building", flush=True)
    time.sleep(float(sys.argv[2]))
    return PLAN, FACTS
plan = EngineStore(root / "engines", Seal(root / "seal" / "secret")).load_or_build(KEY, build, print)
assert plan == PLAN
"""


def builder(root: Path, seconds: float) -> AbstractContextManager[subprocess.Popen[str]]:
    command = [sys.executable, "-c", BUILDER, root, seconds]
    return started(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_several_processes_build_one_engine(tmp_path: Path) -> None:
    with ExitStack() as ended:
        processes = [ended.enter_context(builder(tmp_path, 0.3)) for _ in range(4)]
        errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    assert (tmp_path / "builds").read_text() == "x"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_builder_blocks_nobody(tmp_path: Path, store: EngineStore) -> None:
    with builder(tmp_path, 60) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        process.kill()
    assert store.load_or_build(KEY, lambda: (PLAN, FACTS), lambda reason: None) == PLAN


def test_threads_wait_for_each_other(store: EngineStore) -> None:
    builds: list[int] = []

    def build() -> tuple[bytes, Mapping[str, Any]]:
        builds.append(1)
        time.sleep(0.1)
        return PLAN, FACTS

    def work() -> None:
        assert store.load_or_build(KEY, build, lambda reason: None) == PLAN

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert len(builds) == 1


# -- Permissions ---------------------------------------------------------------------------------------


@posix
def test_everything_is_private(store: EngineStore, tmp_path: Path) -> None:
    store.put(KEY, PLAN, FACTS)
    with store.locked(KEY):
        pass
    for folder in (store.folder, tmp_path / "seal"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for path in folder.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@posix
def test_an_open_folder_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    folder.chmod(0o777)
    private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@posix
def test_a_folder_of_someone_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(EngineError, match="another user"):
        private_folder(tmp_path)


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="VIDSR_ENGINES"):
        private_folder(tmp_path / "file" / "engines")


@posix
def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "x.engine.part").symlink_to(victim)
    write_private(tmp_path / "x.engine", b"plan")
    assert victim.read_text() == "untouched"
    assert (tmp_path / "x.engine").read_bytes() == b"plan"


def test_the_users_own_folder_is_taken_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDSR_ENGINES", str(tmp_path / "mine"))
    assert EngineStore.default().folder == tmp_path / "mine"
    monkeypatch.delenv("VIDSR_ENGINES")
    checkout = Path(engines.__file__).parents[2]
    monkeypatch.setenv("VIDSR_CACHE", str(tmp_path / "cache"))
    own = (
        checkout / "engines"
        if (checkout / "pyproject.toml").is_file()
        else tmp_path / "cache" / "engines"
    )
    assert EngineStore.default().folder == own


# -- Staleness -----------------------------------------------------------------------------------------

HERE = Machine({"tensorrt": "11.4.0.106"}, gpu=KEY.gpu, capability="9.0")
RTX_KEY = replace(KEY, tensorrt="tensorrt_rtx 1.7.1.116", gpu="8.6+8.9")


@pytest.mark.parametrize(
    ("machine", "key", "reason"),
    [
        (HERE, KEY, None),
        (replace(HERE, installed={}), KEY, "tensorrt is not installed"),
        (replace(HERE, installed={"tensorrt": "11.5.0.1"}), KEY, "installed is 11.5.0.1"),
        (replace(HERE, gpu="NVIDIA H100"), KEY, "this is NVIDIA H100"),
        (Machine({"tensorrt_rtx": "1.7.1.116"}), RTX_KEY, None),
        (Machine({"tensorrt_rtx": "1.7.1.116"}, "RTX 4090", "8.9"), RTX_KEY, None),
        (Machine({"tensorrt_rtx": "1.7.1.116"}, "RTX 5090", "12.0"), RTX_KEY, "built for 8.6+8.9"),
    ],
)
def test_what_is_stale_here(machine: Machine, key: EngineKey, reason: str | None) -> None:
    refusal = machine.refusal(key)
    assert refusal is None if reason is None else reason in str(refusal)


@pytest.mark.parametrize(
    ("machine", "answer"),
    [
        (Machine({"tensorrt_rtx": "1"}), "tensorrt_rtx"),
        (Machine({"tensorrt_rtx": "1", "tensorrt": "11"}), "tensorrt_rtx"),
        (Machine({"tensorrt_rtx": "1", "tensorrt": "11"}, "RTX 4090", "8.9"), "tensorrt_rtx"),
        (Machine({"tensorrt_rtx": "1", "tensorrt": "11"}, "H200", "9.0"), "tensorrt"),
        (Machine({"tensorrt": "11"}, "RTX 4090", "8.9"), "tensorrt"),
        (Machine({"tensorrt_rtx": "1"}, "H200", "9.0"), r"vidsr-cli\[tensorrt\]"),
        (Machine({}, "RTX 4090", "8.9"), r"vidsr-cli\[rtx\]"),
        (Machine({"tensorrt": "11"}), "without one"),
        (Machine({}), r"vidsr-cli\[rtx\]"),
    ],
)
def test_which_flavour_runs_where(machine: Machine, answer: str) -> None:
    if answer.startswith("tensorrt"):
        assert machine.flavour() == answer
    else:
        with pytest.raises(EngineError, match=answer):
            machine.flavour()


def test_pruning_takes_the_stale_the_damaged_and_the_unfinished(store: EngineStore) -> None:
    store.put(KEY, PLAN, FACTS)
    stale = store.put(replace(KEY, gpu="NVIDIA H100"), PLAN, FACTS)
    damaged = store.put(replace(KEY, scale=2), PLAN, FACTS)
    damaged.path.write_bytes(b"")
    (store.folder / "orphan.engine").write_bytes(PLAN)
    (store.folder / f"{KEY.text}.engine.part").write_bytes(PLAN)
    deleted = dict(store.prune(HERE))
    assert set(deleted) == {
        stale.path.name,
        damaged.path.name,
        "orphan.engine",
        f"{KEY.text}.engine.part",
    }
    assert "built for NVIDIA H100" in deleted[stale.path.name]
    assert [entry.key for entry in store.entries()] == [KEY]
    assert [name for name, _ in store.prune(HERE, everything=True)] == [f"{KEY.text}.engine"]
    assert store.entries() == []


def test_an_absent_store_is_empty(store: EngineStore) -> None:
    assert store.entries() == store.verify() == store.prune(HERE) == []
    assert not store.folder.exists()


# -- Timing caches -------------------------------------------------------------------------------------


def test_a_timing_cache_comes_back_or_is_empty(tmp_path: Path) -> None:
    cache = TimingCache(tmp_path / "engines", "tensorrt 11.4", "H200")
    assert cache.load() == b""
    cache.save(b"measured")
    assert cache.load() == b"measured"
    assert TimingCache(tmp_path / "engines", "tensorrt 11.5", "H200").load() == b""
    (path,) = (tmp_path / "engines").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    assert cache.load() == b""
    path.write_bytes(b"")
    assert cache.load() == b""
