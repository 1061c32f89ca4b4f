"""Reads a set in any format: what all formats have in common, such as classes, pictures, names, splits and notes.

A format's own part is its codec, the module with its name. Its `read(source)` turns an `Import` into `Contents`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from ...config.class_names import numbered_names
from ...errors import UserError
from ...files.image_files import orientation_of
from ...files.messages import first_of, plural, show_json
from ...files.photo_files import without_suffix
from ...files.reading import check_unpacked
from ...rows.values import NO_SPLIT, no_part, part_of, row_splits
from ..class_lists import ClassList, number_labels
from ..mask_values import read_mask, with_single
from ..sample import Sample, check_name
from .format_table import FORMATS, Contents, ImportOptions, SetFormat, SourceName, codec, options_of
from .painting import Labelled, Shape, by_object, paint
from .set_files import (
    PictureFinder,
    SetFiles,
    ends_of,
    find_lists,
    how_to_find,
    in_stored_order,
    missing_picture,
    read_lists,
    top_folder,
    unique_names,
)

T = TypeVar("T")
Unit = TypeVar("Unit")
OF_ALL = ("labels_alone", "originals", "num_classes", "truth")
"""Fields of `Import` that are given for every format, and that some do not need."""


@dataclass(kw_only=True)
class Notes:
    """Collects lines for the user about what is lost or left out."""

    notes: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Adds a line, once."""
        if line not in self.notes:
            self.notes.append(line)

    def count(self, number: int, line: str) -> None:
        """Adds the line "NUMBER LINE", unless the number is 0. line: begins with a singular noun, or with "of"."""
        noun, _, rest = line.partition(" ")
        if number:
            self.note(f"{number} {line}" if noun == "of" else f"{plural(number, noun)} {rest}")


@dataclass
class Seen:
    """What the shapes of a set are, without or with boxes."""

    count: int = 0
    labels: set[str] = field(default_factory=set)
    are_objects: bool = False
    """Whether they prove that each of them is an object."""

    def add(self, shapes: Sequence[Shape], are_objects: bool) -> None:
        """Adds the shapes of a picture."""
        self.count += len(shapes)
        self.labels.update(shape.label for shape in shapes)
        self.are_objects = self.are_objects or are_objects


