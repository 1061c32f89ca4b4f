"""Outputs in object stores and wherever else fsspec reaches: s3://bucket/name, gs://bucket/name.

Stores have whole objects and listings, no renames and no locks. So a batch is done in a scratch folder of the machine, as it would be in
the output itself, and then its files are written to the store, each at once, and its record last: finished batches are known by a
listing. docs/decisions/0009-outputs-in-stores.md says what follows from there being no lock.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ..dataset import batches, native
from ..dataset.batches import BATCHES, DATA, BatchRecord
from ..errors import UserError, first_line
from ..files.addresses import Url
from ..files.locking import LOCK
from .place import Place

BEGUN = f"{BATCHES}/begun"
"""Stores have no empty folders; this object says that the folder of records is there."""
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}

Result = TypeVar("Result")


class Storage:
    """Objects whose names begin with one address. Everything raises UserError, naming the address, when the store does not answer."""

    def __init__(self, url: Url) -> None:
        import fsspec

        self.url = url
        try:
            self.system, root = fsspec.url_to_fs(url.text)
        except (ImportError, ValueError) as error:
            package = PACKAGES.get(url.scheme)
            known = f"needs a package that is not installed: pip install {package}" if package else first_line(error)
            raise UserError(f"--out {url}: {known}") from error
        except Exception as error:
            raise UserError(f"--out {url}: {first_line(error)}") from error
        self.root = root.rstrip("/")

    def list(self) -> dict[str, int]:
        """All objects: name behind the address → size in bytes."""

        def find() -> dict[str, int]:
            self.system.invalidate_cache()
            try:
                found = self.system.find(self.root, detail=True)
            except FileNotFoundError:
                return {}
            inside = self.system._strip_protocol(self.root) + "/"
            names = {path.removeprefix(inside): one["size"] for path, one in found.items() if path.startswith(inside)}
            return {name: size for name, size in names.items() if _stays_below(name)}  # others can name objects what they like

        return self._ask(find)

    def read(self, name: str) -> bytes:
        return self._ask(lambda: self.system.cat_file(f"{self.root}/{name}"))

    def write(self, name: str, data: bytes) -> None:
        """One object, at once."""
        self._ask(lambda: self.system.pipe_file(f"{self.root}/{name}", data))

    def upload(self, folder: Path, names: Sequence[str]) -> None:
        """Files of a folder as objects of the same names: each at once, several at a time."""
        if names:
            self._ask(lambda: self.system.put([str(folder / n) for n in names], [f"{self.root}/{n}" for n in names]))

    def download(self, folder: Path, names: Sequence[str]) -> None:
        """Objects as files of a folder, which is made. Raises UserError for a name that would lead out of it."""
        if wrong := [name for name in names if not _stays_below(name)]:
            raise UserError(f"--out {self.url}: {wrong[0]!r} is named there, which is no path inside it")
        for parent in {(folder / name).parent for name in names}:
            parent.mkdir(parents=True, exist_ok=True)
        if names:
            self._ask(lambda: self.system.get([f"{self.root}/{n}" for n in names], [str(folder / n) for n in names]))

    def delete(self, names: Sequence[str]) -> None:
        """Objects that may be gone already."""

        def remove() -> None:
            with suppress(FileNotFoundError):
                self.system.rm([f"{self.root}/{n}" for n in names])

        if names:
            self._ask(remove)

    def _ask(self, question: Callable[[], Result]) -> Result:
        try:
            return question()
        except Exception as error:  # each store has errors of its own
            raise UserError(f"--out {self.url}: the store does not do it: {type(error).__name__}: {first_line(error)}") from error


def _stays_below(name: str) -> bool:
    """Whether a file of this name, in a folder, is in the folder."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and not {"\\", "\0"} & set(name)


class StoredPlace(Place):
    """An output in a store. Its folder is scratch: files of batches only pass through."""

    def __init__(self, url: Url, storage: Storage, scratch: Path) -> None:
        super().__init__(scratch)
        self.out = url
        self.storage = storage
        self.there: dict[str, int] = {}

    @classmethod
    @contextmanager
    def opened(cls, url: Url) -> Iterator[StoredPlace]:
        """With a scratch folder where the system has temporary files (TMPDIR)."""
        storage = Storage(url)
        with tempfile.TemporaryDirectory(prefix="seediff-") as scratch:
            yield cls(url, storage, Path(scratch))

    def fetch(self, last_file: str) -> None:
        self.there = {name: size for name, size in self.storage.list().items() if name != LOCK}
        is_dataset = native.CONFIG in self.there
        for name in self.there:
            first, _, rest = name.partition("/")
            if rest:
                (self.folder / first).mkdir(exist_ok=True)
            elif not is_dataset:
                (self.folder / name).touch()  # what a foreign folder holds is not read, it is only known not to be empty
        records = [name for name in self.there if name.startswith(BATCHES + "/") and name.endswith(".json")]
        if is_dataset:
            self.storage.download(self.folder, [name for name in self.there if "/" not in name] + records)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody is kept away; that something can be written is found out."""
        self.storage.write(LOCK, f"{socket.gethostname()} {os.getpid()}".encode())
        try:
            yield
        finally:
            with suppress(UserError):
                self.storage.delete([LOCK])

    def seen_by_workers(self) -> None:
        self.storage.read(LOCK)

    def holds(self, name: str, size: int, crc: int | None) -> bool:
        return self.there.get(name) == size  # objects are whole

    def clear(self) -> None:
        # The marker last: it is what says that the others are a run's.
        self.storage.delete([name for name in self.there if name.partition("/")[0] in (*DATA, BATCHES) and name != BEGUN])
        self.storage.delete([name for name in self.there if name == BEGUN])

    def begin(self) -> None:
        self.storage.write(BEGUN, b"")

    def make_scratch(self, folders: Sequence[str]) -> None:
        batches.make_room(self.folder, folders)

    def send(self, names: Collection[str]) -> None:
        self.storage.upload(self.folder, list(names))
        for name in names:
            if name.partition("/")[0] in (*DATA, BATCHES):
                (self.folder / name).unlink()

    def lost(self, records: Sequence[BatchRecord | None]) -> list[int]:
        """As no lock keeps other runs away, one may have removed what it took for a failed run's, or begun another dataset."""
        self.there = self.storage.list()
        if native.CONFIG not in self.there or self.storage.read(native.CONFIG) != (self.folder / native.CONFIG).read_bytes():
            raise UserError(f"--out {self.out}: another run has begun another output in the same place; choose another for one of them")
        return [
            number
            for number, record in enumerate(records)
            if record and not all(self.holds(name, size, crc) for name, (size, crc) in record.files.items())
        ]

    def bring(self, names: Collection[str]) -> None:
        self.storage.download(self.folder, list(names))

    def send_finished(self, last_file: str) -> None:
        files = sorted(path.name for path in self.folder.iterdir() if path.is_file() and path.name not in (last_file, LOCK))
        self.storage.upload(self.folder, files)
        self.storage.delete([name for name in self.there if "/" not in name and name not in (*files, last_file, LOCK)])
        self.storage.upload(self.folder, [last_file])

    def clear_records(self) -> None:
        self.storage.delete([name for name in self.storage.list() if name.startswith(BATCHES + "/")])

    def told(self, text: str) -> str:
        return text.replace(str(self.folder), str(self.out))
