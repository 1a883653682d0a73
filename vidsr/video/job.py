"""The job folder beside an output: what is done, and what a later run may trust of it.

    out.mp4.vidsr/
        lock            held by the run that works here; holds its process number
        job.json        the manifest: what decides the frames, and what was picked at the start
        000000.nut      a segment ...
        000000.json     ... and its record, written last: without it the segment does not count
        000001.77.nut   a segment that process 77 does for this run
        streams.nut     out of a pipe only: everything that came with the video
        preview.png     the newest frame, where somebody wants to see it
        joined.mp4      the output, until it is proven and renamed
        proven          tells that output from any other file of its name, once only the rename is left

Everything but the lock is written beside and renamed after a sync, so each file is whole or absent
whatever ends the run. Segments carry a digest and are read again before they are trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from vidsr.errors import InputError, JobError
from vidsr.video.durable import disk_errors, put_in_place, sha256_of, sync_folder, write_whole
from vidsr.video.file_lock import hold
from vidsr.video.writer import SegmentRecord, record_path

JOB_SUFFIX = ".vidsr"
"""Behind the name of an output: its job folder."""
MANIFEST_NAME = "job.json"
MANIFEST_FORMAT = 1
PROVEN_NAME = "proven"
PREVIEW_NAME = "preview.png"
_OWN_NAME = re.compile(
    r"(job\.json|proven|\d{6}(\.\d+)?\.(json|nut|mov|mkv)|preview(\.\d+)?\.png)(\.part)?"
    r"|joined\..*|streams\.(nut|mkv)"
)
"""What a job writes; `joined` with the output's ending is the pipeline's output before its rename."""
_PASSING_NAME = re.compile(r".*\.part|(\d{6}|preview)\.\d+\..*|joined\..*|proven")
"""What no later run needs."""
_SHORT = 12  # letters of a long value in a message
_SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True)
class JobIdentity:
    """Everything that decides the frames of the output; a resumed run must have all of it the same.

    The mappings hold what JSON holds: strings, numbers, booleans, None, lists, mappings.
    """

    input: Mapping[str, Any]  # see `fingerprint`
    settings: Mapping[str, Any]  # as the user gave them: scale, size, fps, deinterlace, tile, batch ...
    weights_sha256: str
    backend: str  # name and precision
    versions: Mapping[str, str]  # vidsr, torch, codecs: another one may compute another last bit
    encoding: Mapping[str, Any]  # Encoding.as_json() less what is chosen once: its threads
    segments: tuple[tuple[int | None, int | None], ...]  # ticks, half-open; None: no bound


def fingerprint(path: Path) -> dict[str, Any]:
    """What tells an input file from another: name, size, time of change, digest of three samples of it.

    A whole digest would read a film of 50 GB for minutes; head, middle and tail of one MiB each change
    with any edit that keeps the size and the time of change.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            digest = hashlib.sha256()
            for start in (0, (status.st_size - _SAMPLE_BYTES) // 2, status.st_size - _SAMPLE_BYTES):
                file.seek(max(0, start))
                digest.update(file.read(_SAMPLE_BYTES))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    return {
        "name": path.name,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "sampled_sha256": digest.hexdigest(),
    }


class Job:
    """A job folder that this process holds; use as a context manager, which lets go of it.

    Leaving it does not delete anything: `remove` does, once the output is in place.
    """

    folder: Path
    chosen: dict[str, Any]
    """What the first run picked (threads, batch, tile) and every later one must use."""
    resumed: bool
    """Whether the folder was there already."""

    def __init__(
        self, folder: Path, lock: BinaryIO, chosen: dict[str, Any], resumed: bool, suffix: str
    ) -> None:
        self.folder, self.chosen, self.resumed = folder, chosen, resumed
        self._lock, self._suffix = lock, suffix
        self._trusted: dict[int, SegmentRecord] = {}

    @classmethod
    def open(
        cls,
        output: Path,
        identity: JobIdentity,
        *,
        chosen: Mapping[str, Any] | None = None,
        restart: bool = False,
        segment_suffix: str = ".nut",
    ) -> Job:
        """Begin a job for `output`, or take up the one that is there.

        Args:
            output: the finished file to be; the folder lies beside it.
            identity: must equal that of the job that is there.
            chosen: picked now and kept if the job is new; an earlier job's choice wins: `Job.chosen`.
            restart: throw away what an earlier job left, whatever it was.
            segment_suffix: how files of segments end, `Encoding.segment_suffix`.

        Raises:
            JobError: another run holds the folder, or it belongs to another input or other settings;
                the message names what differs.
            OutputError: the folder cannot be written.
        """
        folder = job_folder(output)
        lock = _lock(folder)
        try:
            _clean(folder, everything=restart)
            manifest = _load(folder / MANIFEST_NAME)
            ours = json.loads(json.dumps(asdict(identity)))
            if manifest is None:
                # Segments without a manifest are of nobody knows which job.
                _clean(folder, everything=True)
                picked = dict(chosen or {})
                plain = {"format": MANIFEST_FORMAT, "identity": ours, "chosen": picked}
                write_whole(folder / MANIFEST_NAME, json.dumps(plain, indent=1).encode())
                with disk_errors(folder):
                    sync_folder(folder.parent)
                return cls(folder, lock, picked, False, segment_suffix)
            _refuse_other(folder, manifest["identity"], ours)
            return cls(folder, lock, manifest["chosen"], True, segment_suffix)
        except BaseException:
            lock.close()
            raise

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.close()

    def segment_path(self, index: int) -> Path:
        """Where the segment with this number is written; its record lies beside it."""
        return self.folder / f"{index:06}{self._suffix}"

    def adopt(self, index: int, draft: Path) -> None:
        """Make a segment out of a draft that lies in the job's folder, its record beside it."""
        put_in_place(draft, self.segment_path(index))
        put_in_place(record_path(draft), record_path(self.segment_path(index)))

    def keep(self, index: int, data: bytes, record: SegmentRecord) -> None:
        """Make a segment out of the content of its file, made elsewhere, and its record."""
        write_whole(self.segment_path(index), data)
        record.save(record_path(self.segment_path(index)))

    def finished(self, index: int) -> SegmentRecord | None:
        """The record of a segment that is whole, or None where it must be (re)done.

        The file is read and compared with its digest the first time. A damaged one is deleted.
        """
        if index not in self._trusted:
            path = self.segment_path(index)
            record = SegmentRecord.load(record_path(path))
            if record is None or not _is_whole(path, record):
                with disk_errors(path):
                    path.unlink(missing_ok=True)
                    record_path(path).unlink(missing_ok=True)
                return None
            self._trusted[index] = record
        return self._trusted[index]

    def mark_proven(self) -> None:
        """Note that only the rename of `joined` is left, so a kill after it leaves nothing to redo."""
        with disk_errors(self.folder):
            mark = _same_file_mark(next(self.folder.glob("joined.*")))
        write_whole(self.folder / PROVEN_NAME, mark)

    def remove(self) -> None:
        """Delete the folder: the output is in place. Foreign files stay, and the folder with them."""
        _clean(self.folder, everything=True)
        with disk_errors(self.folder):
            if sys.platform == "win32":
                self._lock.close()  # no open file can be deleted there
            (self.folder / "lock").unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()


def weights_of_job(output: Path) -> str | None:
    """The digest of the weights of the job that was begun for an output; None where there is none."""
    manifest = _load(job_folder(output) / MANIFEST_NAME)
    return None if manifest is None else str(manifest["identity"]["weights_sha256"])


def remove_if_proven(output: Path) -> None:
    """Delete the job folder of an existing output whose run was killed after the rename.

    Nothing is deleted unless `output` is the very file that the job proved, or nothing is left in the
    folder: a kill just before the rename must not cost the job, whatever else has that name.
    """
    folder = job_folder(output)
    if _is_over(folder, output):
        with Job(folder, _lock(folder), {}, True, "") as job:
            if _is_over(folder, output):  # nobody began another job meanwhile
                job.remove()


def _is_over(folder: Path, output: Path) -> bool:
    """Whether a folder is that of a job whose output is in place, tidied up or not."""
    try:
        if all(path.name == "lock" for path in folder.iterdir()):
            return True
        return (folder / PROVEN_NAME).read_bytes() == _same_file_mark(output)
    except OSError:
        return False


def job_folder(output: Path) -> Path:
    """The job folder of an output file."""
    return output.with_name(output.name + JOB_SUFFIX)


def draft_path(folder: Path, index: int, process: int, suffix: str) -> Path:
    """Where another process, known by its number, writes a segment, to be adopted when it is whole.

    A name of its own: a process that outlives a killed run must not touch what the next one writes.
    """
    return folder / f"{index:06}.{process}{suffix}"


def _same_file_mark(path: Path) -> bytes:
    """What a rename keeps of a file, and no other file shares."""
    status = path.stat()
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns}".encode()


