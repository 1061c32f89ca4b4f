"""The drivers of every format: one writes a set, one reads one. Names, splits, workers, links and notes are theirs; a codec does the rest.

A codec's `write(export, **options)` asks for the samples, each with what its own `encode` made of it, and puts files into a folder that
appears when it is complete. Its `read(source, **options)` gives the classes and the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from ...errors import UserError
from ...files.messages import shown
from ...files.orientation import orientation_of, turned_back
from ...files.output_folders import put, staged
from ...files.reading import leads_out, path_inside
from ...workers import in_order
from ..encoding import Instances
from ..rows import check_class_list, check_name, flat_name
from ..sample import SPLITS, Sample, picture_size
from ..split import assign_splits
from .known import FORMATS, FormatName, SourceName, codec

CHUNK = 8
"""Samples that go to another process together: one takes a millisecond or two."""

WITH_OBJECTS: tuple[FormatName, ...] = ("coco", "yolo", "labelstudio")
"""Formats that have the objects of samples; those with an option `objects` may have them."""

Follow = Callable[[Sequence[Any]], Iterable[Any]]
"""Wraps samples, to show progress."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote. samples: how many. files: of all kinds. notes: a line each on what was lost on the way."""

    samples: int
    files: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placed:
    """A sample, its name and split in the format, and `data`: what the codec's `encode` made of it."""

    name: str
    split: str
    sample: Sample
    data: Any

    @property
    def file_name(self) -> str:
        return f"{self.name}.{self.sample.suffix}"


@dataclass
class Export:
    """A set on its way into a format, in the folder `folder`. splits: of each sample, in their order. share: for validation, if one was
    asked for."""

    folder: Path
    classes: tuple[str, ...]
    samples: Sequence[Sample]
    names: Sequence[str]
    splits: Sequence[str]
    share: float | None
    stack: ExitStack
    link: bool = False
    workers: int = 1
    follow: Follow = iter
    files: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def parts(self) -> list[str]:
        """The splits in use, in the order of SPLITS."""
        return [split for split in SPLITS if split in self.splits]

    def placed(self, encode: Callable[..., Any], *, key: Callable[[str, str], Any] | None = None, **options: Any) -> Iterator[Placed]:
        """The samples in their order, or sorted by `key(name, split)`, each with `encode(sample, classes=…, **options)`, a function of a
        module that may run in another process. Raises UserError naming the sample that cannot be used."""
        work = self.stack.enter_context(in_order(partial(encode, classes=self.classes, **options), self.workers, chunk=CHUNK))
        rows = list(zip(self.names, self.splits, self.samples, strict=True))
        if key is not None:
            rows.sort(key=lambda row: key(row[0], row[1]))
        taken: set[str] = set()
        for (name, split, sample), data in zip(self.follow(rows), work(row[2] for row in rows), strict=True):
            check_name(name, taken)
            yield Placed(name, split, sample, data)

    def put(self, path: str, data: bytes | str) -> None:
        """Write a file; text as UTF-8. path: in the folder."""
        put(self.folder / path, data.encode("utf-8") if isinstance(data, str) else data)
        self.files += 1

    def put_image(self, path: str, placed: Placed) -> None:
        """Copy the sample's picture byte by byte, or link it."""
        placed.sample.put_image(self.folder / path, link=self.link)
        self.files += 1

    def note(self, line: str) -> None:
        """Say what was lost on the way."""
        self.notes.append(line)


def export(
    name: FormatName,
    classes: Sequence[str],
    samples: Iterable[Sample],
    out: Path | str,
    *,
    split: float | None = None,
    seed: int = 0,
    link: bool = False,
    workers: int = 1,
    follow: Follow = iter,
    **options: Any,
) -> Exported:
    """Write samples in a format; what its own options are, `Dataset.as_NAME` says. `out` appears only when everything is in it.

    split: the share of samples for validation, in [0, 1]; None: as rows say, else all train. seed: another seed, another choice of them.
    link: hard links to pictures instead of copies. workers: processes that look at the samples; for several, these must be picklable, and
    a script needs the usual `if __name__ == "__main__"`. The bytes are the same. Raises UserError naming the sample that cannot be used.
    """
    check_class_list(classes)
    samples = list(samples)
    names = [flat_name(sample.name) if FORMATS[name].flat else sample.name for sample in samples]
    splits = assign_splits(names, [sample.metadata for sample in samples], split, seed)
    with staged(out) as folder, ExitStack() as stack:
        export = Export(folder, tuple(classes), samples, names, splits, split, stack, link, workers, follow)
        codec(name).write(export, **options)
    if (told := sum(sample.stored_instances is not None for sample in samples)) and not (name in WITH_OBJECTS or options.get("objects")):
        export.note(f"objects of {told} samples are left out" + ("; --objects writes them" if "objects" in options else ""))
    return Exported(len(samples), export.files, tuple(export.notes))


class NoPicture(UserError):
    """Labels whose picture is not there."""


