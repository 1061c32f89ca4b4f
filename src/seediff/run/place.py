"""Where an output goes: a folder of the file system, or objects in a store (storage.py) with a scratch folder in front of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ..config.base import Config
from ..dataset import batches as run_folder
from ..dataset.batches import BatchRecord
from ..errors import UserError
from ..files.addresses import Out, Url, parse_out
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
        return run_folder.open_run(self.folder)

    def seen_by_workers(self) -> None:
        """Raise UserError when a process on another machine, which calls this during a run, does not see the same output."""
        if not (self.folder / LOCK).exists():
            raise UserError(
                f"--out {self.out}: this folder is not the same on all machines of the cluster; name one of a shared file system, "
                "or a store such as s3://bucket/name"
            )

    def read_record(self, number: int) -> BatchRecord | None:
        """As `run_folder.read_record`."""
        return run_folder.read_record(self.folder, number)

    def discard_unfinished(self) -> None:
        """As `run_folder.discard_unfinished`."""
        run_folder.discard_unfinished(self.folder)

    def make_room(self, folders: Sequence[str]) -> None:
        """As `run_folder.make_room`."""
        run_folder.make_room(self.folder, folders)

    def make_scratch(self, folders: Sequence[str]) -> None:
        """In a worker's process: make the folders to write to, where that is not done by `make_room`."""

    def send(self, names: Collection[str]) -> None:
        """Have files, written to the folder, in the output. They may be gone from the folder then."""

    def lost(self, records: Sequence[BatchRecord | None]) -> list[int]:
        """Batches whose files vanished from the output since they were sent: there are none where runs are kept apart by a lock."""
        return []

    def bring(self, names: Collection[str]) -> None:
        """Have files of the output in the folder."""

    def send_finished(self, last_file: str) -> None:
        """Have the files about the whole output, written to the folder, in the output, `last_file` after all others."""

    def remove_records(self) -> None:
        """As `run_folder.remove_records`."""
        run_folder.remove_records(self.folder)

    def told(self, text: str) -> str:
        """A text about the folder as one about the output."""
        return text


@contextmanager
def open_place(out: Out | str) -> Iterator[Place]:
    """The place that a user means by a path, or by a URL such as s3://bucket/name. Raises UserError, also for what happens within."""
    from .storage import StoredPlace

    out = parse_out(out)
    if not isinstance(out, Url):
        yield Place(out)
        return
    with StoredPlace.opened(out) as place:
        try:
            yield place
        except UserError as error:
            raise UserError(place.told(str(error))) from error


def describe_at(out: Out, config: Config, describe: Callable[[Config, Path], str]) -> str:
    """What describe(configuration, folder) says of an output, for --dry-run."""
    with open_place(out) as place:
        place.fetch(config.last_file)
        return place.told(describe(config, place.folder))
