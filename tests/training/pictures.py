"""Videos and stills that look like something, for the tests of sampling and training."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray

from vidsr.training.report import to_png

Frames = Sequence[NDArray[np.uint8]]


def textured(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Random discs of random colours: edges of all directions, as photographs have."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    picture = np.full((height, width, 3), 128, np.uint8)
    for _ in range(60):
        radius = random.uniform(2, height / 4)
        inside = (y - random.uniform(0, height)) ** 2 + (x - random.uniform(0, width)) ** 2 < radius**2
        picture[inside] = random.integers(0, 256, 3)
    return picture


def panned(frames: int, height: int, width: int, seed: int) -> Frames:
    """A textured scene that moves by one pixel a frame."""
    scene = textured(height, width + frames, seed)
    return [np.ascontiguousarray(scene[:, t : t + width]) for t in range(frames)]


def write_video(path: Path, frames: Frames) -> Path:
    """Encode frames as H.264 of high quality, 25 a second; the same frames give the same file.

    Degradations are drawn by a file's content, and Matroska would put a random number into it.
    """
    height, width = frames[0].shape[:2]
    with av.open(path, "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", Fraction(25), {"crf": "10", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return path


def write_still(path: Path, picture: NDArray[np.uint8]) -> Path:
    path.write_bytes(to_png(torch.from_numpy(picture)))
    return path
