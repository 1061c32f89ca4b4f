"""Reads a set in any format: what all formats have in common, such as classes, pictures, names, splits and notes.

A format's own part is its codec, the module with its name. Its `read(source, **options)` turns an `Import` into
`Contents`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, product
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from ...errors import UserError
from ...files.image_files import orientation_of
from ...files.messages import plural, show_json
from ...files.photo_files import without_suffix
from ...files.reading import check_unpacked
from ...rows.parts import NO_SPLIT, part_of, row_splits
from ...rows.row import Row, said
from ..class_lists import ClassList, number_labels
from ..encoding import ReadLabels, ReadObjects
from ..names import check_name
from ..palettes import with_palettes
from ..reading import first_of
from ..sample import Sample, nothing_lost
from ..stored_masks import read_mask, with_single
from .format_table import FORMATS, Contents, SourceName, codec
from .labelled import Labelled, Painted, Picture, Shape, by_object
from .pictures import (
    IMAGE_SUFFIXES,
    PictureFinder,
    ends_of,
    of_another_kind,
    portable,
    stored_labels,
    stored_objects,
    top_folder,
    unique_names,
)
from .set_files import SetFiles

T = TypeVar("T")
Unit = TypeVar("Unit")


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


class Pair(NamedTuple):
    """A picture and the file that labels it."""

    part: str | None
    """The part of the set in its own words; "" if it has none; None: the first folder of the name may be one."""
    name: str
    """The picture's path in its folder, without suffix."""
    image: Path | None
    """None if the picture is missing, which is allowed when label maps are compared."""
    labels: Path
    where: object = None
    """The sample's name in errors; None: the picture's file."""


