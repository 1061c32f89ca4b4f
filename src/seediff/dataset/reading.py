"""`Reading`: how a set was understood, for people who want to see what an import has guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..config.class_names import BACKGROUND
from ..files.label_maps import IGNORE
from ..files.messages import Notes, first_of, plural
from ..rows.values import ids_by_name
from .sample import Sample

READING = "reading.json"
"""The file in an imported set that holds its whole reading."""
IGNORED_PIXELS = f"ignored ({IGNORE})"
"""The name of the row for ignored pixels."""
NO_PART = "no part"
"""The name of the part of pictures for which nothing names one."""
LOST = (
    "shape without a pixel: outside of the image, without area, or covered",
    "pixel only in boxes: ignored (255)",
    "image with an EXIF orientation: written as stored, with labels of the turned image turned back",
    "image with an EXIF orientation: written as stored, with labels of the stored size, which were not turned",
)
"""Lines about what `Sample.lost` counts."""


@dataclass
class Tally:
    """Counts the pictures and pixels of each id while label maps are read."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros((2, 256), np.int64))
    """(2, 256): the number of pictures that show each id, and the number of its pixels."""
    lost: dict[str, Sequence[int]] = field(default_factory=dict)
    """Name of a sample → how often each line of LOST is true of it; of the samples of which one is."""
    seen: set[str] = field(default_factory=set)
    """Names of the watched samples that were counted."""

    def add(self, pixels: np.ndarray, name: str = "", lost: Sequence[int] = ()) -> None:
        """Counts a label map. pixels: (256,), the number of its pixels of each id. name, lost: as in `Sample`."""
        self.counts += pixels > 0, pixels
        if any(lost):
            self.lost[name] = lost

    def watch(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The samples, with label maps that are counted when they are read for the first time."""
        return (sample.read_by(partial(self._read, sample)) for sample in samples)

    def _read(self, sample: Sample) -> np.ndarray:
        labels = sample.raw_labels()
        if sample.name not in self.seen and labels.dtype == np.uint8:  # other labels are refused later
            self.seen.add(sample.name)
            self.add(np.bincount(labels.ravel(), minlength=256), sample.name, sample.lost())
        return labels


@dataclass(frozen=True)
class ClassReading:
    """How a class was understood."""

    values: str
    """The ids or colours in the files that mean the class, such as `7, 9` or `#800000`; "" if the files have names."""
    name: str
    images: int = 0
    """Number of images that show the class."""
    pixels: int = 0

    @property
    def line(self) -> str:
        """For example, `1 → dog: images 2, pixels 40`."""
        name = " → ".join(filter(None, (self.values, self.name)))
        return f"{name}: images {self.images}, pixels {self.pixels}"


@dataclass(frozen=True)
class Reading:
    """How a set was understood."""

    listed: str = ""
    """Where the classes are named, such as `pets/classes.txt`."""
    classes: Sequence[ClassReading] = ()
    """The background, the classes in the order of their ids, and IGNORED_PIXELS."""
    left_out: Sequence[str] = ()
    """What was left out or is odd, counted: a line for each kind."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Part → number of its pictures."""
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Line about what was left out → the names of all images that it counts."""

    def counted(self, names: Sequence[str], tally: Tally, left_out: Sequence[str], path: Path | None) -> Reading:
        """The reading with what was counted. names: the classes of ids 1, 2, … in the tally. left_out: lines to add.
        path: the set, for `without_folder`."""
        ids = reading_ids(names)
        counts = tally.counts.T.tolist()
        rows = [ClassReading(row.values, row.name, *counts[ids[row.name]]) for row in self.classes]
        said = Notes(notes=[*left_out], named={**self.named})
        for position, line in enumerate(LOST):
            lost = {name: counted[position] for name, counted in tally.lost.items() if counted[position]}
            said.count(sum(lost.values()), line, lost)
        lines = [without_folder(line, path) for line in said.notes]
        named = {without_folder(line, path): names for line, names in said.named.items()}
        return replace(self, listed=without_folder(self.listed, path), classes=rows, left_out=lines, named=named)

    def renamed(self, names: Mapping[str, str]) -> Reading:
        """The reading, without counts, after classes got other names. names: class → its new name, or ""."""
        values = dict[str, list[str]]()
        for row in self.classes:
            values.setdefault(names.get(row.name, row.name), []).append(row.values)
        rows = [ClassReading(", ".join(filter(None, each)), name) for name, each in values.items() if name]
        return replace(self, classes=rows)

    def lines(self, limit: int | None = None) -> list[str]:
        """What is odd, the parts, and a line for each class. limit: the maximum number of lines; None: all lines."""
        classes = [row for row in self.classes if row.name not in (BACKGROUND, IGNORED_PIXELS)]
        unseen = [row.name for row in classes if not row.pixels]
        lines = [f"note: {line}" for line in self.left_out]
        if unseen:
            of_all = f"{len(unseen)} of {plural(len(classes), 'class')}"
            lines.append(f"note: no mask that was read shows {of_all}: {first_of(unseen)}")
        if self.listed:
            lines.append(f"classes: {self.listed}")
        if self.parts.keys() - {NO_PART}:
            lines.append(f"parts: {first_of(f'{part} {count}' for part, count in self.parts.items())}")
        lines += [row.line for row in self.classes if row.pixels or row in classes]
        if limit is None or len(lines) <= limit:
            return lines
        more = len(lines) - limit + 1
        return [*lines[: limit - 1], f"… {more} more lines; `import` keeps all in {READING}"]


def reading_ids(classes: Sequence[str]) -> dict[str, int]:
    """Name of a row → its id, in the order of the rows. classes: the names of ids 1, 2, …"""
    return {BACKGROUND: 0, **ids_by_name(classes), IGNORED_PIXELS: IGNORE}


def without_folder(text: str, path: Path | None) -> str:
    """A text in which absolute paths begin with the last part of `path`, the set's folder or file."""
    if path is None:
        return text
    return text.replace(f"{path.absolute().parent}/", "")
