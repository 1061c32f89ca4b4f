"""What `mask`, `segment` and `predict` share: the photographs of a run, how they are read, and the classes that a table
gives them. `mask` and `segment` show them to a model (`PhotoJob`), with a warning that a model for drawings sees
nothing in photographs."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ..config.class_names import reading_key
from ..config.runs import MaskPhotosConfig, PredictConfig, SegmentPhotosConfig
from ..errors import UserError
from ..files.messages import plural
from ..files.names import FAILED
from ..files.photo_files import Photo, photo_list
from ..files.reading import composed, read_csv
from ..models.describe import ModelInfo
from ..models.saving_memory import Offload
from ..models.short_names import FOR_DRAWINGS, REAL
from ..rows.row import Row
from .job import ModelJob

PhotosConfig = TypeVar("PhotosConfig", MaskPhotosConfig, SegmentPhotosConfig, PredictConfig)
SeenConfig = TypeVar("SeenConfig", MaskPhotosConfig, SegmentPhotosConfig)
Read = TypeVar("Read")
SelfOfPhotos = TypeVar("SelfOfPhotos", bound="PhotoJob[Any]")
CLASSES_CSV = "classes.csv"


@dataclass(frozen=True)
class PhotoSpec:
    """One photograph of a run."""

    index: int
    photo: Photo
    words: tuple[str, ...]
    """The words that the model looks for in the photograph."""


def photo_specs(photos: Iterable[Photo], words: tuple[str, ...], own: Mapping[str, Sequence[str]]) -> list[PhotoSpec]:
    """The specifications of photographs. words: looked for in each. own: photo name → the words that are looked for in
    this photograph instead."""
    found = enumerate(photo_list(photos))
    return [PhotoSpec(index, photo, tuple(own.get(photo.name, words))) for index, photo in found]


def fingerprinted(config: PhotosConfig, specs: Sequence[PhotoSpec], words: tuple[str, ...]) -> PhotosConfig:
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
            photo = spec.photo
            # Without the path, because an output must not reveal where its input was
            reason = error.reason if error.subject == str(photo.path) else str(error)
            failed.append(Row(photo=photo.file_name, reason=reason))
    return readable, photos, failed


@dataclass(frozen=True, eq=False)
class PhotoJob(ModelJob[SeenConfig, PhotoSpec]):
    """A job that shows photographs to a model of `load_model`, which may look for words in them."""

    left_out_file = FAILED
    product: ClassVar[str]
    """What the model makes, for messages: "masks" or "segments"."""
    named: ClassVar[str]
    """The field of the configuration with all words that the model looks for: "classes" or "names"."""

    specs: Sequence[PhotoSpec] = ()

    @classmethod
    def of(
        cls: type[SelfOfPhotos],
        config: Any,
        photos: Iterable[Photo],
        own: Mapping[str, Sequence[str]] | None = None,
        *,
        info: ModelInfo | None = None,
        offload: Offload = "none",
    ) -> SelfOfPhotos:
        """The job for these photographs, from `find_photos`. config: as the user gave it. own: photo name → the words
        to look for in this photograph instead of all. info: the model, if it was found already. offload: as in
        `load_model`. Raises UserError for words of single photographs that the configuration lacks."""
        words = getattr(config, cls.named)
        specs = photo_specs(photos, words, own or {})
        unknown = sorted(set().union(*(spec.words for spec in specs)).difference(words))
        if unknown:
            raise UserError(f"{cls.named} of single photographs that the dataset does not have: {', '.join(unknown)}")
        return cls(fingerprinted(config, specs, words), info=info, offload=offload, specs=specs)

    def items(self) -> Sequence[PhotoSpec]:
        return self.specs

    @property
    def words(self) -> Sequence[str]:
        """All words that the model looks for in any photograph."""
        return getattr(self.config, self.named)

    @property
    def word_lists(self) -> Sequence[tuple[str, ...]]:
        """The words of each photograph, each list once."""
        return list(dict.fromkeys(spec.words for spec in self.specs))

    def contents(self) -> Iterator[str]:
        count = len(self.specs)
        yield f"{self.product} of {plural(count, 'image')} in {plural(len(self.config.batches(count)), 'batch')}"
        if self.words:
            yield f"{self.named.capitalize()}: {', '.join(self.words)}"

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
    named = _named_in(path, read_csv(path, ("file", "classes")), photos)
    lists = {photo.name: row["classes"].replace(";", ",").split(",") for photo, row in named}
    return {name: tuple(dict.fromkeys(part.strip() for part in parts if part.strip())) for name, parts in lists.items()}


def _named_in(
    path: Path, rows: Sequence[tuple[int, dict[str, str]]], photos: Sequence[Photo]
) -> Iterator[tuple[Photo, dict[str, str]]]:
    """Yields (photograph, row) for each row of a table. The column `file` names a photograph by its path in the folder,
    or else by its file's name alone.

    path: the table, for messages. rows: (line number, row). photos: all photographs. Raises UserError unless a row
    names exactly one photograph, and no two rows name the same."""
    by_path, by_name = defaultdict[str, set[Photo]](set), defaultdict[str, set[Photo]](set)
    for photo in photos:
        for name in (photo.name, photo.file_name, photo.path.as_posix()):
            by_path[composed(name)].add(photo)
        for name in (photo.path.name, photo.path.stem):
            by_name[composed(name)].add(photo)
    taken: set[Photo] = set()
    for number, row in rows:
        name = composed(row["file"].strip().replace("\\", "/"))
        matches = by_path.get(name) or by_name.get(name, set())
        where = f"{path}, line {number}"
        file = f"file '{row['file']}'"
        if len(matches) != 1:
            raise UserError(where, f"{file} is the name of {len(matches)} photographs given")
        (photo,) = matches
        if photo in taken:
            raise UserError(where, f"{file} appears twice")
        taken.add(photo)
        yield photo, row


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
    tables = [*filter(Path.is_file, (path / CLASSES_CSV for path in paths))]
    table = _find_table(tables, given)
    unread = [other for other in tables if table is None or not other.samefile(table)]
    if table is None:
        return ListedClasses(unread=unread)
    listed = ListedClasses(table, read_classes_csv(table, photos), unread)
    if not listed.classes:
        raise UserError(table, "lists no class for any photograph", "write names into its column 'classes'")
    return listed


def _find_table(tables: Sequence[Path], classes: Sequence[str]) -> Path | None:
    """The table with the classes of each photograph: the one that --classes names, or without --classes the one in the
    photographs' folders; None without a table. tables: those in the folders. classes: what was typed. Raises UserError
    for a table together with names, and for several tables."""
    for name in classes:
        if name.lower().endswith(".csv"):
            if len(classes) > 1:
                problem = f"{name} is a table, which cannot be combined with class names"
                raise UserError("classes", problem, "give one of the two")
            return Path(name)
    if classes:
        return None
    if len(tables) > 1:
        raise UserError(f"{tables[0]} and {tables[1]}: only one table of classes can be used: name it with --classes")
    return tables[0] if tables else None
