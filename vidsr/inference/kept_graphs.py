"""Compiled graphs of OpenVINO's, kept in the user's cache: half of the compilation is not repeated.

OpenVINO writes and checks the files itself: one that is damaged or of another version is not used.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from vidsr.inference.engine_files import user_cache

MOST = 32
"""Files kept of a network, 0.6 MB each with `srgan-lite`: one for each frame size and kind of sample."""


def folder_of(network: str) -> Path | None:
    """Where the graphs of a network are kept; `network` is all that decides what it computes.

    Of more than MOST the oldest are removed. None where nothing can be written there.
    """
    folder = user_cache() / "openvino" / hashlib.sha256(network.encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = sorted(folder.glob("*.blob"), key=lambda file: file.stat().st_mtime)
        for file in files[:-MOST]:
            file.unlink(missing_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
