"""The place for the output of a run, a folder or objects in a store: its finished batches, and who may write to it.

A batch is finished when its record, .batches/000007.json, exists: it has the size and checksum of each file, and is
written after them (docs/decisions/0001-batches-are-the-unit-of-work.md).

Stores (s3://bucket/name, and others that fsspec reaches) have whole objects and listings, but no renames and no locks
(docs/decisions/0009-outputs-in-stores.md). So a batch is made in a local scratch folder; then its files are uploaded,
and its record last.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..config.base import DEFAULT, MACHINE, Batched, differences
from ..config.generate import DatasetConfig
from ..config.resolve import load_config
from ..dataset.native import EXTRAS, IMAGES, INSTANCES, MASKS
from ..dataset.reviews import REVIEWS
from ..errors import Notice, UserError, first_line
from ..files.documents import read_json, read_toml
from ..files.output_folders import LOCK, Out, Url, open_folder, parse_out
from ..files.outputs import BATCHES, CONFIG, LABELS, LEFTOVER, NAMED, OVERLAYS, write_atomic
from ..files.reading import ANNOTATIONS, inside

State = Literal["new", "unfinished", "complete", "shorter"]
"""The state of an output. shorter: made by a configuration with fewer samples of the same series
(`RunConfig.extends`).
"""

RUN_FOLDERS = (IMAGES, MASKS, INSTANCES, *EXTRAS, LABELS, OVERLAYS, NAMED)
"""Folders that only batches of runs write to."""
BEGUN = f"{BATCHES}/begun"
"""An object that marks the folder of records as there, because stores have no empty folders."""


@dataclass
class BatchRecord:
    """The record of a finished batch: its rows of metadata.jsonl and rejected.jsonl (or of the command's files in their
    place), and {path: (size, CRC-32)} of its files. No checksum of pictures that may be hard links, and of safetensors
    files: attention is large, and half-written files differ in size.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, tuple[int, int | None]] = field(default_factory=dict)

    def write(self, out: Path, name: str, data: bytes) -> None:
        """Write the file out/name and note it."""
        write_atomic(inside(out, name), data)
        self.files[name] = (len(data), zlib.crc32(data))

    def write_by(self, out: Path, name: str, write: Callable[[Path], object]) -> None:
        """Call `write` to write the file out/name, and note its size."""
        write(path := inside(out, name))
        self.files[name] = (path.stat().st_size, None)


def record_path(number: int) -> str:
    """The path of a batch's record in the output."""
    return f"{BATCHES}/{number:06d}.json"


