"""vidsr: video super-resolution with SRGAN that keeps every frame at its own time."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidsr.config import EncodeConfig as EncodeConfig
    from vidsr.config import UpscaleConfig as UpscaleConfig
    from vidsr.errors import VidsrError as VidsrError
    from vidsr.pipelines.upscale import upscale_video as upscale_video

_HOMES = {
    "upscale_video": "vidsr.pipelines.upscale",
    "UpscaleConfig": "vidsr.config",
    "EncodeConfig": "vidsr.config",
    "VidsrError": "vidsr.errors",
}
"""Where each public name lives; modules load on first use, so importing vidsr costs nothing."""

__all__ = ["EncodeConfig", "UpscaleConfig", "VidsrError", "upscale_video"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("vidsr-cli")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'vidsr' has no attribute {name!r}")
