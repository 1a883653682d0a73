"""Temporary folders of processes that were killed are taken away, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import started
from tests.warm import Command
from vidsr.video.scratch import OWNER_NAME, OWNER_WORDS, Scratch, sweep_scratch

ROOT = Path(__file__).parents[2]

MAKE_ONE_AND_WAIT = """
import os, sys, time
from pathlib import Path
from vidsr.video.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
(scratch.path / "deep").mkdir()
(scratch.path / "deep" / "segment.nut").write_bytes(b"pixels")
print(os.getpid(), scratch.path, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL on this system")
def test_what_a_killed_process_leaves_is_gone_with_the_next_folder(
    python: Command, tmp_path: Path
) -> None:
    command = [*python, "-c", MAKE_ONE_AND_WAIT, tmp_path]
    with started(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        number, name = process.stdout.readline().split()
        try:
            sweep_scratch(tmp_path)
            assert (Path(name) / "deep" / "segment.nut").exists(), "its process lives"
        finally:
            os.kill(int(number), signal.SIGKILL)
    assert Path(name).exists()
    with Scratch(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_this_process_s_own_until_it_is_removed(tmp_path: Path) -> None:
    with Scratch(tmp_path) as one, Scratch(tmp_path) as other:
        (one / "a").write_text("a")
        assert one != other
        sweep_scratch(tmp_path)
        assert (one / "a").exists()
    scratch = Scratch(tmp_path)
    scratch.remove()
    scratch.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_proven_to_be_dead_and_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "vidsr-of-the-user").mkdir()
    (tmp_path / "vidsr-file").write_text("mine")
    for name, words in (("vidsr-being-made", b""), ("vidsr-other", b"of another program")):
        (tmp_path / name).mkdir()
        (tmp_path / name / OWNER_NAME).write_bytes(words)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / OWNER_NAME).write_bytes(OWNER_WORDS + b"1")
    if sys.platform != "win32":
        (tmp_path / "vidsr-link").symlink_to("elsewhere")
    before = sorted(tmp_path.rglob("*"))
    sweep_scratch(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_where_no_folder_can_be_made_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Scratch(tmp_path / "nowhere")
