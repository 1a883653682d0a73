"""Which of the libraries that vidsr works with are installed, by their metadata: none is loaded."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "PyAV": ("av",),
    "OpenVINO": ("openvino",),
    "ONNX Runtime": ("onnxruntime",),
    "TensorRT-RTX": ("tensorrt-rtx-cu13", "tensorrt-rtx"),
    "TensorRT": ("tensorrt-cu13", "tensorrt"),
}
"""Names that people know, and those of the packages that bring it."""


def installed(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def found_versions() -> dict[str, str]:
    """Python and every library of PACKAGES that is here, with its version."""
    found = {"Python": platform.python_version()}
    for name, packages in PACKAGES.items():
        versions = filter(None, map(installed, packages))
        if here := next(versions, None):
            found[name] = here
    return found
