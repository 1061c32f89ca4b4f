"""Writes and reads a dataset in any format: what all formats have in common, such as names, splits, workers, links and
notes.

A format's own part is its codec, the module with its name. Its `write(export, **options)` puts files into an `Export`.
Its `read(source, **options)` turns an `Import` into `Contents`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, product
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from ...config.class_names import IGNORED
from ...errors import UserError
from ...files.image_files import orientation_of
from ...files.label_maps import IGNORE, voc_palette
from ...files.messages import plural, show_json
from ...files.output_folders import check_free, stage_output
from ...files.outputs import put
from ...files.photo_files import without_suffix
from ...files.reading import check_unpacked, inside
from ...workers import Follow, in_order
from ..class_lists import check_meaning
from ..encoding import ReadLabels, ReadObjects
from ..native import CHUNK
from ..parts import SPLITS, part_of, row_splits
from ..reading import first_of
from ..rows import check_name, flat_name
from ..sample import Sample, nothing_lost
from ..shapes.objects import Objects
from ..split import assign_splits
from .format_table import FORMATS, Contents, FormatName, SourceName, codec
from .painting import Painted
from .pictures import (
    IMAGE_SUFFIXES,
    PictureFinder,
    ends_of,
    of_another_kind,
    portable,
    stored_labels,
    stored_objects,
    unique_names,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Exported:
    """What an export has written."""

    samples: int
    """Number of samples."""
    files: int
    """Number of files of all kinds."""
    notes: tuple[str, ...]
    """Lines for the user about what the format cannot hold."""
    splits: Mapping[str, int]
    """Split → number of samples."""


@dataclass(frozen=True)
class Placed:
    """A sample that is ready to be written: with its name and split in the format, and encoded by the codec."""

    name: str
    split: str
    sample: Sample
    height: int
    width: int
    encoded: Any
    """What the codec's `encode` returned for the sample."""

    @property
    def file_name(self) -> str:
        """The name of the picture's file, such as "a.jpg"."""
        return f"{self.name}.{self.sample.suffix}"

    @property
    def picture(self) -> Path | bytes:
        """The picture's file, or its bytes: see `Sample.picture`."""
        return self.sample.picture()


@dataclass(kw_only=True)
class Notes:
    """Collects lines for the user about what is lost or left out."""

    notes: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Adds a line."""
        self.notes.append(line)

    def count(self, number: int, line: str) -> None:
        """Adds the line "NUMBER LINE", unless the number is 0."""
        if number:
            self.note(f"{number} {line}")

    def not_drawn(self, boxed: Sequence[str], lines: Sequence[str]) -> None:
        """Adds lines with the numbers of shapes that are not masks. boxed: the shapes of which the box around them was
        painted, each as kind and class, such as "cuboid car". lines: the shapes that were left out, such as "polyline
        lane"."""
        around = "shapes are not masks; pixels in the boxes around them but in no mask are ignored (255)"
        for shapes, line in ((boxed, around), (lines, "shapes are no masks and are left out")):
            self.count(len(shapes), f"{line}, such as {', '.join(sorted({*shapes})[:8])}")


@dataclass
class Export(Notes):
    """A dataset that is being written to a folder."""

    folder: Path
    classes: tuple[str, ...]
    samples: Sequence[Sample]
    names: Sequence[str]
    """The name that each sample gets."""
    splits: Sequence[str]
    """The split that each sample gets, one of SPLITS."""
    stack: ExitStack
    """Closes the worker processes when the export ends."""
    link: bool
    """Whether pictures become hard links instead of copies."""
    workers: int
    follow: Follow
    """Wraps the samples, to show a progress bar."""
    files: int = 0
    """Number of files so far."""

    @property
    def parts(self) -> list[str]:
        """The splits with samples, in the order of SPLITS."""
        return [split for split in SPLITS if split in self.splits]

    @property
    def labels(self) -> dict[int, str]:
        """Id → label: the classes, and "ignore" for 255."""
        return {**dict(enumerate(self.classes, 1)), IGNORE: IGNORED[1]}

    @property
    def colours(self) -> list[tuple[str, str]]:
        """(label, colour) of each class and of 255. Colours are VOC's, as #rrggbb."""
        colours = bytes(voc_palette())
        return [(name, f"#{colours[3 * i : 3 * i + 3].hex()}") for i, name in self.labels.items()]

    def placed(self, encode: Callable[..., Any], **options: Any) -> Iterator[Placed]:
        """Yields each sample, ready to be written. encode: a function of a module, because it may run in another
        process. It is called as `encode(sample, labels, **options)`, with the sample's label map (H, W)."""
        encode = partial(_encoded, len(self.classes), partial(encode, **options))
        work = self.stack.enter_context(in_order(encode, self.workers, chunk=CHUNK))
        taken: set[str] = set()
        rows = zip(self.names, self.splits, self.follow(self.samples), work(self.samples), strict=True)
        for name, split, sample, ((height, width), encoded) in rows:
            check_name(name, taken)
            yield Placed(name, split, sample, height, width, encoded)

    def put(self, path: str, data: bytes | str | Path) -> None:
        """Writes a file. path: relative to the folder. data: its bytes or text, or the file to copy or link."""
        if isinstance(data, str):
            data = data.encode("utf-8")
        put(self.folder / path, data, link=self.link)
        self.files += 1


