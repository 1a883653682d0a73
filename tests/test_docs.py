"""Documentation that fails the build: every command of README and docs/ is run, every option exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.synthetic import make_video
from tests.warm import Command
from vidsr.video.reader import VideoReader
from vidsr.video.sequences import numbered
from vidsr.video.stills import read_still, write_still

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
SHORTER = {
    "vidsr train": " --hours 0.0003 --validation-crops 2 --threads 1",
    "vidsr plan": " --seconds 0.3",
}
"""Options behind a command's own that only make it end sooner."""


def commands(document: str) -> list[str]:
    """The lines of its console blocks that run `vidsr`, first or in a pipe, without their comments."""
    return [
        line.split(" #")[0].removeprefix("$ ").strip()
        for block in re.findall(r"```console\n(.*?)```", DOCUMENTS[document], re.DOTALL)
        for line in block.splitlines()
        if line.startswith("$ vidsr") or (line.startswith("$ ") and "| vidsr" in line)
    ]


def programs(command: str) -> set[str]:
    """The programs of a pipeline: the first word of each of its parts."""
    return {shlex.split(part)[0] for part in command.split("|")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the README's commands speak of, small."""
    make_video(tmp_path / "film.mkv", frames=2, size=(540, 64), audio=1, subtitles=["eng"])
    make_video(tmp_path / "episode.mkv", frames=3, audio=1)
    for name in ("original.mp4", "enlarged.mp4"):
        make_video(tmp_path / name, frames=4, size=(64, 64))
    (tmp_path / "my_series").mkdir()
    for number in range(2):
        make_video(tmp_path / "my_series" / f"{number}.mp4", frames=30, size=(128, 128))
    (tmp_path / "tapes").mkdir()
    make_video(tmp_path / "tapes" / "1998.mp4", frames=2, size=(64, 64))
    (tmp_path / "frames").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "Set5").mkdir()
    with VideoReader(tmp_path / "original.mp4") as reader:
        for number, frame in enumerate(reader.batches(1), start=1):
            write_still(numbered(tmp_path / "frames" / "%05d.png", number), frame)
    picture = read_still(tmp_path / "frames" / "00001.png")
    write_still(tmp_path / "photo.jpg", picture)
    write_still(tmp_path / "Set5" / "one.png", picture)
    return tmp_path


@pytest.fixture(scope="module")
def path(vidsr_command: Command, tmp_path_factory: pytest.TempPathFactory) -> str:
    """PATH with a `vidsr` in front: that of this checkout."""
    shim = tmp_path_factory.mktemp("bin") / "vidsr"
    shim.write_text(f'#!/bin/sh\nexec {shlex.join(vidsr_command)} "$@"\n')
    shim.chmod(0o755)
    return f"{shim.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results(tmp_path_factory.mktemp("results"))


class Results:
    """What commands have made: one that several documents have, on the same files, runs once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, Path] = {}

    def bring(self, command: str, folder: Path) -> bool:
        """Put what the command makes into the folder, if it was run before; whether it was."""
        kept = self._kept.get(command)
        if kept is not None:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
        return kept is not None

    def keep(self, command: str, made: Iterable[Path]) -> None:
        """Remember files and folders that a command has made."""
        self._kept[command] = kept = self._folder / str(len(self._kept))
        kept.mkdir()
        for one in made:
            copy = shutil.copytree if one.is_dir() else shutil.copy2
            copy(one, kept / one.name)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_the_document_runs(
    document: str, folder: Path, path: str, results: Results
) -> None:
    """A pipeline with a program that is not on this machine (mpv, ffmpeg) is left out, and only that."""
    run = []
    for command in commands(document):
        if not all(shutil.which(program, path=path) for program in programs(command)):
            continue
        if "../shared/clips" in command:
            if not (ROOT.parent / "shared").is_dir():
                continue
            command = command.replace("../shared/clips", "my_series") + " --output small-run"
        name = " ".join(command.split()[:2])
        run.append(name)
        if results.bring(command, folder):
            continue
        before = set(folder.iterdir())
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command + SHORTER.get(name, "")],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": path},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        results.keep(command, set(folder.iterdir()) - before)
    if document == "README.md":
        assert {"vidsr info", "vidsr upscale", "vidsr models", "vidsr train", "vidsr evaluate"} <= set(
            run
        )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_named_in_the_document_exists(document: str) -> None:
    from typer.main import get_command

    from vidsr.cli import app

    command = get_command(app)
    known = {
        option
        for one in (command, *command.commands.values())  # type: ignore[attr-defined]
        for parameter in one.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    foreign = {"--check", "--nproc-per-node", "--help", "--head", "--address", "--generate", "--dist"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", DOCUMENTS[document])) - foreign
    assert named <= known, named - known


def test_every_option_is_in_the_changelog_or_the_readme_s_help() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    from typer.main import get_command

    from vidsr.cli import app

    upscale = get_command(app).commands["upscale"]  # type: ignore[attr-defined]
    for parameter in upscale.params:
        if parameter.opts[0].startswith("--"):
            shown = {*parameter.opts, *parameter.secondary_opts}
            assert any(option in changelog for option in shown), parameter.opts


def test_ci_finds_the_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    finder = re.search(r"command=\$\((.*)\)\n", script)
    assert finder is not None
    found = subprocess.run(
        ["bash", "-c", finder.group(1)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout.strip()
    assert "pytest" in found
    assert found in README
    assert "\n" not in found