@dataclass
class Import(Notes):
    """A folder or file that is being read: the options for all formats, and what the codec has found so far."""

    files: SetFiles
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
    def path(self) -> Path:
        """The folder or file that the user named."""
        return self.files.named

    @property
    def folder(self) -> Path:
        """`path` itself, or the folder of the file."""
        return self.files.folder

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

    def shapes_of(
        self,
        units: Iterable[Unit],
        describe: Callable[[Unit], Labelled],
        classes: Sequence[str] | None,
        where: object,
        *,
        proves_objects: Callable[[Sequence[Shape]], bool] = by_object,
        others: Sequence[str] = (),
        beside: bool = True,
    ) -> Contents:
        """The contents of a set of pictures with labelled shapes.

        units: what is kept of each picture, such as the path of a file. describe: reads what the set says about the
        picture, for the first time to see its labels, and again whenever its label map is read, perhaps in another
        process. classes: the classes in the order of their ids; None: the labels of the masks, sorted by name. Labels
        such as `ignore` and `void` (IGNORED) mean 255. where: the name of the classes in errors. proves_objects:
        whether the masks of a picture prove that each mask of the set is an object. others: kind and label of what is
        left out and has no place on a picture. beside: count the pictures in the same folders that have no labels.
        Raises UserError.
        """
        boxed, lines = list[str](), [*others]
        labels, are_objects = set[str](), False
        pictures = list[Labelled]()
        for unit in units:
            labelled = describe(unit)
            shapes = labelled.drawing.shapes
            masks = [shape for shape in shapes if shape.fill is not None]
            labels.update(shape.label for shape in masks)
            are_objects = are_objects or proves_objects(masks)
            boxed += [shape.about for shape in shapes if shape.box is not None]
            lines += [shape.about for shape in shapes if shape.fill is None and shape.box is None]
            bare = replace(labelled.drawing, shapes=())  # the shapes of all pictures may be larger than memory
            pictures.append(replace(labelled, drawing=bare, empty=not shapes, reread=partial(describe, unit)))
        around = "shapes are not masks; pixels in the boxes around them but in no mask are ignored (255)"
        for abouts, line in ((boxed, around), (lines, "shapes are no masks and are left out")):
            self.count(len(abouts), f"{line}, such as {', '.join(sorted({*abouts})[:8])}")
        if classes is None:
            classes = sorted(labels)
        listed, ids = number_labels(classes, where, self.note)
        return Contents(listed, self.samples_of(pictures, ids=ids, are_objects=are_objects, beside=beside))

    def samples_of(
        self,
        pictures: Iterable[Labelled],
        *,
        ids: Mapping[str, int] | None = None,
        are_objects: bool = False,
        beside: bool = True,
    ) -> list[Sample]:
        """A sample for each picture that exists. The other arguments are for `shapes_of`.

        pictures: what the set says about each picture. ids: label → id. are_objects: whether the shapes of all drawings
        are objects. beside: as for `shapes_of`. Raises UserError if two entries mean one picture.
        """
        found: list[tuple[Labelled, Path, str]] = []
        owners: dict[Path, str] = {}
        for one in pictures:
            where, picture = one.drawing.where, one.picture
            file = self._picture_of(picture, where)
            if file is None:
                continue
            path, end = file
            other = owners.setdefault(path, where)
            if other != where:
                fix = "make them one record"
                if end != portable(picture.names[0]):
                    fix = f"no file is called {show_json(picture.names[0])}: --images names the folder that has it"
                raise UserError(where, f"its picture, {path}, is that of {other}, too", fix)
            found.append((one, path, picture.below_top(end)))
        samples: list[Sample] = []
        parts = [one.picture.part for one, *_ in found]
        names = unique_names((part, end) for part, (*_, end) in zip(parts, found, strict=True))
        for (one, path, _), name, split in zip(found, names, row_splits(parts), strict=True):
            painted, objects = Painted(one.drawing, path, ids or {}, one.reread), None
            if are_objects or one.objects is one.drawing:
                objects = painted.objects
            elif one.objects is not None:
                objects = Painted(one.objects, path).objects
            about = {"row": one.row, "split": split, "lost": painted.lost}
            name = one.picture.sample or name
            samples.append(self.sample(name, path, painted.label_map, one.drawing.where, objects=objects, **about))
        empty = sum(one.empty for one, *_ in found)
        self.count(empty, f"of {len(samples)} pictures have no shape: background only")
        if beside and self.path.is_dir():
            self._count_bare(owners)
        return samples

    def _count_bare(self, labelled: Collection[Path]) -> None:
        """Notes the pictures that lie beside labelled pictures, and that no file labels."""
        for folder in sorted({path.parent for path in labelled}):
            files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
            bare = sum(path not in labelled for path in files)
            self.count(bare, f"of {len(files)} pictures in {folder} have no labels in the files: they are left out")

    def _picture_of(self, picture: Picture, where: str) -> tuple[Path, str] | None:
        """(file, name) of a picture, as `PictureFinder.find` returns them. None if it is missing, and `leave_out`
        allows this. where: its labels' name in errors."""
        found = self.pictures.find(picture.folders, picture.names, where)
        names = [portable(name) for name in picture.names]
        for end in chain.from_iterable(map(ends_of, names)):
            if found is None and without_suffix(end) in self.originals:
                found = self.originals[without_suffix(end)], end
        problem = "there is no picture {} in {}"
        if picture.copied:
            problem += ", and its copy in the file is not read: save the copy under this name"
            if found and found[0].suffix.lower() != Path(found[1]).suffix.lower():
                found = None
        if found is None:
            tried = [folder for folder in picture.folders if folder.is_dir()] or picture.folders
            searched = [folder / name for folder, name in product(tried, names)]
            self.leave_out(where, problem.format(show_json(picture.names[0]), tried[0]), *searched)
        return found

    def masks_of(
        self,
        pairs: Sequence[Pair],
        class_list: ClassList,
        *,
        split: str | None = None,
        single: bool = True,
        about: str = "",
    ) -> Contents:
        """The contents of a set of PNG masks. A file that leads out of the set is refused, unless only label maps are
        compared.

        pairs: the pictures with their masks. class_list: what the values in the masks mean. split: as for `pairs_of`.
        single: whether 255 may be a single class (`with_single`). about: as in `Contents`. Raises UserError.
        """
        masks = [one.labels for one in pairs]
        if not self.labels_alone:
            for path in filter(None, (*masks, *(one.image for one in pairs))):
                self.files.inside(path)
        class_list = with_single(class_list, masks, self.note) if single else with_palettes(class_list, masks)
        samples = self.pairs_of(pairs, lambda pair: partial(read_mask, pair.labels, class_list), split)
        return Contents(class_list, samples, class_list.ids, about)

    def pairs_of(
        self, pairs: Sequence[Pair], read: Callable[[Pair], ReadLabels | Painted], split: str | None
    ) -> list[Sample]:
        """A sample for each pair. read: returns what reads its label map, or what is painted on it; it is called only
        for pairs that become samples. split: only this part; None: all. Raises UserError."""
        samples: list[Sample] = []
        names = unique_names((one.part, one.name + (one.image or one.labels).suffix) for one in pairs)
        parts = [top_folder(one.name) if one.part is None else one.part for one in pairs]
        for one, name, part, row_split in zip(pairs, names, parts, row_splits(parts), strict=True):
            if split is not None and (part_of(split) or split) not in (part, row_split or "train"):
                continue
            labels, where, about = read(one), one.where or one.image or one.labels, dict[str, Any]()
            if isinstance(labels, Painted):
                labels, about = labels.label_map, {"objects": labels.objects, "lost": labels.lost}
            samples.append(self.sample(name, one.image, labels, where, split=row_split, **about))
        if split is not None and not samples:
            raise UserError("split", f"{split}: {self.path} has no picture in this part")
        return samples

    def sample(
        self,
        name: str,
        image: Path | None,
        labels: ReadLabels,
        where: object,
        *,
        row: Row | None = None,
        split: str | None = None,
        objects: ReadObjects | None = None,
        lost: Callable[[], int] = nothing_lost,
    ) -> Sample:
        """A sample, whose labels are turned to fit the picture as it is stored.

        name: must be new. image: the picture; None if only label maps are compared. labels: reads the label map. where:
        the sample's name in errors. row: its metadata. split: as `row_splits` returns it. objects: reads the objects.
        lost: as in `Sample`. Raises UserError.
        """
        check_name(name, self.taken, where)
        row = row or Row()
        if split:
            row = row.replace(split=split)
        if image is not None:
            self.parts[said(row.split), image.parent] += 1
        if self.labels_alone or image is None:
            return Sample(image, labels, None, row, name=name, lost=lost)
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
    others: list[Path] = []
    for key in ("images", "masks"):
        if options.get(key) is not None:
            options[key] = folder = Path(options[key])
            others.append(folder)
            if not folder.is_dir():
                check_unpacked(folder)
                raise UserError(key, f"{folder}: no such folder")
    read = codec(name).read
    source = Import(SetFiles(Path(path), others), skip_missing, labels_alone, FORMATS[name].shown, originals)
    contents = read(source, **{key: value for key, value in options.items() if value is not None})
    samples = _with_notes(source, contents.samples)
    return contents._replace(samples=samples, notes=source.notes, parts=source.parts)


def _with_notes(source: Import, samples: Iterable[Sample]) -> Iterator[Sample]:
    """Yields the samples, and then adds notes about their parts, and about turned and missing pictures."""
    yield from samples
    for (part, _), count in source.parts.items():
        if part and part_of(part) is None:
            what = f"{plural(count, 'sample')} of the part {show_json(part)}, which {NO_SPLIT}"
            source.note(f"{what}: `split` keeps the word, and `train` and `evaluate` ask for --split")
    count = source.turned_pictures
    if count:
        turned = "written as stored, with labels of the turned picture turned back"
        source.note(f"{plural(count, 'picture')} with an EXIF orientation: {turned}")
    if source.missing_pictures:
        source.note(f"labels whose picture is missing, left out: {source.missing_pictures}")
