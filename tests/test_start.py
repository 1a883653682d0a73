"""What a command may load: one that computes nothing none of what computes, OpenVINO's no PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.synthetic import make_video
from vidsr.config import UpscaleConfig
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.inference.card_driver import has_driver
from vidsr.inference.speed import learn_speed
from vidsr.models.weights import find_weights
from vidsr.video.stills import write_still

BUNNY = Path(__file__).parent / "data" / "bunny_320x180_h264_aac.mp4"

HEAVY = ("torch", "openvino", "onnxruntime", "tensorrt", "triton", "ray")

RUN = (
    "import os, sys\n"
    "leave, os._exit = os._exit, sys.exit  # what leaves at once would not be seen\n"
    "from vidsr.cli import main\n"
    "try: main()\n"
    "finally:\n"
    "    os._exit = leave\n"
    f"    print('loaded', *sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
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


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """The first frames of the real clip, with their sound."""
    path = tmp_path / "clip.mp4"
    with av.open(str(BUNNY)) as source, av.open(str(path), "w") as target:
        routes = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size and (packet.dts or 0) * packet.time_base < Fraction(1, 5):
                packet.stream = routes[packet.stream.index]
                target.mux(packet)
    return path


def sizes_of(path: Path) -> list[tuple[int, int]]:
    """Width and height of every frame."""
    with av.open(str(path)) as container:
        return [(frame.width, frame.height) for frame in container.decode(video=0)]


automatic = pytest.param((), marks=pytest.mark.skipif(has_driver(), reason="there is a card"))


@pytest.mark.parametrize("options", [automatic, ("--backend", "openvino")])
def test_upscale_through_openvino_does_without_pytorch(options: tuple[str, ...], clip: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    out = clip.with_name("out.mp4")
    assert loaded_by("upscale", clip, out, "--model", "srgan-lite", *options) == ["openvino"]
    before, after = (sizes_of(path) for path in (clip, out))
    assert set(before) == {(320, 180)} and after == [(1280, 720)] * len(before)


def test_a_picture_through_openvino_does_without_pytorch(picture: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    out = picture.with_name("out.png")
    arguments = (picture, out, "--model", "srgan-lite", "--backend", "openvino")
    assert loaded_by("upscale", *arguments) == ["openvino"]


def test_info_measures_this_machine_without_pytorch(clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    cache = str(tmp_path / "cache")
    arguments = ("info", clip, "--backend", "openvino")
    assert loaded_by(*arguments, VIDSR_CACHE=cache) == ["openvino"]
    assert loaded_by(*arguments, VIDSR_CACHE=cache) == []


def test_plan_tries_openvino_without_pytorch(clip: Path, tmp_path: Path) -> None:
    """Neither in its own process nor in those of its trials."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch.py").write_text("raise ImportError('PyTorch is not wanted here')")
    arguments = ("plan", clip, "--model", "srgan-lite", "--backend", "openvino", "--seconds", "0.1")
    assert loaded_by(*arguments, PYTHONPATH=str(tmp_path / "broken")) == []


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    planes = tuple(np.zeros((1, 8, 8), np.uint8) for _ in range(3))
    color = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1))
    write_still(tmp_path / "x.png", FrameBatch(planes, color, (0,), Fraction(1)))
    return tmp_path / "x.png"


def test_a_picture_is_looked_at_without_what_computes(picture: Path) -> None:
    assert loaded_by("info", picture, "--model", "srgan-lite") == []


def test_the_probe_sees_what_a_network_in_pytorch_needs(picture: Path) -> None:
    arguments = (picture, picture.with_name("out.png"), "--model", "srgan-fast", "--backend", "cpu")
    assert "torch" in loaded_by("upscale", *arguments)
