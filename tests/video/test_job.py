from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.video.segments import encoding_for, info_of, noise
from tests.waiting import started
from tests.warm import Command
from vidsr.errors import InputError, JobError, OutputError
from vidsr.frames import ColorSpec
from vidsr.video.job import Job, JobIdentity, draft_path, fingerprint, job_folder, remove_if_proven
from vidsr.video.writer import SegmentRecord, VideoWriter, record_path

ROOT = Path(__file__).parents[2]
IDENTITY = JobIdentity(
    input={"name": "in.mp4", "size": 100, "mtime_ns": 5, "sampled_sha256": "aa"},
    settings={"scale": 4, "fps": None, "tile": None},
    weights_sha256="bb",
    backend="cpu fp32",
    versions={"vidsr": "0.1.0", "torch": "2.13.0"},
    encoding={"encoder": "libx264", "options": {"crf": "18"}},
    segments=((0, 4000), (4000, None)),
)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


def write_segment(path: Path, seed: int = 0) -> SegmentRecord:
    encoding = encoding_for(info_of(ColorSpec()), "out.mkv", codec="ffv1")
    with VideoWriter(path, info_of(ColorSpec()), encoding) as writer:
        writer.write(noise(ColorSpec(), (0, 3000, 6000), seed=seed))
    record = SegmentRecord.load(record_path(path))
    assert record is not None
    return record


def test_a_job_is_taken_up_where_it_ended(output: Path) -> None:
    with Job.open(output, IDENTITY, chosen={"threads": 2, "batch": 8}) as job:
        assert not job.resumed
        assert job.finished(0) is None
        record = write_segment(job.segment_path(0))
        assert job.finished(0) == record
    with Job.open(output, IDENTITY, chosen={"threads": 64, "batch": 1}) as job:
        assert job.resumed
        assert job.chosen == {"threads": 2, "batch": 8}
        assert job.finished(0) == record
        assert job.finished(1) is None
        job.remove()
    assert list(output.parent.iterdir()) == []


def test_a_segment_made_by_another_process_is_adopted_and_a_left_one_thrown_away(output: Path) -> None:
    with Job.open(output, IDENTITY) as job:
        draft = draft_path(job.folder, 0, 77, ".nut")
        record = write_segment(draft)
        assert job.finished(0) is None, "a draft is not a segment"
        job.adopt(0, draft)
        assert job.finished(0) == record
        left = draft_path(job.folder, 1, 78, ".nut")
        write_segment(left)
    with Job.open(output, IDENTITY) as job:
        assert job.finished(0) == record
        assert not left.exists() and not record_path(left).exists()
        job.remove()
    assert list(output.parent.iterdir()) == []


def test_a_segment_that_came_as_bytes_is_kept(output: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.nut"
    record = write_segment(elsewhere)
    with Job.open(output, IDENTITY) as job:
        job.keep(1, elsewhere.read_bytes(), record)
    with Job.open(output, IDENTITY) as job:
        assert job.finished(1) == record
        job.keep(0, elsewhere.read_bytes()[:-1], record)
        assert job.finished(0) is None, "its digest says what it should be"


def test_the_folder_lies_beside_the_output(output: Path) -> None:
    with Job.open(output, IDENTITY, segment_suffix=".mov") as job:
        assert job.folder == job_folder(output) == output.with_name("out.mp4.vidsr")
        assert job.segment_path(12) == job.folder / "000012.mov"
        assert not output.exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"encoding": {"encoder": "libx264", "options": {"crf": "20"}}},
            "encoding.options.crf 18 -> 20",
        ),
        ({"settings": {"scale": 2, "fps": None, "tile": None}}, "settings.scale 4 -> 2"),
        ({"settings": {"scale": 4, "fps": "25", "tile": None}}, "settings.fps none -> 25"),
        ({"weights_sha256": "cc"}, "weights_sha256 bb -> cc"),
        ({"backend": "cuda fp16"}, "backend cpu fp32 -> cuda fp16"),
        (
            {"backend": "openvino 2026.4.1, calibration 39ab" + "e" * 20},
            "backend cpu fp32 -> openvino 202...",
        ),
        ({"segments": ((0, None),)}, "segments 2 of them -> 1 of them"),
    ],
)
def test_other_settings_are_refused_by_name(output: Path, change: dict[str, object], told: str) -> None:
    Job.open(output, IDENTITY).__exit__(None, None, None)
    with pytest.raises(JobError) as caught:
        Job.open(output, replace(IDENTITY, **change))  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith(f"{job_folder(output)}: settings changed since this job began")
    assert told in message
    assert "--restart" in message
    assert "\n" not in message
    with Job.open(output, IDENTITY) as job:
        assert job.resumed, "a refusal must not spoil the job"


