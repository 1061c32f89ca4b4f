"""Where an output goes: a folder of the file system, or objects in a store (storage.py) with a scratch folder in front of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ..dataset import batches
from ..dataset.batches import BatchRecord
from ..errors import UserError
from ..files.addresses import Out
from ..files.locking import LOCK


class Place:
    """An output in a folder: jobs write their files to where they stay, and there is nothing to send.

    out: as the user named it. folder: where jobs write, and where what says how far a run came is read.
    """

    def __init__(self, folder: Path) -> None:
        self.out: Out = folder
        self.folder = folder

    def fetch(self, last_file: str) -> None:
        """Have in the folder what says how far earlier runs came, and what they finished with. Writes nothing to the output."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep other runs away meanwhile. Raises UserError when one is at work, or when nothing can be written."""
        return batches.open_run(self.folder)

    def seen_by_workers(self) -> None:
        """Raise UserError when a process on another machine, which calls this during a run, does not see the same output."""
        if not (self.folder / LOCK).exists():
            raise UserError(
                f"--out {self.out}: this folder is not the same on all machines of the cluster; name one of a shared file system, "
                "or a store such as s3://bucket/name"
            )

    def holds(self, name: str, size: int, crc: int | None) -> bool:
        """Whether the output has a whole file of this name, size and CRC-32."""
        return batches.holds(self.folder, name, size, crc)

    def clear(self) -> None:
        """Have nothing in the output of a run that is not to be continued, once it is gone from the folder."""

    def begin(self) -> None:
        """Have the place of the records in the output, once it is in the folder."""

    def make_scratch(self, folders: Sequence[str]) -> None:
        """In a worker's process: make the folders to write to, where they are not those of the process that began the run."""

    def send(self, names: Collection[str]) -> None:
        """Have files, written to the folder, in the output. They may be gone from the folder then."""

    def lost(self, records: Sequence[BatchRecord | None]) -> list[int]:
        """Batches whose files vanished from the output since they were sent: there are none where runs are kept apart by a lock."""
        return []

    def bring(self, names: Collection[str]) -> None:
        """Have files of the output in the folder."""

    def send_finished(self, last_file: str) -> None:
        """Have the files about the whole output, written to the folder, in the output, `last_file` after all others."""

    def clear_records(self) -> None:
        """Have no records in the output, once they are gone from the folder."""

    def told(self, text: str) -> str:
        """A text about the folder as one about the output."""
        return text
