"""SIGKILL at random moments: the same command goes on, and the end is the same to the last bit."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

import av
import pytest

from tests.inference.nearest import NearestBackend
from tests.synthetic import make_video
from tests.waiting import PATIENCE_S
from vidsr.arrays import Array
from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.errors import OutputError
from vidsr.pipelines.upscale import upscale_video
from vidsr.progress import silent

KILLS = 12
FRAMES = 72


class PacedBackend(NearestBackend):
    """As slow as a network, so that a run lasts long enough to be killed in its middle."""

    def __call__(self, lr: Array) -> Array:
        time.sleep(0.01 * lr.shape[0])
        return super().__call__(lr)


def run(source: str, target: str) -> None:
    config = UpscaleConfig(
        Path(source),
        Path(target),
        scale=2,
        segment_frames=6,
        encode=EncodeConfig(preset="ultrafast", threads=1),
    )
    upscale_video(config, silent, opener=lambda weights, config, progress: PacedBackend(weights.scale))


def digest(path: Path) -> str:
    total = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            total.update(f"{frame.pts} {frame.time_base}".encode() + frame.to_ndarray().tobytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    """Processes that start with everything imported: a kill then hits the work, not the start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vidsr.pipelines.upscale", "vidsr.models.paper_weights"])
    return context


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL on this system")
def test_killed_at_random_moments_the_result_is_the_same(
    tmp_path: Path, context: ForkServerContext
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=FRAMES, bframes=2, gop=20, audio=1)
    whole = tmp_path / "whole.mp4"
    lasts = 0.0
    for target in (tmp_path / "first.mp4", whole):  # the first starts the server, and imports
        began = time.monotonic()
        process = context.Process(target=run, args=(str(source), str(target)))
        process.start()
        process.join(PATIENCE_S)
        assert process.exitcode == 0
        lasts = time.monotonic() - began
    (tmp_path / "first.mp4").unlink()

    chance = random.Random(20261122)
    target = tmp_path / "out.mp4"
    killed, tries, progress_seen = 0, 0, set()
    while killed < KILLS:
        tries += 1
        assert tries < 5 * KILLS, f"{killed} killed, the others done in less than {lasts:.1f} s"
        process = context.Process(target=run, args=(str(source), str(target)))
        process.start()
        # Early enough to come before the end, late enough that now and then a segment is finished.
        process.join(timeout=chance.uniform(0.02, 0.6) * lasts)
        process.kill()  # nothing where it has ended, its exit code perhaps still on the way
        process.join(PATIENCE_S)
        if process.exitcode == 0:  # it got through: the rest is killed from the start again
            assert digest(target) == digest(whole)
            target.unlink()
            continue
        assert process.exitcode == -signal.SIGKILL
        killed += 1
        if target.exists():  # killed between the rename and the tidying up
            assert digest(target) == digest(whole)
            with pytest.raises(OutputError, match="exists"):
                run(str(source), str(target))
            assert not target.with_name("out.mp4.vidsr").exists()
            target.unlink()
        progress_seen.add(len(list(tmp_path.glob("out.mp4.vidsr/*.json"))))
    assert len(progress_seen) > 2  # or every kill came before any work
    run(str(source), str(target))
    assert digest(target) == digest(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]