def test_long_values_are_told_from_where_they_differ(output: Path) -> None:
    runtime = "openvino 2026.4.1, calibration "
    first = replace(IDENTITY, backend=runtime + "39ab" + "e" * 20)
    Job.open(output, first).__exit__(None, None, None)
    with pytest.raises(JobError) as caught:
        Job.open(output, replace(first, backend=runtime + "51cd"))
    assert "(backend ...ion 39abeeee... -> ...ion 51cd)" in str(caught.value)


def test_another_input_is_refused(output: Path) -> None:
    Job.open(output, IDENTITY).__exit__(None, None, None)
    other = {**IDENTITY.input, "size": 101, "sampled_sha256": "ab"}
    with pytest.raises(JobError, match=r"the input changed .*input\.size 100 -> 101"):
        Job.open(output, replace(IDENTITY, input=other))


def test_other_software_is_refused(output: Path) -> None:
    Job.open(output, IDENTITY).__exit__(None, None, None)
    with pytest.raises(JobError, match=r"the software changed.*versions\.torch 2\.13\.0 -> 2\.12\.0"):
        Job.open(output, replace(IDENTITY, versions={"vidsr": "0.1.0", "torch": "2.12.0"}))


def test_restart_throws_the_earlier_job_away(output: Path) -> None:
    with Job.open(output, IDENTITY, chosen={"threads": 2}) as job:
        write_segment(job.segment_path(0))
    with Job.open(
        output, replace(IDENTITY, backend="other"), chosen={"threads": 3}, restart=True
    ) as job:
        assert not job.resumed
        assert job.chosen == {"threads": 3}
        assert job.finished(0) is None
        assert sorted(path.name for path in job.folder.iterdir()) == ["job.json", "lock"]


def test_two_runs_do_not_share_a_folder(output: Path) -> None:
    with Job.open(output, IDENTITY) as job:
        write_segment(job.segment_path(0))
        with pytest.raises(JobError, match=rf"another run \(process {os.getpid()}\)"):
            Job.open(output, IDENTITY)
        with pytest.raises(JobError, match="another run"):
            Job.open(output, IDENTITY, restart=True)
        assert job.finished(0) is not None
    with Job.open(output, IDENTITY) as job:
        assert job.finished(0) is not None


@contextmanager
def running(python: Command, code: str, output: Path) -> Iterator[int]:
    """The number of a process that has told it, and goes on until it is killed at the end."""
    command = [*python, "-c", textwrap.dedent(code), output]
    with started(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGKILL)


def test_the_lock_of_a_killed_run_does_not_stand_in_the_way(python: Command, output: Path) -> None:
    code = """
        import os, sys, time
        from pathlib import Path
        from tests.video.test_job import IDENTITY
        from vidsr.video.job import Job
        job = Job.open(Path(sys.argv[1]), IDENTITY)
        print(os.getpid(), flush=True)
        time.sleep(60)
    """
    with running(python, code, output) as pid, pytest.raises(JobError, match=f"process {pid}"):
        Job.open(output, IDENTITY)
    with Job.open(output, IDENTITY) as job:
        assert job.resumed


