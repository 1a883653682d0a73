"""The store of built engines: what names one, what makes it invalid, and what may be loaded.

Each engine is two files, `<key>.engine` and `<key>.json`. The name is a digest of everything that the
engine was built from and for, so another card, version, size or weights ask for another name; the
manifest beside it says the same in clear, with the file's own digest and a seal.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidsr.errors import EngineError
from vidsr.inference.engine_files import (
    Seal,
    canonical,
    is_leftover,
    locked,
    private_folder,
    user_cache,
    write_private,
)
from vidsr.inference.engine_key import EngineKey, Machine
from vidsr.network_name import network_name

MANIFEST_FORMAT = 1

LEAST_ENGINE_BYTES = 1024
"""A file below this is a build that failed: the smallest engine holds its weights."""


@dataclass(frozen=True)
class StoredEngine:
    """One engine of the store, as its manifest describes it."""

    path: Path  # of the .engine file
    key: EngineKey
    size: int  # bytes
    sha256: str
    facts: Mapping[str, Any]  # date, seconds, driver, layers, tensors, self-check

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `vidsr engines list --json` gives them."""
        return {
            "file": self.path.name,
            **asdict(self.key),
            "size": self.size,
            "sha256": self.sha256,
            **self.facts,
        }

    def row(self) -> tuple[str, ...]:
        """A line of `vidsr engines list`; ROW_TITLES names its cells."""
        key = self.key
        return (
            network_name(key.model, self.facts.get("detail"), key.scale),
            str(key.shapes),
            f"{key.precision}, {key.depth}",
            key.tensorrt,
            key.gpu,
            f"{self.size / 1e6:.1f} MB",
            str(self.facts.get("built", ""))[:10],
            "passed" if self.facts.get("self_check") else "not run",
        )


ROW_TITLES = (
    "model",
    "frames x height x width",
    "precision",
    "built with",
    "for",
    "size",
    "on",
    "check",
)


