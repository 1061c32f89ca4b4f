"""What `mask`, `segment` and `predict` share: a job that reads photographs, and lists those that could not be used
(`PhotoJob`). `mask` and `segment` show them to a model (`SeenPhotoJob`), with a warning that a model for drawings sees
nothing in photographs."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import ClassVar, TypeVar

from ..config.class_names import reading_key
from ..config.runs import MaskPhotosConfig, PredictConfig, SegmentPhotosConfig
from ..errors import UserError
from ..files.messages import plural
from ..files.photo_files import Photo, find_named
from ..files.reading import read_csv
from ..models.describe import ModelInfo
from ..models.short_names import FOR_DRAWINGS, REAL
from ..rows.row import FAILED, Row, failed_row
from .job import Job, ModelJob

PhotosConfig = TypeVar("PhotosConfig", MaskPhotosConfig, SegmentPhotosConfig, PredictConfig)
SeenConfig = TypeVar("SeenConfig", MaskPhotosConfig, SegmentPhotosConfig)
Read = TypeVar("Read")
CLASSES_CSV = "classes.csv"


@dataclass(frozen=True)
class PhotoSpec:
    """One photograph of a run."""

    index: int
    photo: Photo
    words: tuple[str, ...]
    """The words that the model looks for in the photograph."""


def fingerprinted(config: PhotosConfig, specs: Sequence[PhotoSpec], words: tuple[str, ...] = ()) -> PhotosConfig:
    """The configuration with a text such as `12 photographs (3f2a…)`, which changes with the name, the size in bytes
    and the own words of any photograph, so that only the same run continues. config: as the user gave it. specs: one
    per photograph. words: of the configuration; a photograph has its own if they are others."""
    digest = hashlib.blake2b(digest_size=6)
    for spec in specs:
        path = spec.photo.path
        own = ""
        if spec.words != words:
            own = repr(spec.words)
        size = -1
        if path.is_file():
            size = path.stat().st_size
        digest.update(repr((spec.photo.name, size, own)).encode("utf-8", "surrogateescape"))
    photos = f"{plural(len(specs), 'photograph')} ({digest.hexdigest()})"
    return replace(config, photos=photos)


def read_each(
    specs: Sequence[PhotoSpec], read: Callable[[PhotoSpec], Read]
) -> tuple[list[PhotoSpec], list[Read], list[Row]]:
    """(specs, photos, failed): the specifications of those photographs that can be read, what `read` returned for each,
    and a row of failed.jsonl for each of the others."""
    readable = list[PhotoSpec]()
    photos = list[Read]()
    failed = list[Row]()
    for spec in specs:
        try:
            photos.append(read(spec))
            readable.append(spec)
        except UserError as error:
            failed.append(failed_row(spec.photo, error))
    return readable, photos, failed


@dataclass(frozen=True, eq=False)
class PhotoJob(Job[PhotosConfig, PhotoSpec]):
    """A job that reads photographs."""

    left_out_file = FAILED

    specs: Sequence[PhotoSpec] = ()

    def items(self) -> Sequence[PhotoSpec]:
        return self.specs

    def name_of(self, item: PhotoSpec) -> str:
        return item.photo.name


@dataclass(frozen=True, eq=False)
class SeenPhotoJob(PhotoJob[SeenConfig], ModelJob[SeenConfig, PhotoSpec]):
    """A `PhotoJob` that shows photographs to a model of `load_model`, which may look for words in them."""

    product: ClassVar[str]
    """What the model makes, for messages: "masks" or "segments"."""
    named: ClassVar[str]
    """What the job's words are, for messages: "Classes" or "Names"."""

    @property
    @abstractmethod
    def words(self) -> Sequence[str]:
        """All words that the model looks for in any photograph."""

    @property
    def word_lists(self) -> Sequence[tuple[str, ...]]:
        """The words of each photograph, each list once."""
        return list(dict.fromkeys(spec.words for spec in self.specs))

    def contents(self) -> Iterator[str]:
        count = len(self.specs)
        yield f"{self.product} of {plural(count, 'image')} in {plural(len(self.config.batches(count)), 'batch')}"
        if self.words:
            yield f"{self.named}: {', '.join(self.words)}"

    @cached_property
    def doubts(self) -> Sequence[str]:
        line = doubt_line(self.model_info, self.config.model_label)
        return [line] if line else []


