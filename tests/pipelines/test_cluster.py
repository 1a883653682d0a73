"""A real Ray cluster of several nodes on loopback: the frames of one process, whatever dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.inference.nearest import open_failing, open_nearest, open_paced
from tests.pipelines.test_upscale import digest
from tests.synthetic import make_video
from tests.waiting import started, until
from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.crews import CrewConfig
from vidsr.errors import BackendUnavailable, OutputError, UsageError, VidsrError
from vidsr.inference.tally import Tally
from vidsr.pipelines.far_worker import Finished
from vidsr.pipelines.upscale import upscale_video
from vidsr.progress import Advanced, Event, Notice, silent
from vidsr.video.job import job_folder
from vidsr.video.writer import SegmentRecord

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")

ROOT = Path(__file__).parents[2]
BUNNY = ROOT / "tests" / "data" / "bunny_320x180_h264_aac.mp4"
STORE_BYTES = 80 * 1024 * 1024  # an object store of 75 MiB is the least that Ray takes

pytestmark = [
    pytest.mark.distributed,
    # Ray leaves sockets and processes of its own to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without work and two nodes with one core each; started once, which takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # the workers import the backends of these tests
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        yield cluster
        cluster.shutdown()


def config(source: Path, target: Path, cluster: Any = None, **values: Any) -> UpscaleConfig:
    crew = CrewConfig() if cluster is None else CrewConfig(cluster=cluster.address)
    values.setdefault("segment_frames", 8)
    encode = EncodeConfig(preset="ultrafast", threads=1)
    return UpscaleConfig(source, target, scale=2, encode=encode, crew=crew, **values)


def alone(source: Path, folder: Path) -> str:
    """The frames of one process."""
    target = folder / f"alone{source.suffix}"
    upscale_video(config(source, target), opener=open_nearest)
    return digest(target)


def test_two_nodes_give_the_frames_of_one_process(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a real clip; and with almost no room for pieces, so that each waits for the one before."""
    from vidsr.pipelines import cluster as module

    cut_behind: list[int] = []

    def cut(*arguments: Any) -> Any:
        cut_behind.append(len(list(job_folder(target).glob("0*.json"))))
        return cut_excerpt(*arguments)

    target = tmp_path / "together.mp4"
    cut_excerpt = module.cut_excerpt
    monkeypatch.setattr(module, "cut_excerpt", cut)
    monkeypatch.setattr(module, "UNDERWAY_BYTES", 1)
    events: list[Event] = []
    report = upscale_video(config(BUNNY, target, cluster), events.append, opener=open_nearest)
    assert digest(target) == alone(BUNNY, tmp_path)
    assert report.frames == report.work.frames == 132
    assert all(seconds > 0 for seconds in report.stage_seconds.values())
    assert cut_behind == list(range(17)), "never two pieces at once"
    last = [event for event in events if isinstance(event, Advanced) and event.task == "upscale"][-1]
    assert (last.done, last.values) == (132, {"workers": 2, "segments": 17})
    assert not ray.is_initialized()


def test_a_node_that_dies_in_mid_job(
    cluster: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else the other node may begin what is late a second time, before the death is noticed.
    monkeypatch.setattr("vidsr.pipelines.dispatch.SLOW", 1e9)
    times = [2 * i + (i % 3 == 0) for i in range(96)]
    source = make_video(tmp_path / "in.mkv", frames=96, pts=times, bframes=3, gop=10, audio=1)
    target = tmp_path / "out.mkv"
    doomed = next(iter(cluster.worker_nodes))
    events: list[Event] = []

    def kill_after_the_first_segment(event: Event) -> None:
        events.append(event)
        if isinstance(event, Advanced) and event.task == "upscale" and doomed in cluster.worker_nodes:
            cluster.remove_node(doomed, allow_graceful=False)

    upscale_video(config(source, target, cluster), kill_after_the_first_segment, opener=open_paced)
    cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    assert digest(target) == alone(source, tmp_path)
    lost = [event.text for event in events if isinstance(event, Notice) and "is lost" in event.text]
    assert len(lost) == 1
    assert "aylet" not in "".join(capfd.readouterr()), "Ray's own words are not the user's"


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL on this system")
def test_a_driver_that_is_killed_and_started_again(cluster: Any, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=96, bframes=2, gop=10)
    target = tmp_path / "out.mp4"
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.pipelines import test_cluster as t\n"
        "class At: address = sys.argv[3]\n"
        "t.upscale_video(t.config(Path(sys.argv[1]), Path(sys.argv[2]), At),"
        " opener=t.open_paced)"
    )
    with started([sys.executable, "-c", code, source, target, cluster.address], cwd=ROOT) as driver:
        records = job_folder(target)
        until(lambda: len(list(records.glob("0*.json"))) >= 2, "two segments are on record", driver)
        driver.kill()
    assert not target.exists()
    again = config(source, target, cluster)
    report = upscale_video(again, opener=open_paced)
    assert report.resumed_frames >= 16
    assert digest(target) == alone(source, tmp_path)