WRITE_FOR_EVER = """
    import os, sys
    from pathlib import Path
    from tests.video.test_job import IDENTITY, write_segment
    from vidsr.video.job import Job
    with Job.open(Path(sys.argv[1]), IDENTITY) as job:
        print(os.getpid(), flush=True)
        for index in range(100_000):
            write_segment(job.segment_path(index), seed=index)
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.11, 0.27])
def test_a_killed_run_leaves_only_whole_segments(python: Command, output: Path, delay_s: float) -> None:
    with running(python, WRITE_FOR_EVER, output):
        time.sleep(delay_s)
    expected = write_segment(output.parent / "again.nut", seed=0)
    with Job.open(output, IDENTITY) as job:
        assert not list(job.folder.glob("*.part"))
        count = len(list(job.folder.glob("0*.json")))
        # The last segment may have its file and not yet its record: then it does not count.
        assert len(list(job.folder.glob("0*.nut"))) in (count, count + 1)
        assert all(job.finished(index) is not None for index in range(count))
        assert job.finished(count) is None
        if count:
            assert job.finished(0) == expected


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "swap", "record"])
def test_a_damaged_segment_is_done_again(output: Path, damage: str) -> None:
    with Job.open(output, IDENTITY) as job:
        path = job.segment_path(0)
        write_segment(path)
    data = path.read_bytes()
    if damage == "flip":
        path.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    elif damage == "truncate":
        path.write_bytes(data[:-1])
    elif damage == "remove":
        path.unlink()
    elif damage == "swap":
        write_segment(output.parent / "b.nut", seed=9)
        path.write_bytes((output.parent / "b.nut").read_bytes())
    else:
        record_path(path).write_text("{")
    with Job.open(output, IDENTITY) as job:
        assert job.finished(0) is None
        assert not path.exists()
        assert not record_path(path).exists()
        record = write_segment(path)
        assert job.finished(0) == record


def test_left_over_pieces_are_cleaned_and_foreign_files_kept(output: Path) -> None:
    with Job.open(output, IDENTITY) as job:
        write_segment(job.segment_path(0))
        for name in ("000001.nut.part", "job.json.part", "joined.mp4", "mine.txt"):
            (job.folder / name).write_text("x")
    with Job.open(output, IDENTITY) as job:
        names = sorted(path.name for path in job.folder.iterdir())
        assert names == ["000000.json", "000000.nut", "job.json", "lock", "mine.txt"]
        job.remove()
        assert [path.name for path in job.folder.iterdir()] == ["mine.txt"]


def proven_job(output: Path) -> Path:
    """A job that was killed with nothing left to do but the rename; its joined file."""
    with Job.open(output, IDENTITY) as job:
        write_segment(job.segment_path(0))
        joined = job.folder / "joined.mp4"
        joined.write_text("the film")
        job.mark_proven()
    return joined


def test_a_kill_after_the_rename_leaves_nothing_to_do(output: Path) -> None:
    proven_job(output).replace(output)
    remove_if_proven(output)
    assert list(output.parent.iterdir()) == [output]


@pytest.mark.parametrize("left", [[], ["lock"]])
def test_a_kill_while_tidying_up_leaves_nothing_to_do(output: Path, left: list[str]) -> None:
    output.write_text("the film")
    job_folder(output).mkdir()
    for name in left:
        (job_folder(output) / name).touch()
    remove_if_proven(output)
    assert list(output.parent.iterdir()) == [output]


def test_a_folder_with_a_foreign_file_stays(output: Path) -> None:
    output.write_text("the film")
    job_folder(output).mkdir()
    (job_folder(output) / "mine.txt").touch()
    remove_if_proven(output)
    assert (job_folder(output) / "mine.txt").exists()


def test_a_kill_before_the_rename_does_not_cost_the_job(output: Path) -> None:
    output.write_text("the film")  # an earlier one, alike but for its identity
    proven_job(output)
    remove_if_proven(output)
    with Job.open(output, IDENTITY) as job:
        assert job.finished(0) is not None
        assert not (job.folder / "proven").exists()
        assert not (job.folder / "joined.mp4").exists()
        job.remove()
    assert list(output.parent.iterdir()) == [output]


def test_a_job_that_is_not_proven_stays(output: Path) -> None:
    output.write_text("another film")
    remove_if_proven(output)
    with Job.open(output, IDENTITY) as job:
        write_segment(job.segment_path(0))
    remove_if_proven(output)
    with Job.open(output, IDENTITY) as job:
        assert job.finished(0) is not None


def test_segments_without_a_manifest_are_not_trusted(output: Path) -> None:
    with Job.open(output, IDENTITY) as job:
        write_segment(job.segment_path(0))
        (job.folder / "job.json").unlink()
    with Job.open(output, IDENTITY) as job:
        assert not job.resumed
        assert job.finished(0) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "identity": 3, "chosen": {}}']
)
def test_a_damaged_manifest_asks_for_a_restart(output: Path, text: str) -> None:
    Job.open(output, IDENTITY).__exit__(None, None, None)
    (job_folder(output) / "job.json").write_text(text)
    with pytest.raises(JobError, match=r"job\.json: damaged.*--restart"):
        Job.open(output, IDENTITY)
    with Job.open(output, IDENTITY, restart=True) as job:
        assert not job.resumed


def test_a_manifest_of_the_future_asks_for_a_restart(output: Path) -> None:
    Job.open(output, IDENTITY).__exit__(None, None, None)
    path = job_folder(output) / "job.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(JobError, match="another version of vidsr"):
        Job.open(output, IDENTITY)


def test_a_file_in_the_way_is_said(output: Path) -> None:
    job_folder(output).write_text("mine")
    with pytest.raises(JobError, match="is a file; move it away"):
        Job.open(output, IDENTITY)
    assert job_folder(output).read_text() == "mine"


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such file or directory"):
        Job.open(tmp_path / "nowhere" / "out.mp4", IDENTITY)


def test_a_disk_too_full_for_the_manifest_says_how_to_go_on(python: Command, output: Path) -> None:
    code = """
        import resource, sys
        from pathlib import Path
        from tests.video.test_job import IDENTITY
        from vidsr.errors import OutputError
        from vidsr.video.job import Job
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            Job.open(Path(sys.argv[1]), IDENTITY)
        except OutputError as error:
            sys.exit(str(error))
    """
    done = subprocess.run(
        [*python, "-c", textwrap.dedent(code), str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "job.json: file too large: free some space and run the same command again" in done.stderr
    assert sorted(path.name for path in job_folder(output).iterdir()) == ["lock"]
    with Job.open(output, IDENTITY) as job:
        assert not job.resumed


def test_a_full_disk_spares_finished_segments(python: Command, output: Path) -> None:
    code = """
        import resource, sys
        from pathlib import Path
        from tests.video.test_job import IDENTITY, write_segment
        from vidsr.errors import OutputError
        from vidsr.video.job import Job
        with Job.open(Path(sys.argv[1]), IDENTITY) as job:
            write_segment(job.segment_path(0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
            try:
                write_segment(job.segment_path(1))
            except OutputError as error:
                sys.exit(str(error))
    """
    done = subprocess.run(
        [*python, "-c", textwrap.dedent(code), str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "all finished segments are kept" in done.stderr
    with Job.open(output, IDENTITY) as job:
        assert job.finished(0) is not None
        assert job.finished(1) is None


def test_a_fingerprint_tells_files_apart(tmp_path: Path) -> None:
    path = tmp_path / "in.mp4"
    size = 5 << 20
    path.write_bytes(bytes(size))
    os.utime(path, ns=(1, 1))
    first = fingerprint(path)
    assert first == fingerprint(path)
    assert (first["name"], first["size"], first["mtime_ns"]) == ("in.mp4", size, 1)
    for place in (0, size // 2, size - 1):
        data = bytearray(size)
        data[place] = 1
        path.write_bytes(data)
        os.utime(path, ns=(1, 1))
        assert fingerprint(path)["sampled_sha256"] != first["sampled_sha256"], place
    assert json.loads(json.dumps(first)) == first


@pytest.mark.parametrize("content", [b"", b"x", b"xy" * 700_000])
def test_a_short_file_has_a_fingerprint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.mp4").write_bytes(content)
    assert fingerprint(tmp_path / "in.mp4")["size"] == len(content)


def test_a_missing_input_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"in\.mp4: cannot be read: no such file"):
        fingerprint(tmp_path / "in.mp4")
