"""What a command that computes nothing may load: it answers before PyTorch would have been imported."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from tests.synthetic import make_video
from vidsr.config import UpscaleConfig
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.speed import learn_speed
from vidsr.models.weights import find_weights
from vidsr.video.stills import write_still

HEAVY = ("torch", "openvino", "onnxruntime", "tensorrt", "triton", "ray")

RUN = (
    "import os, sys\n"
    "os._exit = sys.exit  # what leaves at once would not be seen\n"
    "from vidsr.cli import app\n"
    "try: app(sys.argv[1:], prog_name='vidsr')\n"
    "except SystemExit as end: code = end.code\n"
    f"loaded = sorted(set({HEAVY!r}) & set(sys.modules))\n"
    "print('loaded', *loaded, file=sys.stderr)\n"
    "sys.exit(code)"
)


def loaded_by(*arguments: object, code: int = 0, **env: str) -> list[str]:
    """The heavy libraries that a command has in memory at its end, which must have this exit code."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("arguments", ["--help", "--version", "upscale --help", "models"])
def test_what_is_only_told_loads_nothing(arguments: str) -> None:
    assert loaded_by(*arguments.split()) == []


def test_completion_loads_nothing() -> None:
    words = {"COMP_WORDS": "vidsr upscale --backend ", "COMP_CWORD": "3"}
    assert loaded_by(_VIDSR_COMPLETE="complete_bash", **words) == []


def test_info_plans_without_what_computes(tmp_path: Path) -> None:
    """But for the first time: then it measures how fast this machine is."""
    config = UpscaleConfig(
        input=make_video(tmp_path / "in.mp4", frames=3, audio=1), output=Path("x.mp4")
    )
    for name in ("srgan-lite", "srgan-fast"):
        learn_speed(find_weights(name, 4), config, 1e6)
    assert loaded_by("info", config.input) == []


@pytest.mark.parametrize("wrong", ["missing.mp4", "text.mp4"])
def test_upscale_refuses_an_input_before_it_loads_what_computes(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    assert loaded_by("upscale", tmp_path / wrong, tmp_path / "out.mp4", code=1) == []


def test_upscale_refuses_what_the_output_cannot_be_before_it_loads_what_computes(tmp_path: Path) -> None:
    film = make_video(tmp_path / "in.mp4", frames=3)
    out = tmp_path / "out.mp4"
    assert loaded_by("upscale", film, out, "--model", "srgan-lite", "--codec", "vp8", code=1) == []


def test_the_probe_sees_what_a_picture_needs_to_be_read(tmp_path: Path) -> None:
    planes = tuple(torch.zeros(1, 8, 8, dtype=torch.uint8) for _ in range(3))
    color = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1))
    write_still(tmp_path / "x.png", FrameBatch(planes, color, (0,), Fraction(1)))
    assert loaded_by("info", tmp_path / "x.png", "--model", "srgan-lite") == ["torch"]