def _encoded(classes: int, encode: Callable[[Sample, np.ndarray], Any], sample: Sample) -> tuple[Any, Any]:
    """((height, width), result of `encode`) for a sample. classes: the number of classes."""
    labels = sample.labels(classes)
    return labels.shape, encode(sample, labels)


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
    """Writes samples in a format, and returns what was written. `out` appears only when it is complete. options: the
    options of the codec's `write`. `Dataset.export` describes the other arguments. Raises UserError."""
    check_free(Path(out))  # before pictures are read
    if FORMATS[name].looked_for:
        check_meaning(classes, void=FORMATS[name].void)
    samples, write = list(samples), codec(name).write
    if options.get("min_area", 1) < 1:
        raise UserError("min_area", f"{options['min_area']} must be at least 1 pixel")
    names = [flat_name(sample.name) if FORMATS[name].flat else sample.name for sample in samples]
    notes: list[str] = []
    splits = assign_splits(samples, classes, split, seed, follow=follow, note=notes.append)
    with stage_output(out) as folder, ExitStack() as stack:
        export = Export(folder, tuple(classes), samples, names, splits, stack, link, workers, follow, notes=notes)
        write(export, **options)
    with_objects = sum(sample.has_objects for sample in samples)
    if with_objects and not FORMATS[name].objects and not options.get("objects"):
        export.note(f"objects of {with_objects} samples are left out")
    return Exported(len(samples), export.files, tuple(export.notes), Counter(splits))


@dataclass(frozen=True)
class PictureRecord:
    """What a format's file says about a picture and its shapes.

    For example, <image name="a.jpg" subset="Train"> in a CVAT file has the names ["Train/a.jpg"], and the part and the
    top "Train". Its sample is called "a", or "Train/a" if another subset has an a.jpg, too, and its split is "train".
    """

    where: str
    """The record's name in errors."""
    folders: Sequence[Path]
    """Folders where the picture may be."""
    names: Sequence[str]
    """Names that the picture may have, for `PictureFinder.find`."""
    paint: Callable[[Path], Objects]
    """Paints the shapes. Its argument is the picture's file."""
    objects: Callable[[Path], Objects] | None = None
    """Paints the objects, if they are not what `paint` paints; None if the file does not name them apart."""
    part: str = ""
    """The part of the set in the set's own words, such as "Train", from which the split follows; "" if the set has no
    parts. Two parts may each have a picture of one name."""
    top: str = ""
    """A folder at the beginning of the picture's path that is left out of the sample's name."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """The sample's metadata."""
    name: str = ""
    """The sample's name; "" if it follows from the picture's path."""
    empty: bool = False
    """Whether the file has no shape on the picture, which becomes background."""
    copied: bool = False
    """Whether the file holds a copy of the picture, as labelme files do. SeeDiff does not read the copy. The
    picture must have exactly the given suffix, because an a.png beside a missing a.jpg may be its mask."""