class Place:
    """An output in a folder. out: as the user named it. folder: where batches write and the state is read."""

    can_grow = True
    """Whether a finished output can be turned back into an unfinished one."""

    def __init__(self, folder: Path) -> None:
        self.out: Out = folder
        self.folder = folder

    def look_into(self, config: Batched) -> tuple[State, Batched]:
        """The state of the output, and the configuration to continue with: device, number format, threads and size of
        batches, if left open, as it was begun, and no number of a GPU, because that changes nothing. An unfinished
        output without a finished batch is "new". Raises UserError for a file, a folder with other contents, and an
        output of another command or configuration.
        """
        out = self.folder
        if config.device:
            config = replace(config, device=config.device.split(":")[0])
        if out.exists() and not out.is_dir():
            raise UserError(self.out, "there is a file where the folder should be")
        entries = out.iterdir() if out.is_dir() else ()
        names = {entry.name for entry in entries if entry.name != LOCK and not LEFTOVER.fullmatch(entry.name)}
        if not names:
            return "new", config
        if CONFIG not in names:
            problem = f"not empty, and not an output of SeeDiff (it holds {min(names)}, but no {CONFIG})"
            raise UserError(out, problem, "choose another folder")
        about = read_toml(out / CONFIG)
        if (made_by := about.get("command", config.command)) != config.command:
            raise UserError(out, f"holds what `seediff {made_by}` made", "choose another folder")
        complete, same_version = config.last_file in names, about.get("version") == __version__
        # Reviews are about samples of this configuration.
        if not complete and self._nothing_committed() and REVIEWS not in names:
            return "new", config
        saved = load_config(out / CONFIG, type(config))
        begun = {name: getattr(saved, name) for name in ("device", "dtype", "threads") if getattr(config, name) is None}
        config = replace(config, **{name: value for name, value in begun.items() if value is not None})
        if config.source("batch_size") == DEFAULT and saved.source("batch_size") == MACHINE:
            config = config.with_batches(saved.batch_size)
        changed = differences(saved, config)
        if changed and self.can_grow and same_version and config.extends(saved):
            return "shorter", config
        if not complete and not same_version:
            changed.insert(0, f"version of seediff: {about.get('version')} → {__version__}")
        if changed:
            problem = f"holds the output of another configuration ({'; '.join(changed)})"
            fix = f"choose another folder, or give the options as they were, with --config {self.out}/{CONFIG}"
            joined = isinstance(config, DatasetConfig) and isinstance(self.out, Path)
            raise UserError(out, problem, f"{fix}; `seediff merge` joins two datasets" if joined else fix)
        return "complete" if complete else "unfinished", config

    def _nothing_committed(self) -> bool:
        """Without a folder of records, files of samples may not be a run's, so there must be none."""
        if (self.folder / BATCHES).is_dir():
            return not any((self.folder / BATCHES).glob("*.json"))
        folders = [self.folder / name for name in RUN_FOLDERS]
        return not any(any(folder.iterdir()) for folder in folders if folder.is_dir())

    def record(self, number: int) -> BatchRecord | None:
        """The record of a batch; None if it is not finished, or one of its files is missing or damaged."""
        with suppress(OSError, ValueError, UserError):
            record = read_json(self.folder / record_path(number), BatchRecord, limit=ANNOTATIONS)
            if self.holds(record):
                return record
        return None

    def holds(self, record: BatchRecord) -> bool:
        """Whether all files of a batch are there and whole. May raise OSError if one is missing."""
        return all(
            (path := self.folder / name).stat().st_size == size and crc in (None, zlib.crc32(path.read_bytes()))
            for name, (size, crc) in record.files.items()
        )

    def locked(self) -> AbstractContextManager[None]:
        """Lock out other runs. Raises UserError if one is using the output, or if it cannot be written to."""
        return open_folder(self.folder, (*RUN_FOLDERS, BATCHES))

    def clear(self) -> None:
        """Remove the files of a run that finished no batch, which may be of another configuration."""
        for name in (*RUN_FOLDERS, BATCHES):  # the folder of records last, because it marks the others as a run's
            with suppress(FileNotFoundError):
                shutil.rmtree(inside(self.folder, name))  # removes links, and does not follow them

    def begin(self) -> None:
        """Make the folder of records, which marks files of samples as a run's."""
        inside(self.folder, BATCHES).mkdir(exist_ok=True)

    def join(self) -> None:
        """Raise UserError unless a worker's process, perhaps on another machine, sees the output of the run."""
        if not (self.folder / LOCK).exists():
            problem = "this folder is not the same on all machines of the cluster"
            raise UserError(self.out, problem, "name one of a shared file system, or a store such as s3://bucket/name")

    def send(self, names: Collection[str]) -> None:
        """Put files of the folder into the output; they may then be gone from the folder."""

    def commit(self, number: int, record: BatchRecord) -> None:
        """Mark a batch, whose files have been sent, as finished."""
        name = record_path(number)
        write_atomic(inside(self.folder, name), json.dumps(vars(record), ensure_ascii=False).encode("utf-8"))
        self.send([name])

    def lost(self, records: Mapping[int, BatchRecord | None]) -> list[int]:
        """Batches whose files have vanished since; none if a lock keeps other runs away."""
        return []

    def bring(self, names: Collection[str]) -> None:
        """Bring files of the output into the folder."""

    def complete(self, last_file: str) -> None:
        """Send the files about the whole output, `last_file` after all others; then tidy up."""
        self.remove_records()

    def remove_records(self) -> None:
        """May be interrupted, because an output with the command's last file is complete."""
        shutil.rmtree(self.folder / BATCHES, ignore_errors=True)

    def check_loaded(self, model: str, loaded: Mapping[str, str]) -> None:
        """Raise UserError if the output was begun with weights of another fingerprint, and warn of another GPU. loaded:
        as in `Engine.load`."""
        begun = read_toml(self.folder / CONFIG)
        differ = {what: f"({begun[what]} → {one})" for what, one in loaded.items() if begun.get(what, one) != one}
        if "weights" in differ:
            problem = f"was started with different weights of model '{model}' {differ['weights']}"
            raise UserError(self.folder, problem, "choose another folder, or restore those weights")
        if "gpu" in differ:
            said = f"{self.out}: continued on another GPU {differ['gpu']}, which rounds differently"
            warnings.warn(said, Notice, stacklevel=2)