@dataclass(kw_only=True)
class Import(ImportOptions, Notes):
    """A folder or file that is being read: its options, and what the codec has found so far."""

    files: SetFiles
    shown: bool = False
    """As in `Format`."""
    num_classes: int | None = None
    """For label maps alone without a list: how many classes the ids from 0 on stand for."""
    truth: ClassList | None = None
    """For predictions: the classes of the labels with which they are compared. They count if the set has no list."""
    void: Sequence[int] = ()
    """Values in masks to ignore in addition to 255."""
    labels_alone: bool = False
    """Whether only label maps are compared. Pictures may be missing then, and label maps stay as they are stored, even
    if their picture has an EXIF orientation."""
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
    parts: Counter[str | None] = field(default_factory=Counter)
    """Part → number of pictures so far."""

    @property
    def is_truth(self) -> bool:
        """Whether only label maps are compared, as truth: of a public set, its usual part is read."""
        return self.labels_alone and self.truth is None

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

    def leave_out(self, where: object, name: str, folders: Sequence[Path]) -> None:
        """Counts labels that are left out because their picture is missing. where: their name in errors. name: of the
        picture. folders: where it may be. Raises UserError, unless the user wants to leave out such labels, or compares
        only label maps."""
        if not (self.skip_missing or self.labels_alone):
            given = [folder for folder in folders if folder in self.files.others]
            raise UserError(where, missing_picture(name, given or folders), how_to_find(bool(given)))
        self.missing_pictures += 1

    def takes_boxes(self, boxes: int, polygons: int, shapes: int, where: object) -> bool:
        """Whether boxes are masks. Otherwise a note counts them. boxes, shapes: how many of each the set has. polygons:
        how many of the boxes are polygons; a set's only polygon may have any form. where: the set's name in errors.
        Raises UserError if nine shapes of ten are boxes, as in sets for detectors; it repeats the notes."""
        if self.boxes or not boxes or shapes == polygons == 1:
            return bool(boxes)
        what = f"{boxes} of its {shapes} shapes are boxes"
        if boxes * 10 >= shapes * 9:
            fix = "--boxes masks reads boxes as masks"
            raise UserError(where, "; ".join([f"{what}, which are no masks", *self.notes]), fix)
        self.note(f"{what}: pixels in them but in no other shape are ignored (255); --boxes masks reads them as masks")
        return False

    def shapes_of(
        self,
        units: Iterable[Unit],
        describe: Callable[[Unit], tuple[Labelled, Sequence[Shape]]],
        classes: Sequence[str] | None,
        where: object,
        *,
        proves_objects: Callable[[Sequence[Shape]], bool] = by_object,
    ) -> Contents:
        """The contents of a set of pictures with labelled shapes.

        units: what is kept of each picture, such as the path of a file. describe: reads what the set says about the
        picture, and its shapes, for the first time to see its labels, and again whenever its label map is read, perhaps
        in another process. classes: the classes in the order of their ids; None: the labels of the masks, sorted by
        name. Labels such as `ignore` and `void` (IGNORED) mean 255. where: the name of the classes in errors.
        proves_objects: whether the masks of a picture prove that each mask of the set is an object. Raises UserError.
        """
        left_out, polygons, empty, masks, both = list[str](), 0, 0, Seen(), Seen()
        described = list[tuple[Labelled, Unit]]()
        for unit in units:
            labelled, shapes = describe(unit)
            described.append((labelled, unit))
            filled = [shape for shape in shapes if shape.fill is not None]
            for seen, of_kind in ((masks, [shape for shape in filled if not shape.is_box]), (both, filled)):
                seen.add(of_kind, proves_objects(of_kind))
            polygons += sum(shape.is_box and shape.kind.startswith("polygon") for shape in filled)
            left_out += [shape.about for shape in shapes if shape.fill is None]
            empty += not filled
        self.count(len(left_out), f"shape of a kind that is no mask, such as {first_of(sorted({*left_out}))}: left out")
        self.count(empty, f"of {len(described)} images without a shape: background only")
        for line in numbered_names(sorted(both.labels)):
            self.note(line)
        boxes = self.takes_boxes(both.count - masks.count, polygons, both.count, self.path)
        used = both if boxes else masks
        listed, ids = number_labels(sorted(used.labels) if classes is None else classes, where, self.note)
        pictures: list[Labelled] = []
        for labelled, unit in described:
            # Shapes are not kept: those of all pictures may be larger than memory.
            draw = partial(paint, shapes=partial(_shapes_of, describe, unit), ids=ids, boxes=boxes)
            pictures.append(replace(labelled, draw=draw, objects=draw if used.are_objects else None))
        return Contents(listed, self.samples_of(pictures))

    def samples_of(
        self,
        pictures: Iterable[Labelled],
        root: Path | None = None,
        lists: Sequence[tuple[str, Path]] = (),
    ) -> list[Sample]:
        """A sample for each picture that exists. pictures: what the set says about each picture. root: the set's
        folder, which may hold lists of parts. lists: more such lists, as `find_lists` returns them. Raises UserError,
        also if two entries mean one picture."""
        found: list[Labelled] = []
        owners: dict[Path, str] = {}
        for one in pictures:
            if one.names:
                file = self.pictures.find(one.folders, one.names, self.images)
                for end in chain.from_iterable(map(ends_of, one.names)):
                    if file is None and without_suffix(end) in self.originals:
                        file = self.originals[without_suffix(end)], end
                if file is None:
                    self.leave_out(one.where, one.names[0], one.folders)
                    continue
                path, end = file
                other = owners.setdefault(path, one.where)
                if other != one.where:
                    raise UserError(one.where, f"its image, {path}, is that of {other}, too")
                if f"{one.top}/{end}" not in one.names:  # else `end` begins with a folder of the picture's own
                    end = end.removeprefix(f"{one.top}/")
                one = replace(one, image=path, name=end)
            found.append(one)
        samples: list[Sample] = []
        found, parts, split = self._in_parts(found, root or self.folder, lists)
        names = unique_names((one.part, one.name) for one in found)
        for one, name, part, row_split in zip(found, names, parts, row_splits(parts), strict=True):
            if split is None or (part_of(split) or split) in (part, row_split or "train"):
                samples.append(self._sample(one, one.sample or name, row_split))
        if split is not None and not samples:
            raise no_part(split, self.path, (part_of(part or "") or part or "train" for part in parts))
        return samples

    def _in_parts(
        self, found: Sequence[Labelled], root: Path, lists: Sequence[tuple[str, Path]]
    ) -> tuple[list[Labelled], list[str | None], str | None]:
        """(pictures, parts, split): the pictures of the set, the part of each, and the part to read, if any. Parts are
        those that the set's own files or folders name, or else those of its lists. The arguments are those of
        `samples_of`. Raises UserError if both differ."""
        parts = [(top_folder(one.name) if one.part is None else one.part) or one.row.split for one in found]
        paths = [str(one.image or one.name) for one in found]
        named, others = read_lists(self.files, [*lists, *find_lists(self.files, root)], paths)
        for i, (part, where) in named.items():
            own = part_of(parts[i] or "")
            if part and own and part != own:
                problem = f"{paths[i]} is in the part {show_json(own)} by the set's files or folders"
                raise UserError(where, problem, "remove the list, or correct it")
        by_lists = bool(named) and not any(part_of(part or "") for part in parts)
        split, titled = self.split, list[tuple[str, Path]]()
        if split and not part_of(split):
            titled = find_lists(self.files, root, split)
        kept = [i for i, one in enumerate(found) if i in named or not one.listed]
        of_all = f"of {len(found)} images"
        if titled:
            kept, split = sorted(read_lists(self.files, titled, paths)[0]), None
        else:
            self.count(len(found) - len(kept), f"{of_all} without labels, or in no list of a part: left out")
        if by_lists:
            self.count(len({*kept} - {*named}), f"{of_all} in no list of a part: without a split")
            self.count(len(others), "line in lists of parts without a labelled image")
            parts = [named[i].part if i in named else "" for i in range(len(found))]
        return [found[i] for i in kept], [parts[i] for i in kept], split

    def _sample(self, one: Labelled, name: str, split: str | None) -> Sample:
        """A sample, whose labels are turned to fit the picture as it is stored. name: must be new. split: as
        `row_splits` returns it. Raises UserError."""
        check_name(name, self.taken, one.where)
        row, image, labels, objects, lost = one.row, one.image, one.label_map, one.visible, one.lost
        if one.objects is None:
            objects = None
        if split:
            row = row.replace(split=split)
        if image is not None:
            self.parts[row.split] += 1
        if self.labels_alone or image is None:
            return Sample(image, labels, None, row, name=name, lost=lost)
        turn = orientation_of(image)
        if 2 <= turn <= 8:
            self.turned_pictures += 1
            labels = partial(in_stored_order, labels, image, turn, self.shown)
            objects = objects and partial(in_stored_order, objects, image, turn, self.shown)
        return Sample(image, labels, objects, row, name=name, lost=lost)

    def masks_of(
        self,
        pairs: Sequence[Labelled],
        class_list: ClassList,
        *,
        root: Path | None = None,
        single: bool = True,
        about: str = "",
    ) -> Contents:
        """The contents of a set of PNG masks. A file that leads out of the set is refused, unless only label maps are
        compared.

        pairs: the pictures with their masks. class_list: what the values in the masks mean. root: as for
        `samples_of`. single: whether 255 may be a single class (`with_single`). about: as in `Contents`. Raises
        UserError.
        """
        if not self.labels_alone:
            for path in filter(None, chain.from_iterable((one.labels, one.image) for one in pairs)):
                self.files.inside(path)
        class_list = with_single(class_list, self.note) if single else class_list
        pictures = [replace(one, read=partial(read_mask, one.labels, class_list)) for one in pairs]
        samples = self.samples_of(pictures, root)
        return Contents(class_list, samples, class_list.ids, about)