class EngineStore:
    """A private folder of engines. All its methods can be called by several processes at once."""

    def __init__(self, folder: Path, seal: Seal | None = None) -> None:
        self.folder = folder
        self._seal = seal or Seal(user_cache() / "engine-seal" / "secret")

    @classmethod
    def default(cls) -> EngineStore:
        """`engines/` of the checkout vidsr runs from, else the user's cache; VIDSR_ENGINES overrides."""
        if "VIDSR_ENGINES" in os.environ:
            return cls(Path(os.environ["VIDSR_ENGINES"]))
        checkout = Path(__file__).parents[2]
        if (checkout / "engines" / "README.md").is_file() and (checkout / "pyproject.toml").is_file():
            return cls(checkout / "engines")
        return cls(user_cache() / "engines")

    @contextmanager
    def locked(self, key: EngineKey) -> Iterator[None]:
        """Hold the lock of one key: whoever builds holds it, so that nobody builds the same twice."""
        private_folder(self.folder)
        with locked(self.folder / f"{key.text}.lock"):
            yield

    def put(self, key: EngineKey, plan: bytes, facts: Mapping[str, Any]) -> StoredEngine:
        """Keep an engine. The manifest comes last: without it the other file is nothing.

        Raises:
            EngineError: it cannot be written, or is too small to be an engine.
        """
        if len(plan) < LEAST_ENGINE_BYTES:
            raise EngineError(f"an engine of {len(plan)} bytes is none: the build failed")
        private_folder(self.folder)
        path = self._path(key)
        digest = hashlib.sha256(plan).hexdigest()
        manifest = {
            "format": MANIFEST_FORMAT,
            "key": asdict(key),
            "size": len(plan),
            "sha256": digest,
            "facts": dict(facts),
        }
        manifest = json.loads(canonical(manifest))  # what a reader will see: tuples are lists
        sealed = {**manifest, "seal": self._seal.sign(manifest)}
        path.with_suffix(".json").unlink(missing_ok=True)  # of an engine that is being replaced
        write_private(path, plan)
        write_private(path.with_suffix(".json"), json.dumps(sealed, indent=1).encode())
        return StoredEngine(path, key, len(plan), digest, manifest["facts"])

    def load(self, key: EngineKey) -> bytes | None:
        """The engine of a key; None where there is none.

        Raises:
            EngineError: there is one, but it must not be loaded; the message is the reason.
        """
        path = self._path(key)
        if not path.with_suffix(".json").exists():
            return None
        stored = self._read_manifest(path.with_suffix(".json"))
        if stored.key != key:
            raise EngineError(f"{path.name}: its manifest describes another engine")
        return self._read_engine(stored)

    def load_or_build(
        self,
        key: EngineKey,
        build: Callable[[], tuple[bytes, Mapping[str, Any]]],
        refused: Callable[[str], None],
    ) -> bytes:
        """The engine of a key, built where there is none that may be loaded, by one process only.

        `refused` is told why an engine that was there is built anew.
        """
        with self.locked(key):
            try:
                plan = self.load(key)
            except EngineError as reason:
                refused(str(reason))
                self.discard(key)
                plan = None
            if plan is None:
                plan, facts = build()
                self.put(key, plan, facts)
        return plan

    def discard(self, key: EngineKey) -> None:
        """Forget an engine, for instance one that TensorRT itself refused."""
        path = self._path(key)
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    def entries(self) -> list[StoredEngine]:
        """All engines with a sound manifest, by name; their own bytes are not read."""
        return [entry for entry, _ in self._survey() if entry is not None]

    def verify(self) -> list[tuple[str, str | None]]:
        """Every engine's file name, and what is wrong with it or None; reads all bytes."""
        verdicts: list[tuple[str, str | None]] = []
        for entry, (name, problem) in self._survey():
            if entry is not None:
                try:
                    self._read_engine(entry)
                except EngineError as error:
                    problem = str(error)
            verdicts.append((name, problem))
        return verdicts

    def prune(self, machine: Machine, *, everything: bool = False) -> list[tuple[str, str]]:
        """Delete what cannot be used here, or everything; what was deleted, and why.

        An engine that is being built is left alone: its lock is taken first.
        """
        deleted: list[tuple[str, str]] = []
        if not self.folder.is_dir():
            return deleted
        problems = dict(self.verify())
        keys = {entry.path.name: entry.key for entry in self.entries()}
        for name, problem in problems.items():
            key = keys.get(name)
            reason = problem or (machine.refusal(key) if key is not None else None)
            if everything:
                reason = "asked for"
            if reason is None:
                continue
            path = self.folder / name
            with locked(path.with_suffix(".lock")):
                path.with_suffix(".json").unlink(missing_ok=True)
                path.unlink(missing_ok=True)
            deleted.append((name, reason))
        for path in sorted(self.folder.iterdir()):
            if is_leftover(path):
                with locked(path.with_suffix("").with_suffix(".lock")):
                    path.unlink(missing_ok=True)
                deleted.append((path.name, "left by a build that did not finish"))
        return deleted

    def _survey(self) -> list[tuple[StoredEngine | None, tuple[str, str | None]]]:
        """Each engine, sound or not: its entry where the manifest is sound, its name and its problem."""
        found: list[tuple[StoredEngine | None, tuple[str, str | None]]] = []
        if not self.folder.is_dir():
            return found
        stems = {path.stem for path in self.folder.iterdir() if path.suffix in (".engine", ".json")}
        for stem in sorted(stems):
            path = self.folder / f"{stem}.engine"
            try:
                found.append((self._read_manifest(path.with_suffix(".json")), (path.name, None)))
            except EngineError as error:
                found.append((None, (path.name, str(error))))
        return found

    def _read_manifest(self, path: Path) -> StoredEngine:
        try:
            manifest = json.loads(path.read_bytes())
            seal = manifest.pop("seal")
            key = EngineKey.from_json(manifest["key"])
            size, digest, facts = int(manifest["size"]), str(manifest["sha256"]), manifest["facts"]
            known = manifest["format"] == MANIFEST_FORMAT
        except FileNotFoundError as error:
            raise EngineError(f"{path.name}: there is no manifest") from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise EngineError(f"{path.name}: not a manifest ({error})") from error
        if not known or not self._seal.proves(manifest, str(seal)):
            raise EngineError(f"{path.name}: this user's vidsr did not write it")
        if key.text != path.stem:
            raise EngineError(f"{path.name}: its manifest describes another engine")
        return StoredEngine(path.with_suffix(".engine"), key, size, digest, facts)

    def _read_engine(self, stored: StoredEngine) -> bytes:
        try:
            plan = stored.path.read_bytes()
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise EngineError(f"{stored.path.name}: cannot be read: {reason}") from error
        if len(plan) != stored.size or hashlib.sha256(plan).hexdigest() != stored.sha256:
            raise EngineError(f"{stored.path.name}: its bytes are not those that were written")
        return plan

    def _path(self, key: EngineKey) -> Path:
        return self.folder / f"{key.text}.engine"


class TimingCache:
    """Measured kernel times of one card and version, which make the next build shorter.

    Guarded by a digest in front, since a damaged one can end the process inside TensorRT.
    """

    def __init__(self, folder: Path, tensorrt: str, gpu: str) -> None:
        digest = hashlib.sha256(f"{tensorrt}\n{gpu}".encode()).hexdigest()[:16]
        self._path = folder / f"timing_{digest}.cache"

    def load(self) -> bytes:
        """What was measured; empty where nothing was, or where the file is damaged."""
        try:
            digest, data = (whole := self._path.read_bytes())[:32], whole[32:]
        except OSError:
            return b""
        return data if hashlib.sha256(data).digest() == digest else b""

    def save(self, data: bytes) -> None:
        """Keep it for the next build."""
        private_folder(self._path.parent)
        write_private(self._path, hashlib.sha256(data).digest() + data)