class Storage:
    """The objects in a store below one address. All methods raise UserError, naming the address, if the store fails."""

    def __init__(self, url: Url) -> None:
        import fsspec
        from fsspec.implementations.dirfs import DirFileSystem

        self.url = url
        with self._requests():
            system, root = fsspec.url_to_fs(url.text)
            self.system = DirFileSystem(root, system)

    def list(self) -> dict[str, int]:
        """All objects: name below the address → size in bytes. Leaves out names that would lead outside a folder."""
        with self._requests():
            self.system.invalidate_cache()
            try:
                objects: dict[str, Any] = self.system.find("", detail=True)  # type: ignore[assignment]
            except FileNotFoundError:
                return {}
        return {
            name: about["size"]
            for name, about in objects.items()
            if not {"", ".", ".."} & set(name.split("/")) and not {"\\", "\0"} & set(name)
        }

    def read(self, name: str) -> bytes:
        with self._requests():
            return self.system.cat_file(name)

    def write(self, name: str, data: bytes) -> None:
        with self._requests():
            self.system.pipe_file(name, data)

    def upload(self, folder: Path, names: Sequence[str]) -> None:
        """Upload files of a folder as whole objects of the same names."""
        if names:
            with self._requests():
                self.system.put([str(folder / name) for name in names], list(names))

    def download(self, folder: Path, names: Sequence[str]) -> None:
        """Raises UserError for a name that would lead out of the folder."""
        paths = [inside(folder, name) for name in names]
        for parent in {path.parent for path in paths}:
            parent.mkdir(parents=True, exist_ok=True)
        if names:
            with self._requests():
                self.system.get(list(names), list(map(str, paths)))

    def delete(self, names: Sequence[str]) -> None:
        """Of objects that may be gone already."""
        if names:
            with self._requests(), suppress(FileNotFoundError):
                self.system.rm(list(names))

    @contextmanager
    def _requests(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each store has its own errors; one whose package is missing names it
            raise UserError(self.url, f"storage request failed: {type(error).__name__}: {first_line(error)}") from error


class Store(Place):
    """An output in a store. Files of batches pass through a scratch folder. there: the objects in the last listing."""

    can_grow = False

    def __init__(self, url: Url, scratch: Path) -> None:
        super().__init__(scratch)
        self.out = url
        self.storage = Storage(url)
        self.there: dict[str, int] | None = None

    def look_into(self, config: Batched) -> tuple[State, Batched]:
        if self.there is None:
            self._fetch()
        return super().look_into(config)

    def _fetch(self) -> None:
        """Download the records and the objects at the top; others become empty folders, which show that they exist."""
        there = self.there = {name: size for name, size in self.storage.list().items() if name != LOCK}
        for name in there:
            first, slash, _ = name.partition("/")
            (self.folder / first).mkdir(exist_ok=True) if slash else (self.folder / first).touch()
        if CONFIG in there:
            records = [name for name in there if name.startswith(BATCHES + "/") and name.endswith(".json")]
            self.storage.download(self.folder, [name for name in there if "/" not in name] + records)

    def holds(self, record: BatchRecord) -> bool:
        there = self.there or {}
        return all(there.get(name) == size for name, (size, _) in record.files.items())  # objects are whole

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Checks that the store can be written to; locks nobody out."""
        self.storage.write(LOCK, f"{socket.gethostname()} {os.getpid()}".encode())
        try:
            yield
        finally:
            with suppress(UserError):
                self.storage.delete([LOCK])

    def clear(self) -> None:
        super().clear()
        left = [name for name in self.there or () if _of_batches(name)]
        self.storage.delete([name for name in left if name != BEGUN])
        self.storage.delete([BEGUN] * (BEGUN in left))  # last, because it marks the others as a run's

    def begin(self) -> None:
        super().begin()
        self.storage.write(BEGUN, b"")

    def join(self) -> None:
        self.storage.read(LOCK)

    def send(self, names: Collection[str]) -> None:
        self.storage.upload(self.folder, list(names))
        for name in filter(_of_batches, names):
            (self.folder / name).unlink()

    def lost(self, records: Mapping[int, BatchRecord | None]) -> list[int]:
        """Without a lock, another run may have removed files that it took for a failed run's, or have begun another
        output, which raises UserError."""
        self.there = self.storage.list()
        if CONFIG not in self.there or self.storage.read(CONFIG) != (self.folder / CONFIG).read_bytes():
            problem = "another run has started a different output in the same place"
            raise UserError(self.out, problem, "choose another place for one of them")
        return [number for number, record in records.items() if record and not self.holds(record)]

    def bring(self, names: Collection[str]) -> None:
        self.storage.download(self.folder, list(names))

    def complete(self, last_file: str) -> None:
        files = sorted(path.name for path in self.folder.iterdir() if path.is_file() and path.name != last_file)
        self.send(files)
        self.storage.delete(
            [name for name in self.there or () if "/" not in name and name not in (*files, last_file, LOCK)]
        )
        self.send([last_file])
        super().complete(last_file)

    def remove_records(self) -> None:
        super().remove_records()
        self.storage.delete([name for name in self.storage.list() if name.startswith(BATCHES + "/")])


def _of_batches(name: str) -> bool:
    return name.partition("/")[0] in (*RUN_FOLDERS, BATCHES)


@contextmanager
def open_place(out: Out | str) -> Iterator[Place]:
    """The place of a path, or of a URL such as s3://bucket/name, with a scratch folder in TMPDIR. Raises UserError; in
    errors from the block, the URL replaces the scratch folder."""
    out = parse_out(out)
    if not isinstance(out, Url):
        yield Place(out)
        return
    with tempfile.TemporaryDirectory(prefix="seediff-") as scratch:
        try:
            yield Store(out, Path(scratch))
        except UserError as error:
            raise UserError(*(str(part).replace(scratch, str(out)) for part in error.args)) from error