def _lock(folder: Path) -> BinaryIO:
    """Make the folder and hold it. The system drops the lock when the process ends, however it does."""
    while True:
        with disk_errors(folder):
            if folder.exists() and not folder.is_dir():
                raise JobError(f"{folder}: is a file; move it away: the job's folder needs the name")
            folder.mkdir(parents=False, exist_ok=True)
            file = (folder / "lock").open("a+b", buffering=0)
            try:
                hold(file)
            except (BlockingIOError, PermissionError) as error:  # the latter on Windows
                holder = _holder(file)
                file.close()
                raise JobError(
                    f"{folder}: another run (process {holder or 'unknown'}) is working on this output; "
                    "wait for it, or choose another output"
                ) from error
            # The run that held the lock may have removed the folder between our open and our lock.
            try:
                if os.path.samestat(os.fstat(file.fileno()), (folder / "lock").stat()):
                    file.truncate(0)
                    file.write(str(os.getpid()).encode())
                    return file
            except FileNotFoundError:
                pass
            file.close()


def _holder(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(20).decode(errors="replace").strip()


def _clean(folder: Path, *, everything: bool) -> None:
    """Delete unfinished files, or all that a job may have written; nothing that looks foreign."""
    with disk_errors(folder):
        for path in _own_files(folder):
            if everything or _PASSING_NAME.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _own_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if _OWN_NAME.fullmatch(path.name):
            yield path


def _load(path: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads(path.read_bytes())
        if manifest["format"] != MANIFEST_FORMAT:
            raise JobError(f"{path}: written by another version of vidsr; begin anew with --restart")
        if isinstance(manifest["identity"], dict) and isinstance(manifest["chosen"], dict):
            return {"identity": manifest["identity"], "chosen": manifest["chosen"]}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise JobError(f"{path}: damaged ({error}); begin anew with --restart") from error
    raise JobError(f"{path}: damaged; begin anew with --restart")


def _refuse_other(folder: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    changes = [
        f"{key} {_told(before, now)}"
        for part in ours
        for key, before, now in _differences(theirs.get(part), ours[part], part)
    ]
    if not changes:
        return
    parts = {part for part in ours if theirs.get(part) != ours[part]}
    if "input" in parts:
        what = "the input changed"
    elif parts == {"versions"}:
        what = "the software changed, so frames could differ"
    else:
        what = "settings changed"
    told = ", ".join(changes[:3]) + (f" and {len(changes) - 3} more" if len(changes) > 3 else "")
    raise JobError(
        f"{folder}: {what} since this job began ({told}); go back to what it was to continue, "
        "or begin anew with --restart"
    )


def _differences(before: Any, now: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    """Leaves that differ between two JSON values, as (dotted name, before, now)."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}")
    elif before != now:
        yield name, before, now


def _told(before: Any, now: Any) -> str:
    """What became of a value, short enough for a message, from where the two begin to differ."""
    old, new = _text(before), _text(now)
    letters = enumerate(zip(old, new, strict=False))
    common = next((place for place, (one, other) in letters if one != other), 0)
    start = common - 4 if common >= _SHORT else 0
    return f"{_cut(old, start)} -> {_cut(new, start)}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} of them"
    return "none" if value is None else str(value)


def _cut(text: str, start: int) -> str:
    if len(text) <= 2 * _SHORT:
        return text
    end = start + _SHORT
    return "..." * (start > 0) + text[start:end] + "..." * (end < len(text))


def _is_whole(path: Path, record: SegmentRecord) -> bool:
    try:
        return path.stat().st_size == record.bytes and sha256_of(path) == record.sha256
    except OSError:
        return False