@dataclass
class Source:
    """What is read: a folder, or a file. skip_missing: labels without a picture are left out. notes: a line each on what is left out.
    taken: names of samples. missing: pictures that are not there. turned: pictures that EXIF data turn."""

    path: Path
    skip_missing: bool = False
    notes: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    missing: int = 0
    turned: int = 0

    def note(self, line: str) -> None:
        """Say what is left out."""
        self.notes.append(line)

    def no_picture(self, where: object, problem: str) -> None:
        """Count labels without a picture. Raises NoPicture where those are not to be left out."""
        if not self.skip_missing:
            raise NoPicture(where, problem, "--images names the folder of the pictures, and --skip-missing leaves out labels without one")
        self.missing += 1

    def picture(self, folders: Sequence[Path], names: Sequence[str], key: str, where: str) -> tuple[Path, str] | None:
        """The picture of the first of these names that is in one of the folders, and that name; None where it is left out. key: what gives
        the name in the file that is read. Raises UserError, also for a name that leads out of its folder."""
        names = [portable(name) for name in names]
        if at := self.found(folders, names, key, where):
            return at
        tried = [folder for folder in folders if folder.is_dir()] or folders
        self.no_picture(where, f"there is no picture {shown(names[0] if names else '')} in {tried[0]}")
        return None

    def found(self, folders: Sequence[Path], names: Sequence[str], key: str, where: str) -> tuple[Path, str] | None:
        """The same; None where it is not there."""
        tried = ((path_inside(folder, {key: name}, key, where), name) for folder in folders for name in names)
        return next(((path, name) for path, name in tried if path.is_file()), None)

    def sample(
        self,
        name: str,
        image: Path | bytes,
        labels: Callable[[], np.ndarray],
        row: Mapping[str, Any],
        where: object,
        *files: Path,
        shown: bool = False,
    ) -> Sample:
        """A sample whose name must be new and no path out of a dataset. files: must lie inside of what is read. where: how errors call the
        sample. shown: as in `as_stored`. Raises UserError."""
        check_name(name, self.taken, where)
        for file in files:
            if leads_out(self.path, file):
                raise UserError(file, f"is a link that leads out of {self.path}; what is outside of it is not read")
        (labels,) = self.as_stored(image, where, labels, shown=shown)
        return Sample(image, labels, metadata=row, name=name)

    def painted(
        self,
        name: str,
        image: Path | bytes,
        paint: Callable[[], Instances],
        row: Mapping[str, Any],
        where: object,
        objects: bool | Callable[[], Instances] = True,
        *,
        shown: bool = False,
    ) -> Sample:
        """The same of shapes, which `paint` gives as they are seen. objects: each shape is an object; False: only its class is read; or
        what gives the objects."""
        check_name(name, self.taken, where)
        paint, *others = self.as_stored(image, where, paint, *([objects] if callable(objects) else []), shown=shown)
        labels, instances = seen(paint)
        if others:
            _, instances = seen(others[0])
        return Sample(image, labels, instances if objects else None, row, name=name)

    def as_stored(self, image: Path | bytes, where: object, *reads: Callable[[], Any], shown: bool) -> tuple[Callable[[], Any], ...]:
        """What reads the label map or Instances of a picture as it is stored, as all of ours are. shown: the format's tool draws on the
        picture as its EXIF orientation turns it; the labels' size says so too, but of a square picture, or one that is mirrored or upside
        down."""
        turn = orientation_of(image, str(where) if isinstance(image, bytes) else None)
        if not 2 <= turn <= 8:
            return reads
        self.turned += 1
        return tuple(partial(_turned_back, read, image, turn, shown, str(where)) for read in reads)


def _turned_back(
    read: Callable[[], np.ndarray | Instances], image: Path | bytes, turn: int, shown: bool, where: str
) -> np.ndarray | Instances:
    drawn, size = read(), picture_size(image, where if isinstance(image, bytes) else None)
    pixels = drawn.numbers if isinstance(drawn, Instances) else drawn
    turned = size[::-1] if turn >= 5 else size
    if pixels.shape != turned:  # drawn on the stored picture; what is of another size is refused later
        return drawn
    if turned == size and not shown:
        problem = f"has the EXIF orientation {turn}, and its size does not say whether its labels are of the turned picture"
        raise UserError(image if isinstance(image, Path) else where, problem, "save the picture without an orientation")
    back = turned_back(pixels, turn)
    return replace(drawn, numbers=back) if isinstance(drawn, Instances) else back


def seen(paint: Callable[[], Instances]) -> tuple[Callable[[], np.ndarray], Callable[[], Instances]]:
    """What reads the label map of painted shapes, and their objects."""
    return partial(_labels, paint), partial(_objects, paint)


@lru_cache(maxsize=1)
def _painted(paint: Callable[[], Instances]) -> Instances:
    return paint()  # once for a sample's label map and its objects


def _labels(paint: Callable[[], Instances]) -> np.ndarray:
    return _painted(paint).label_map()


def _objects(paint: Callable[[], Instances]) -> Instances:
    return _painted(paint).seen()


def portable(name: str) -> str:
    """A picture's path as Windows may have written it, with / between; of a whole path there, which is another machine's, the last part."""
    if "\\" not in name:
        return name
    path = PureWindowsPath(name)
    return path.name if path.anchor else path.as_posix()


def read_format(
    name: SourceName, path: Path | str, *, skip_missing: bool = False, **options: Any
) -> tuple[tuple[str, ...], Iterable[Sample], list[str]]:
    """Classes, without the background, the samples, and a line each on what is left out. Samples of parquet and WebDataset are read as they
    are asked for. skip_missing: leave out labels whose picture is not there. options: those of `Dataset.from_NAME` that are not None."""
    source = Source(Path(path), skip_missing)
    classes, samples = codec(name).read(source, **{key: value for key, value in options.items() if value is not None})
    if isinstance(samples, Sequence):
        return classes, list(_counted(source, samples)), source.notes
    return classes, _counted(source, samples), source.notes


def _counted(source: Source, samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples, and then notes of those that were left out on the way, and of those that are turned."""
    yield from samples
    if source.turned:
        several = "pictures have" if source.turned > 1 else "picture has"
        source.note(f"{source.turned} {several} an EXIF orientation: written as stored, with labels of the turned picture turned back")
    if source.missing:
        source.note(f"labels whose picture is not there, left out: {source.missing}")
