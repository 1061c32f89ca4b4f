"""What `mask` and `segment` share: a job that reads photographs, shows them to the model, and lists those that could
not be used; and the warning that a model for drawings sees nothing in photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from msgspec import UNSET

from ..config.photos_config import MaskPhotosConfig, SegmentPhotosConfig
from ..config.settings import model_label
from ..dataset import native
from ..errors import UserError
from ..files.messages import plural
from ..files.outputs import CONFIG, write_atomic
from ..files.photo_files import FAILED, Photo, find_named
from ..files.reading import read_csv, read_toml
from ..models.describe import ModelInfo
from ..models.locate import EMBEDDED, FOR_DRAWINGS, REAL
from ..rows.row import Row, failed_row, said
from .job import Job
from .plan import Plan

PhotosConfig = TypeVar("PhotosConfig", MaskPhotosConfig, SegmentPhotosConfig)
Read = TypeVar("Read")


@dataclass(frozen=True)
class PhotoSpec:
    """One photograph of a run."""

    index: int
    photo: Photo
    words: tuple[str, ...]
    """The words that the model looks for in the photograph."""
    label: str | None = None
    """The name of its label map, for `k="truth"`; None if it has no label map."""


def fingerprinted(config: PhotosConfig, specs: Sequence[PhotoSpec], settings_of: Sequence[str]) -> PhotosConfig:
    """The configuration with a text such as `12 photographs (3f2a…)`, which changes with the name, the size in bytes
    and the settings of any photograph, so that only the same run continues.

    Args:
        config: as the user gave it.
        specs: one per photograph.
        settings_of: for each photograph a text with the settings that only it has; "": it has the settings of all.
    """
    digest = hashlib.blake2b(digest_size=6)
    for spec, settings in zip(specs, settings_of, strict=True):
        path, size = spec.photo.path, -1
        if path.is_file():
            size = path.stat().st_size
        digest.update(repr((spec.photo.name, size, settings)).encode("utf-8", "surrogateescape"))
    photos = f"{plural(len(specs), 'photograph')} ({digest.hexdigest()})"
    return config.changed(photos=photos)


def read_each(
    specs: Sequence[PhotoSpec], read: Callable[[PhotoSpec], Read]
) -> tuple[list[PhotoSpec], list[Read], list[Row]]:
    """(specs, photos, failed): the specifications of those photographs that can be read, what `read` returned for each,
    and a row of failed.jsonl for each of the others."""
    readable, photos, failed = list[PhotoSpec](), list[Read](), list[Row]()
    for spec in specs:
        try:
            photos.append(read(spec))
            readable.append(spec)
        except UserError as error:
            failed.append(failed_row(spec.photo, error))
    return readable, photos, failed


@dataclass(frozen=True, eq=False)
class PhotoJob(Job[PhotosConfig, PhotoSpec]):
    """A job that reads photographs and shows them to its model."""

    left_out = "failed", FAILED
    named: ClassVar[str]
    """What the job's words are, for messages: "Classes" or "Names"."""

    specs: Sequence[PhotoSpec] = ()
    words: Sequence[str] = ()
    """All words that the model looks for in any photograph."""

    def items(self) -> Sequence[PhotoSpec]:
        return self.specs

    def name_of(self, item: PhotoSpec) -> str:
        return item.photo.name

    @property
    def word_lists(self) -> Sequence[tuple[str, ...]]:
        """The words of each photograph, each list once."""
        return list(dict.fromkeys(spec.words for spec in self.specs))

    def contents(self, plan: Plan) -> Iterator[str]:
        count = len(self.specs)
        yield f"{self.product} of {plural(count, 'photograph')} in {plural(len(self.config.batches(count)), 'batch')}"
        if self.words:
            yield f"{self.named}: {', '.join(self.words)}"

    @cached_property
    def doubts(self) -> Sequence[str]:
        line = doubt_line(self.found, self.config.model_label, [spec.photo.path for spec in self.specs])
        return [line] if line else []

    def about(self, left_out: Sequence[Row]) -> dict[str, Any]:
        about = super().about(left_out)
        if self.doubts:
            about["note"] = "; ".join(self.doubts)
        return about

    def finish(self, rows: Sequence[Row], left_out: Sequence[Row], out: Path) -> None:
        if left_out:
            write_atomic(out / FAILED, native.jsonl(left_out))
        else:
            (out / FAILED).unlink(missing_ok=True)  # an earlier run may have written it
        super().finish(rows, left_out, out)


def doubt_line(info: ModelInfo, label: str, pictures: Sequence[Path] = ()) -> str:
    """The warning that what this model finds in photographs means nothing; "" if there is no reason to warn. Only an
    embedded model gives a reason, such as `mini`, which knows nothing but its own drawings, and only if it did not draw
    all of the pictures. label: the model's name."""
    if not info.settings.words or (pictures and are_drawings(pictures, label)):
        return ""
    return f"model '{label}' {FOR_DRAWINGS}; {REAL} is a real model"


def are_drawings(pictures: Sequence[Path], label: str) -> bool:
    """Whether a model drew all of the pictures, according to the seediff.toml or the rows of their datasets. A picture
    outside a dataset counts as a photograph. label: the model's name."""
    names: dict[Path, set[str]] = {}  # folder of a dataset → its pictures, such as images/000012.png
    for picture in map(Path.absolute, pictures):
        folder = next((parent.parent for parent in picture.parents if parent.name == native.IMAGES), None)
        if folder is None:
            return False
        names.setdefault(folder, set()).add(picture.relative_to(folder).as_posix())
    return all(_drew(folder, in_folder, label) for folder, in_folder in names.items())


def _drew(folder: Path, names: Collection[str], label: str) -> bool:
    """Whether a model drew these pictures of a dataset. An unreadable dataset says no."""
    with suppress(UserError):
        about = read_toml(folder / CONFIG) if (folder / CONFIG).is_file() else {}
        if about.get("command") == "generate":
            return model_label(str(about.get("model"))) in alike_models(label)
        rows = {row.file_name: row for row in native.read_rows(folder)}
        return all(is_drawing(rows.get(name, Row()), label) for name in names)
    return False


def is_drawing(row: Row, label: str) -> bool:
    """Whether a model drew a picture. Only drawings have a seed. row: the picture's row. label: the model's name."""
    return row.seed is not UNSET and said(row.model) in alike_models(label)


def alike_models(label: str) -> Collection[str | None]:
    """The models whose drawings a model counts as its own: all embedded models for an embedded one. label: the model's
    name."""
    return EMBEDDED if label in EMBEDDED else (label,)


def read_classes_csv(path: Path, photos: Sequence[Photo]) -> dict[str, tuple[str, ...]]:
    """Photo name → its classes, from a table with the columns file and classes. For example, the line `a.jpg,dog;cat`
    gives the photograph a.jpg in the table's folder two classes. Classes are separated by semicolons or commas; files
    may lack their suffix. Raises UserError naming a line."""
    named = find_named(path, read_csv(path, ("file", "classes")), photos)
    lists = {photo.name: row["classes"].replace(";", ",").split(",") for photo, row in named}
    return {name: tuple(dict.fromkeys(part.strip() for part in parts if part.strip())) for name, parts in lists.items()}