@dataclass
class Import(Notes):
    """A folder or file that is being read: the options for all formats, and what the codec has found so far."""

    path: Path
    skip_missing: bool = False
    """Whether to leave out labels whose picture is missing, instead of raising UserError."""
    labels_alone: bool = False
    """Whether only label maps are compared. Pictures may be missing then, and label maps stay as they are stored, even
    if their picture has an EXIF orientation."""
    shown: bool = False
    """As in `Format`."""
    originals: Mapping[str, Path] = field(default_factory=dict)
    """Name or flat name of a sample → its picture, in the set whose masks come back. They stand for pictures that the
    tool did not return."""
    taken: set[str] = field(default_factory=set)
    """Names of the samples so far."""
    pictures: PictureFinder = field(default_factory=PictureFinder)
    missing_pictures: int = 0
    """Number of labels so far that were left out because their picture is missing."""
    turned_pictures: int = 0
    """Number of pictures so far with an EXIF orientation."""
    parts: Counter[tuple[str | None, Path]] = field(default_factory=Counter)
    """(part, folder) → number of pictures so far."""

    @property
    def folder(self) -> Path:
        """`path` itself, or the folder of the file."""
        return self.path if self.path.is_dir() else self.path.parent

    def file(self, usual: str) -> Path:
        """`path` itself if it is a file, or else the file with the usual name in the folder."""
        return self.path / usual if self.path.is_dir() else self.path

    def not_read(self, files: Iterable[Path], chosen: Collection[Path]) -> None:
        """Notes the annotation files that are not read. files: those beside the chosen files. If the user named a file,
        nothing is noted."""
        if self.path.is_file():
            return
        others = sorted(path.name for path in files if path not in chosen)
        if others:
            self.note(f"not read: {first_of(others)}; name a file to read it alone")

    def leave_out(self, where: object, problem: str, *searched: Path) -> None:
        """Counts labels that are left out because their picture is missing. where, problem: for the error. searched:
        paths of the picture, perhaps without a suffix. Raises UserError, unless the user wants to leave out such
        labels, or compares only label maps."""
        if not (self.skip_missing or self.labels_alone):
            fix = "--images names the folder of the pictures, and --skip-missing leaves out labels without one"
            for other in filter(None, map(of_another_kind, searched)):
                problem = f"its picture {other} is neither PNG nor JPEG"
                fix = "save it as PNG under the same name; --skip-missing leaves out labels without a picture"
            raise UserError(where, problem, fix)
        self.missing_pictures += 1

    def splits_of(self, parts: Mapping[str, Collection[T]], where: str) -> dict[T, str]:
        """Picture → its split. parts: split → its pictures, in the order of SPLITS. where: the file that lists them,
        for a note.

        A picture in several splits belongs to the last of them, so that no picture for testing is trained on. A split
        with exactly the pictures of an earlier split is skipped: many files have `val: images/train` because there is
        no other.
        """
        splits: dict[T, str] = {}
        several: set[T] = set()
        earlier: list[set[T]] = []
        for split, pictures in parts.items():
            own = {*pictures}
            if own not in earlier:
                several |= own & splits.keys()
                splits |= dict.fromkeys(pictures, split)
            earlier.append(own)
        self.count(len(several), f"pictures are in several parts of {where}: one for validation or testing counts")
        return splits

    def samples_of(
        self, records: Iterable[PictureRecord], *, by_object: bool = False, beside: bool = True
    ) -> list[Sample]:
        """A sample for each record whose picture exists. by_object: whether the shapes that `paint` paints are objects.
        beside: count the pictures in the same folders that have no record. Raises UserError for two records of one
        picture."""
        with_picture: list[tuple[PictureRecord, Path, str]] = []
        owners: dict[Path, str] = {}
        for record in records:
            found = self._picture_of(record)
            if found is None:
                continue
            path, end = found
            other = owners.setdefault(path, record.where)
            if other != record.where:
                fix = "make them one record"
                if end != portable(record.names[0]):
                    fix = f"no file is called {show_json(record.names[0])}: --images names the folder that has it"
                raise UserError(record.where, f"its picture, {path}, is that of {other}, too", fix)
            with_picture.append((record, path, end.removeprefix(f"{record.top}/")))
        samples: list[Sample] = []
        parts = [record.part for record, _, _ in with_picture]
        names = unique_names((part, end) for part, (_, _, end) in zip(parts, with_picture, strict=True))
        for (record, path, _), name, split in zip(with_picture, names, row_splits(parts), strict=True):
            painted = Painted(record.paint, path)
            objects = record.objects and Painted(record.objects, path).objects
            if by_object:
                objects = painted.objects
            name, about = record.name or name, {"row": record.row, "split": split, "lost": painted.lost}
            samples.append(self.sample(name, path, painted.label_map, record.where, objects=objects, **about))
        empty = sum(record.empty for record, *_ in with_picture)
        self.count(empty, f"of {len(samples)} pictures have no shape: background only")
        for folder in sorted({path.parent for path in owners if beside and self.path.is_dir()}):
            files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
            bare = sum(path not in owners for path in files)
            self.count(bare, f"of {len(files)} pictures in {folder} have no labels in the files: they are left out")
        return samples

    def _picture_of(self, record: PictureRecord) -> tuple[Path, str] | None:
        """(file, name) of a record's picture, as `PictureFinder.find` returns them. None if it is missing, and
        `leave_out` allows this."""
        found = self.pictures.find(record.folders, record.names, record.where)
        names = [portable(name) for name in record.names]
        for end in chain.from_iterable(map(ends_of, names)):
            if found is None and without_suffix(end) in self.originals:
                found = self.originals[without_suffix(end)], end
        problem = "there is no picture {} in {}"
        if record.copied:
            problem += ", and its copy in the file is not read: save the copy under this name"
            if found and found[0].suffix.lower() != Path(found[1]).suffix.lower():
                found = None
        if found is None:
            tried = [folder for folder in record.folders if folder.is_dir()] or record.folders
            searched = [folder / name for folder, name in product(tried, names)]
            self.leave_out(record.where, problem.format(show_json(record.names[0]), tried[0]), *searched)
        return found

    def sample(
        self,
        name: str,
        image: Path | None,
        labels: ReadLabels,
        where: object,
        *files: tuple[Path, Path | None],
        row: Mapping[str, Any] = MappingProxyType({}),
        split: str | None = None,
        objects: ReadObjects | None = None,
        lost: Callable[[], int] = nothing_lost,
    ) -> Sample:
        """A sample, whose labels are turned to fit the picture as it is stored.

        name: must be new. image: the picture; None if only label maps are compared. labels: reads the label map. where:
        the sample's name in errors. files: (folder, file): files that must lie in a folder, also after following
        links. row: the metadata. split: as `row_splits` returns it. objects: reads the objects. lost: as in `Sample`.
        Raises UserError.
        """
        check_name(name, self.taken, where)
        if split:
            row = {**row, "split": split}
        if image is not None:
            self.parts[row.get("split"), image.parent] += 1
        if self.labels_alone or image is None:
            return Sample(image, labels, None, row, name=name, lost=lost)
        for folder, path in files:
            inside(folder, path)
        turn = orientation_of(image)
        if 2 <= turn <= 8:
            self.turned_pictures += 1
            labels = partial(stored_labels, labels, image, turn, self.shown)
            objects = objects and partial(stored_objects, objects, image, turn, self.shown)
        return Sample(image, labels, objects, row, name=name, lost=lost)