def test_a_segment_that_fails_everywhere_stops_the_job_with_its_reason(
    cluster: Any, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=4)
    with pytest.raises(VidsrError, match="segment 0 failed 3 times, last with: too bright"):
        upscale_video(config(source, tmp_path / "out.mp4", cluster), opener=open_failing)
    assert not ray.is_initialized()


def test_segments_come_back_over_a_shared_disk(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidsr.pipelines.dispatch.SLOW", 1e9)  # nothing is done twice
    source = make_video(tmp_path / "in.mp4", frames=32, bframes=2, gop=10)
    shared = tmp_path / "shared"
    shared.mkdir()
    came_as: list[object] = []
    fetch = Finished.fetch

    def spy(finished: Finished) -> bytes:
        came_as.append(finished.data)
        return fetch(finished)

    monkeypatch.setattr(Finished, "fetch", spy)
    asked = config(source, tmp_path / "out.mp4", cluster)
    crew = CrewConfig(cluster=cluster.address, shared=shared)
    upscale_video(replace(asked, crew=crew), opener=open_nearest)
    assert digest(tmp_path / "out.mp4") == alone(source, tmp_path)
    assert len(came_as) == 4
    assert all(isinstance(one, Path) and one.is_relative_to(shared) for one in came_as)
    assert not list(shared.iterdir()), "nothing stays there"


def test_a_shared_disk_that_is_not_there(cluster: Any, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    crew = CrewConfig(cluster=cluster.address, shared=tmp_path / "nowhere")
    with pytest.raises(
        OutputError, match=r"--shared .*nowhere: No such file or directory; make it first"
    ):
        upscale_video(replace(config(source, tmp_path / "out.mp4"), crew=crew), opener=open_nearest)
    record = SegmentRecord(1, (0,), (0,), Fraction(1, 25), 0, 0, "", "", "libx264")
    gone = Finished(tmp_path / "gone", record, 1, (), Tally())
    with pytest.raises(OutputError, match="all machines see"):
        gone.fetch()


def test_no_cluster_is_said(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    crew = CrewConfig(cluster="127.0.0.1:1")
    with pytest.raises(BackendUnavailable, match=r"--cluster 127.0.0.1:1: cannot be reached .*refused"):
        upscale_video(UpscaleConfig(source, tmp_path / "out.mp4", crew=crew), opener=open_nearest)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"cluster": "auto", "devices": ("0",)}, "exclude each other"),
        ({"cluster": "somewhere"}, "takes auto, local, or an address"),
        ({"cluster": "auto", "workers": 0}, "--workers must be at least 1"),
        ({"workers": 2}, "go with --cluster"),
        ({"shared": Path()}, "--shared goes with --cluster"),
    ],
)
def test_impossible_crews(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        CrewConfig(**values)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("in.mp4", "%03d.png", "pictures are made by one process"),
        ("%03d.png", "out.mp4", "pictures not"),
        ("-", "out.mp4", "a pipe has one process"),
        ("in.mp4", "-", "a pipe has one process"),
    ],
)
def test_what_a_cluster_does_not_do(tmp_path: Path, source: str, target: str, said: str) -> None:
    paths = [Path(name) if name == "-" else tmp_path / name for name in (source, target)]
    with pytest.raises(UsageError, match=said):
        upscale_video(UpscaleConfig(*paths, crew=CrewConfig(cluster="local")), silent)


def test_a_preview_of_other_machines_is_refused(tmp_path: Path) -> None:
    crew = CrewConfig(cluster="local")
    with pytest.raises(UsageError, match="--preview shows what this machine computes"):
        upscale_video(UpscaleConfig(BUNNY, tmp_path / "out.mp4", crew=crew, preview=True), silent)
