"""The driver of every import: names, links and notes. A codec's `read(source, **options)` gives the classes and the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...files.messages import shown
from ...files.reading import leads_out, path_inside
from ..rows import check_name
from ..sample import Sample
from .known import FormatName, codec


@dataclass
class Source:
    """What is read: a folder, or a file. notes: a line each on what is left out. taken: names of samples."""

    path: Path
    notes: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def note(self, line: str) -> None:
        """Say what is left out."""
        self.notes.append(line)

    def sample(
        self, name: str, image: Path | bytes, labels: Callable[[], np.ndarray], row: Mapping[str, Any], where: object, *files: Path
    ) -> Sample:
        """A sample whose name must be new and no path out of a dataset. files: must lie inside of what is read. where: how errors call the
        sample. Raises UserError."""
        check_name(name, self.taken, where)
        for file in files:
            if leads_out(self.path, file):
                raise UserError(file, f"is a link that leads out of {self.path}; what is outside of it is not read")
        return Sample(image, labels, metadata=row, name=name)


def find_picture(folders: Sequence[Path], names: Sequence[str], key: str, where: str) -> tuple[Path, str]:
    """The picture of the first of these names that is in one of the folders, and that name. key: what gives the name in the file that is
    read. Raises UserError, also for a name that leads out of its folder."""
    for folder in folders:
        for name in names:
            if (path := path_inside(folder, {key: name}, key, where)).is_file():
                return path, name
    tried = [folder for folder in folders if folder.is_dir()] or folders
    raise UserError(f"{where}: there is no picture {shown(names[0] if names else '')} in {tried[0]}; --images names another folder")


def read_format(name: FormatName, path: Path | str, **options: Any) -> tuple[tuple[str, ...], Iterable[Sample], list[str]]:
    """Classes, without the background, the samples, and a line each on what is left out. Samples of parquet and WebDataset are read as they
    are asked for. options: those of `Dataset.from_NAME` that are not None."""
    source = Source(Path(path))
    classes, samples = codec(name).read(source, **{key: value for key, value in options.items() if value is not None})
    return classes, samples, source.notes