def _shapes_of(describe: Callable[[Unit], tuple[Labelled, Sequence[Shape]]], unit: Unit) -> Sequence[Shape]:
    return describe(unit)[1]


def check_options(name: SetFormat, options: Mapping[str, Any]) -> None:
    """Raises UserError for an option that a format does not have. options: fields of `Import`; None stands for an
    option that was not given."""
    own: Sequence[str] = ("as_made",)
    if name != "native":
        own = (*options_of(ImportOptions, name), *FORMATS[name].reads)
    for key, value in options.items():
        if value is not None and key not in (*own, *OF_ALL):
            raise UserError(key, f"is no option of the format {name}", "leave it out")


def read_format(name: SourceName, path: Path | str, **options: Any) -> tuple[Contents, Import]:
    """(contents, source) of a folder or file. `source` has the notes and the parts of what was read. name: the format.
    path: the folder or file. options: those that `check_options` allows. Raises UserError."""
    given = {key: value for key, value in options.items() if value is not None}
    for key in given.keys() & {"images", "masks"}:
        given[key] = folder = Path(given[key])
        if not folder.is_dir():
            check_unpacked(folder)
            raise UserError(key, f"{folder}: no such folder")
    files = SetFiles(Path(path), [given[key] for key in ("images", "masks") if key in given])
    source = Import(files=files, shown=FORMATS[name].shown, **given)
    contents = codec(name).read(source)
    for part, count in source.parts.items():
        if part and part_of(part) is None:
            what = f"{plural(count, 'sample')} of the part {show_json(part)}, which {NO_SPLIT}"
            source.note(f"{what}: `split` keeps the word, and `train` and `evaluate` ask for --split")
    if source.turned_pictures:
        turned = "written as stored, with labels of the turned image turned back"
        source.note(f"{plural(source.turned_pictures, 'image')} with an EXIF orientation: {turned}")
    source.count(source.missing_pictures, "label whose image is missing, left out")
    return contents, source