def doubt_line(info: ModelInfo, label: str) -> str:
    """The warning that what this model finds in photographs means nothing; "" if there is no reason to warn. Only an
    embedded model gives a reason, such as `mini`, which knows nothing but its own drawings. label: the model's name."""
    return f"model '{label}' {FOR_DRAWINGS}; {REAL} is a real model" if info.settings.words else ""


def read_classes_csv(path: Path, photos: Sequence[Photo]) -> dict[str, tuple[str, ...]]:
    """Photo name → its classes, from a table with the columns file and classes. For example, the line `a.jpg,dog;cat`
    gives the photograph a.jpg in the table's folder two classes. Classes are separated by semicolons or commas; files
    may lack their suffix. Raises UserError naming a line."""
    named = find_named(path, read_csv(path, ("file", "classes")), photos)
    lists = {photo.name: row["classes"].replace(";", ",").split(",") for photo, row in named}
    return {name: tuple(dict.fromkeys(part.strip() for part in parts if part.strip())) for name, parts in lists.items()}


@dataclass(frozen=True)
class ListedClasses:
    """What the table classes.csv says about the photographs of a run."""

    table: Path | None = None
    """The table; None: all photographs have the same classes."""
    of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Photo name → its classes, for the photographs in the table."""
    unread: Sequence[Path] = ()
    """Tables in the photographs' folders that do not count, because classes are given."""

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes of the table, each once."""
        return tuple(dict.fromkeys(chain.from_iterable(self.of.values())))

    def spelled(self, classes: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """`of` with its classes spelled as in `classes`, a configuration's."""
        known = {reading_key(name): name for name in classes}
        return {photo: tuple(known.get(reading_key(name), name) for name in names) for photo, names in self.of.items()}

    def notes(self, photos: int) -> list[str]:
        """What to say about the table; [] without one. photos: the number of all photographs."""
        if self.table is None:
            return []
        notes = [f"classes are from {self.table}, which has a line for {len(self.of)} of {photos} photographs"]
        if len(self.of) < photos:
            notes.append("the others are searched for all classes")
        return notes


def list_classes(paths: Sequence[Path], photos: Sequence[Photo], given: Sequence[str]) -> ListedClasses:
    """The classes that a table gives to photographs. paths: the photographs and their folders. given: the classes that
    somebody gave, or the path of a table. Raises UserError."""
    table = _find_table(paths, given)
    tables = filter(Path.is_file, (path / CLASSES_CSV for path in paths))
    unread = [other for other in tables if table is None or not other.samefile(table)]
    if table is None:
        return ListedClasses(unread=unread)
    listed = ListedClasses(table, read_classes_csv(table, photos), unread)
    if not listed.classes:
        raise UserError(table, "lists no class for any photograph", "write names into its column 'classes'")
    return listed


def _find_table(paths: Sequence[Path], classes: Sequence[str]) -> Path | None:
    """The table with the classes of each photograph: the one that --classes names, or without --classes a classes.csv
    in one of the folders; None without a table. paths: the photographs and their folders. classes: what was typed.
    Raises UserError for a table together with names, and for several tables."""
    for name in classes:
        if name.lower().endswith(".csv"):
            if len(classes) > 1:
                problem = f"{name} is a table, which cannot be combined with class names"
                raise UserError("classes", problem, "give one of the two")
            return Path(name)
    if classes:
        return None
    tables = [path / CLASSES_CSV for path in paths if (path / CLASSES_CSV).is_file()]
    if len(tables) > 1:
        raise UserError(f"{tables[0]} and {tables[1]}: only one table of classes can be used: name it with --classes")
    return tables[0] if tables else None
