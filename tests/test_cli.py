"""The command as a user types it: exit codes, one line for each error, nothing on the wrong stream."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.blends import save_sets
from tests.synthetic import decoded_numbers, make_video
from tests.waiting import started, until
from tests.warm import VIDSR, Vidsr


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from vidsr.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'av', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


def commands() -> list[str]:
    from vidsr.cli import app

    return [str(command.name or command.callback.__name__) for command in app.registered_commands]  # type: ignore[union-attr]


@pytest.mark.parametrize("command", commands())
def test_every_option_has_help(command: str) -> None:
    from typer.main import get_command

    from vidsr.cli import app

    for parameter in get_command(app).commands[command].params:  # type: ignore[attr-defined]
        assert getattr(parameter, "help", None), f"vidsr {command} {parameter.name}"


def test_upscale_prints_a_summary_and_leaves_only_the_output(vidsr: Vidsr, tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", frames=6, audio=1)
    done = vidsr("upscale", "in.mp4", "out.mp4", "--scale", 2, "--preset", "ultrafast")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("out.mp4: 128x96, 6 frames in ")
    assert decoded_numbers(tmp_path / "out.mp4") == list(range(6))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_json_is_one_line_and_nothing_else(vidsr: Vidsr, tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", frames=6)
    arguments = ("in.mp4", "out.mp4", "--json", "--preset", "ultrafast", "--report", "out.json")
    done = vidsr("upscale", *arguments)
    report = json.loads(done.stdout)
    assert json.loads((tmp_path / "out.json").read_text()) == report
    assert (report["frames"], report["output_size"]) == (6, [256, 192])
    assert report["backend"] in ("tensorrt", "cuda", "openvino", "cpu")
    assert done.stderr == ""
    listing = vidsr("models", "--json")
    assert {entry["name"] for entry in json.loads(listing.stdout)} >= {"srgan-lite"}


def test_the_usual_detail_is_in_the_help(vidsr: Vidsr) -> None:
    from vidsr.models.weights import USUAL_DETAIL

    assert f"{USUAL_DETAIL:g} where it has both" in " ".join(vidsr("upscale", "--help").stdout.split())


def test_models_lists_the_sets_of_each(vidsr: Vidsr) -> None:
    listed = [line.split() for line in vidsr("models").stdout.splitlines()]
    for entry in json.loads(vidsr("models", "--json").stdout):
        (row,) = [row for row in listed if row[:2] == [entry["name"], f"x{entry['scale']}"]]
        assert " ".join(row[2:]).startswith(", ".join(entry["sets"]))
        assert list(entry["sets"]) in (["pixel"], ["adversarial"], ["pixel", "adversarial"])


def test_a_blend_runs_as_its_detail_says(vidsr: Vidsr, tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", frames=3)
    save_sets(tmp_path / "run")
    arguments = ("in.mp4", "out.mp4", "--model", "run", "--scale", 2, "--preset", "ultrafast")
    done = vidsr("upscale", *arguments)
    assert done.returncode == 0, done.stderr
    assert " run x2, detail 0.75 on " in done.stdout
    report = json.loads(vidsr("upscale", *arguments, "--overwrite", "--detail", 0.5, "--json").stdout)
    assert (report["model"], report["weights"]["detail"]) == ("run", 0.5)
    (tmp_path / "run" / "adversarial.safetensors").unlink()
    done = vidsr("upscale", *arguments, "--overwrite", "--detail", 0.5)
    assert done.returncode == 2
    assert done.stderr == (
        "vidsr: --detail 0.5 needs the adversarial set of weights, and run x2 has none: "
        "--detail 0 does without\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("upscale", "missing.mp4", "out.mp4"), 1, "missing.mp4: "),
        (("upscale", ".", "out.mp4"), 2, "looks like a file"),
        (("upscale", "in.mp4", "in.mp4"), 2, "input itself"),
        (("upscale", "in.mp4", "out.mp4", "--scale", "0"), 2, "--scale must be from 1 to 4, not 0"),
        (("upscale", "in.mp4", "out.mp4", "--scale", "4", "--height", "99"), 2, "exclude each other"),
        (("upscale", "in.mp4", "out.mp4", "--fps", "fast"), 2, "--fps takes a number"),
        (
            ("upscale", "in.mp4", "out.mp4", "--backend", "gpu"),
            2,
            "--backend must be one of auto, tensorrt, cuda, openvino, cpu",
        ),
        (("upscale", "in.mp4", "out.mp4", "--encoder-options", "crf"), 2, "key=value"),
        (("upscale", "in.mp4", "out.mp4", "--model", "nonesuch"), 2, "no model is named 'nonesuch'"),
        (("upscale", "in.mp4", "out.doc"), 2, "doc"),
        (("upscale", "in.mp4", "out.mp4", "--codec", "h265x"), 2, "h265x"),
        (("upscale", "in.mp4", "none/out.mp4"), 1, "no such directory"),
        (("upscale", "in.mp4"), 2, "OUTPUT"),
        (("upscale", "in.mp4", "out.mp4", "--sacle", "2"), 2, "--sacle"),
        (("models", "nonesuch"), 2, "no model is named"),
        (("info", "missing.mp4"), 1, "missing.mp4"),
        (("plan", "missing.mp4"), 1, "missing.mp4"),
        (("plan", "in.mp4", "out.png"), 2, "plan is about videos"),
        (("plan", "in.mp4", "-"), 2, "a pipe cannot be looked at beforehand"),
        (("plan", "in.mp4", "--seconds", "0"), 2, "--seconds must be above 0"),
        (("upscale", "in.mp4", "out.mp4", "--fast", "--model", "srgan"), 2, "leave out one of --fast"),
    ],
)
def test_errors_are_one_line_with_the_right_code(
    vidsr: Vidsr, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    make_video(tmp_path / "in.mp4", frames=2)
    done = vidsr(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    if done.stderr.startswith("vidsr:"):  # what the option parser refuses has its own shape
        assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


def test_debug_shows_the_trace(vidsr: Vidsr) -> None:
    done = vidsr("upscale", "missing.mp4", "out.mp4", VIDSR_DEBUG="1")
    assert "Traceback" in done.stderr
    assert done.returncode == 1


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("long") / "in.mp4", frames=2000, size=(96, 128))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_and_says_how_to_go_on(long_video: Path, tmp_path: Path, number: int) -> None:
    command = [*VIDSR, "upscale", long_video, "out.mp4"]
    with started(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: list(tmp_path.glob("out.mp4.vidsr/*.part")), "a segment is begun", process)
        process.send_signal(number)
        # A stop that waited for the segment under way would take minutes.
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out.mp4").exists()


def test_info_says_what_would_happen(vidsr: Vidsr, tmp_path: Path) -> None:
    make_video(tmp_path / "in.mkv", audio=["deu"], attachments=[("a.ttf", "font/ttf", b"x" * 50)])
    done = vidsr("info", "in.mkv", "out.mp4")
    assert done.returncode == 0, done.stderr
    for words in ("64x48", "256x192", "copied", "attachment", "--drop-incompatible"):
        assert words in done.stdout
    plain = json.loads(vidsr("info", "in.mkv", "out.mkv", "--json").stdout)
    assert [row[1] for row in plain["streams"]] == ["video", "audio", "attachment"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv"]


def test_version(vidsr: Vidsr) -> None:
    assert vidsr("--version").stdout.startswith("vidsr 0.")
