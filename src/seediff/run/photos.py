"""What `mask` and `segment` share: a job that reads photographs, shows them to the model, and lists those that could
not be used; and the warning that a model for drawings sees nothing in photographs."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import UNSET

from ..config.photos_config import MaskPhotosConfig, SegmentPhotosConfig
from ..config.settings import model_label
from ..dataset import native
from ..dataset.sample import Sample
from ..dataset.writing import Encoded, encode
from ..errors import UserError
from ..files.messages import plural
from ..files.outputs import CONFIG, write_atomic
from ..files.photo_files import FAILED, Photo, find_named
from ..files.reading import read_csv, read_toml
from ..models.describe import ModelInfo
from ..models.families.readers import Reader
from ..models.locate import EMBEDDED, REAL
from ..models.saving_memory import Offload
from ..rows.row import Row, failed_row, said
from .job import CapturedBatch
from .model_job import ModelJob

if TYPE_CHECKING:
    from ..models.registry import Model

PhotosConfig = TypeVar("PhotosConfig", bound=MaskPhotosConfig | SegmentPhotosConfig)
Read = TypeVar("Read")
"""A photograph as `PhotoJob.read` returns it, such as its pixels."""
Seen = TypeVar("Seen")
"""The model's view of a photograph as `PhotoJob.see` returns it, such as its attention."""


@dataclass(frozen=True)
class PhotoSpec:
    """One photograph of a run."""

    index: int
    photo: Photo
    words: tuple[str, ...]
    """The words that the model looks for in the photograph."""
    label: str | None = None
    """The name of its label map, for `k="truth"`; None if it has no label map."""


class PhotoJob(ModelJob[PhotosConfig, PhotoSpec, tuple[PhotoSpec, Seen]], Generic[PhotosConfig, Read, Seen]):
    """A job that labels photographs in three steps: `read` one, `see` all of a batch with the model, and make the
    `sample` of one."""

    left_out = "failed", FAILED
    named: str
    """What the job's words are, for messages: "Classes" or "Names"."""
    words: Sequence[str]
    """All words that the model looks for in any photograph."""

    def __init__(
        self,
        config: PhotosConfig,
        specs: Sequence[PhotoSpec],
        settings_of: Sequence[str],
        info: ModelInfo | None,
        offload: Offload,
    ) -> None:
        """specs: one per photograph. settings_of: for each photograph a text with the settings that only it has; "": it
        has the settings of all. A fingerprint of both becomes part of the configuration, so that only the same run
        continues."""
        photos = fingerprint_photos([spec.photo for spec in specs], settings_of)
        super().__init__(config.changed("the pictures", photos=photos), info, offload)
        self.specs = specs

    def items(self) -> Sequence[PhotoSpec]:
        return self.specs

    def use(self, model: Model) -> None:
        super().use(model)
        self.check_texts(model.readers)  # before any photograph is read
        if self.doubt:
            self.warn(self.doubt)

    def check_texts(self, readers: Sequence[Reader]) -> None:
        for words in dict.fromkeys(spec.words for spec in self.specs):
            self.check_words(words, readers)

    @abstractmethod
    def check_words(self, words: tuple[str, ...], readers: Sequence[Reader]) -> None:
        """Raise UserError for words that the model cannot look for. words: the words of one photograph."""

    def describe(self, verbose: bool) -> Iterator[str]:
        count = len(self.specs)
        yield f"{self.product} of {plural(count, 'photograph')} in {plural(len(self.config.batches(count)), 'batch')}"
        if self.words:
            yield f"{self.named}: {', '.join(self.words)}"
        yield from (*self.plan_lines(verbose), *filter(None, [self.doubt]))

    @cached_property
    def doubt(self) -> str:
        """A warning that the results mean nothing (`doubt_line`), or ""."""
        return doubt_line(self.info, self.config.model_label, [spec.photo.path for spec in self.specs])

    def about(self, left_out: Sequence[Row]) -> dict[str, Any]:
        about = super().about(left_out)
        if self.doubt:
            about["note"] = self.doubt
        return about

    def capture(self, batch: Sequence[PhotoSpec]) -> CapturedBatch[tuple[PhotoSpec, Seen]]:
        specs, photos, failed = list[PhotoSpec](), list[Read](), list[Row]()
        with self.timer("reading"):
            for spec in batch:
                try:
                    photos.append(self.read(spec))
                    specs.append(spec)
                except UserError as error:
                    failed.append(failed_row(spec.photo, error))
        return CapturedBatch(list(zip(specs, self.see(specs, photos), strict=True)), failed)

    @abstractmethod
    def read(self, spec: PhotoSpec) -> Read:
        """Read a photograph. Raises UserError if it cannot be used."""

    @abstractmethod
    def see(self, specs: Sequence[PhotoSpec], photos: Sequence[Read]) -> list[Seen]:
        """Show the photographs of a batch to the model. Returns what it sees: one value per photograph, for `sample`.
        specs: one per photograph. photos: what `read` returned for each."""

    def encode(self, captured: tuple[PhotoSpec, Seen]) -> Encoded:
        sample = self.sample(*captured)
        with self.timer("writing"):
            return encode(sample, self.classes)

    @abstractmethod
    def sample(self, spec: PhotoSpec, seen: Seen) -> Sample:
        """The sample that a photograph becomes."""

    def finish(self, rows: Sequence[Row], left_out: Sequence[Row], out: Path) -> None:
        if left_out:
            write_atomic(out / FAILED, native.jsonl(left_out))
        else:
            (out / FAILED).unlink(missing_ok=True)  # an earlier run may have written it
        super().finish(rows, left_out, out)


def fingerprint_photos(photos: Sequence[Photo], settings_of: Sequence[str]) -> str:
    """A text such as `12 photographs (3f2a…)`, which changes with the name, the size in bytes and the settings of any
    photograph. settings_of: as in `PhotoJob`."""
    digest = hashlib.blake2b(digest_size=6)
    for photo, settings in zip(photos, settings_of, strict=True):
        size = photo.path.stat().st_size if photo.path.is_file() else -1
        digest.update(repr((photo.name, size, settings)).encode("utf-8", "surrogateescape"))
    return f"{plural(len(photos), 'photograph')} ({digest.hexdigest()})"


def doubt_line(info: ModelInfo, label: str, pictures: Sequence[Path] = ()) -> str:
    """The warning that what this model finds in photographs means nothing; "" if there is no reason to warn. Only an
    embedded model gives a reason, such as `mini`, which knows nothing but its own drawings, and only if it did not draw
    all of the pictures. label: the model's name."""
    if not info.settings.words or (pictures and are_drawings(pictures, label)):
        return ""
    return (
        f"model '{label}' is for its own drawings: what it finds in photographs means nothing; {REAL} is a real model"
    )


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
