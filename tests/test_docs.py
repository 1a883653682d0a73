"""Documentation that fails the build: every command of the README is run, every option in it exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.synthetic import make_video
from vidsr.video.reader import VideoReader
from vidsr.video.sequences import numbered
from vidsr.video.stills import read_still, write_still

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split(" #")[0].removeprefix("$ ").strip()
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ vidsr")
]
SHORTER = {"train": ["--hours", "0.0003", "--validation-crops", "2", "--threads", "1"]}
"""Options behind a command's own that only make it end sooner."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the README's commands speak of, small."""
    make_video(tmp_path / "film.mkv", frames=2, size=(540, 960), audio=1, subtitles=["eng"])
    make_video(tmp_path / "episode.mkv", frames=3, audio=1)
    for name in ("original.mp4", "enlarged.mp4"):
        make_video(tmp_path / name, frames=4, size=(64, 64))
    (tmp_path / "my_series").mkdir()
    for number in range(2):
        make_video(tmp_path / "my_series" / f"{number}.mp4", frames=30, size=(128, 128))
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


def test_every_command_of_the_readme_runs(folder: Path) -> None:
    shared = ROOT.parent / "shared"
    run = []
    for command in COMMANDS:
        words = shlex.split(command)
        if "../shared/clips" in words:
            if not shared.is_dir():
                continue
            words[words.index("../shared/clips")] = "my_series"
            words += ["--output", "small-run"]
        done = subprocess.run(
            [sys.executable, "-m", *words, *SHORTER.get(words[1], [])],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        run.append(words[1])
    assert {"info", "upscale", "models", "train", "evaluate"} <= set(run)


def test_every_option_named_in_the_readme_exists() -> None:
    from typer.main import get_command

    from vidsr.cli import app

    known = {
        option
        for command in get_command(app).commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    foreign = {"--check", "--nproc-per-node", "--help"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - foreign
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
        ["bash", "-c", finder.group(1)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert "pytest" in found
    assert found in README
    assert "\n" not in found