def read_format(
    name: SourceName,
    path: Path | str,
    *,
    skip_missing: bool = False,
    labels_alone: bool = False,
    originals: Mapping[str, Path] = MappingProxyType({}),
    **options: Any,
) -> Contents:
    """The contents of a folder or file, whose notes and parts are complete once the last sample was read.

    name: the format. path: the folder or file. skip_missing, labels_alone, originals: as in `Import`. options:
    parameters of the codec's `read`; None stands for an option that was not given. Raises UserError.
    """
    for key in ("images", "masks"):
        if options.get(key) is not None:
            options[key] = folder = Path(options[key])
            if not folder.is_dir():
                check_unpacked(folder)
                raise UserError(key, f"{folder}: no such folder")
    read = codec(name).read
    source = Import(Path(path), skip_missing, labels_alone, FORMATS[name].shown, originals)
    contents = read(source, **{key: value for key, value in options.items() if value is not None})
    samples = _with_notes(source, contents.samples)
    return contents._replace(samples=samples, notes=source.notes, parts=source.parts)


def _with_notes(source: Import, samples: Iterable[Sample]) -> Iterator[Sample]:
    """Yields the samples, and then adds notes about their parts, and about turned and missing pictures."""
    yield from samples
    for (part, _), count in source.parts.items():
        if part and part_of(part) is None:
            what = f"samples are of the part {show_json(part)}, which is none of {', '.join(SPLITS)}"
            source.count(count, f"{what}: `split` keeps the word, and `train` and `evaluate` ask for --split")
    count = source.turned_pictures
    if count:
        turned = "written as stored, with labels of the turned picture turned back"
        source.note(f"{plural(count, 'picture')} with an EXIF orientation: {turned}")
    if source.missing_pictures:
        source.note(f"labels whose picture is missing, left out: {source.missing_pictures}")
