from __future__ import annotations

import platform
import subprocess
import sys

import torch

from vidsr.versions import found_versions, installed


def test_versions_are_those_of_the_libraries() -> None:
    found = found_versions()
    assert found["Python"] == platform.python_version()
    assert found["torch"] == torch.__version__
    assert "PyAV" in found
    assert installed("no-such-package") is None


def test_the_version_is_said_without_loading_torch() -> None:
    code = (
        "import sys; from vidsr.cli import app\n"
        "try: app(['--version'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'openvino', 'tensorrt'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.startswith("vidsr 0.")
    for name in ("Python ", "torch ", "PyAV ", "FFmpeg "):
        assert name in done.stdout
