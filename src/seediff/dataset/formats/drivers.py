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
from typing import Any

from ...config.class_names import RESERVED, numbered_names
from ...errors import UserError
from ...files.image_files import orientation_of
from ...files.messages import first_of, plural, show_json
from ...files.names import without_suffix
from ...files.reading import check_unpacked
from ...rows.values import NO_SPLIT, no_part, part_of, row_splits
from ..class_lists import ClassList, number_labels
from ..mask_values import read_mask, with_single
from ..sample import Sample, check_name
from .format_table import FORMATS, Contents, ImportOptions, SetFormat, SourceName, codec, options_of
from .painting import Labelled, Shape, by_object, paint
from .set_files import (
    Listed,
    PictureFinder,
    SetFiles,
    ends_of,
    find_lists,
    how_to_find,
    missing_picture,
    read_lists,
    top_folder,
    unique_names,
)

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

    def _takes_boxes(self, boxes: int, polygons: int, shapes: int) -> bool:
        """Whether boxes are masks. Otherwise a note counts them. boxes, shapes: how many of each the set has. polygons:
        how many of the boxes are polygons; a set's only polygon may have any form. Raises UserError if nine shapes of
        ten are boxes, as in sets for detectors; it repeats the notes."""
        if self.boxes or not boxes or shapes == polygons == 1:
            return bool(boxes)
        what = f"{boxes} of its {shapes} shapes are boxes"
        if boxes * 10 >= shapes * 9:
            fix = "--boxes masks reads boxes as masks"
            raise UserError(self.path, "; ".join([f"{what}, which are no masks", *self.notes]), fix)
        self.note(f"{what}: pixels in them but in no other shape are ignored (255); --boxes masks reads them as masks")
        return False

    def shapes_of(
        self,
        pictures: Iterable[Labelled],
        classes: ClassList | Sequence[str] | None,
        where: object = "",
        *,
        proves_objects: Callable[[Sequence[Shape]], bool] = by_object,
        small_on_top: bool = False,
        lists: Sequence[tuple[str, Path]] = (),
    ) -> Contents:
        """The contents of a set of pictures with labelled shapes.

        pictures: with `shapes`, which are read for the first time to see their labels, and again whenever a label map
        is read, perhaps in another process. classes: the classes by the numbers that the labels are, or the names of
        the classes in the order of their ids; None: the labels of the masks, sorted by name. Labels such as `ignore`
        and `void` (IGNORED) mean 255. where: the name of the classes in errors. proves_objects: whether the masks of a
        picture prove that each mask of the set is an object. small_on_top: as for `paint`. lists: as for
        `samples_of`. Raises UserError.
        """
        # What the shapes are. They are not kept: those of all pictures may be larger than memory.
        pictures = [*pictures]
        left_out = list[str]()
        polygons = 0
        empty = 0
        seen = Counter[tuple[str, bool]]()  # (label, whether it is a box) → number of shapes
        masks_prove = False
        all_prove = False
        for one in pictures:
            shapes = [*one.shapes()]
            filled = [shape for shape in shapes if shape.runs is not None]
            seen.update((shape.label, shape.is_box) for shape in filled)
            masks_prove = masks_prove or proves_objects([shape for shape in filled if not shape.is_box])
            all_prove = all_prove or proves_objects(filled)
            polygons += sum(shape.is_box and shape.kind.startswith("polygon") for shape in filled)
            left_out += [f"{shape.kind} {shape.label}".strip() for shape in shapes if shape.runs is None]
            empty += not (filled or one.listed)
        self.count(len(left_out), f"shape of a kind that is no mask, such as {first_of(sorted({*left_out}))}: left out")
        self.count(empty, f"of {len(pictures)} images without a shape: background only")
        for line in numbered_names(sorted({label for label, _ in seen})):
            self.note(line)
        # What they mean
        boxes = self._takes_boxes(sum(count for (_, is_box), count in seen.items() if is_box), polygons, seen.total())
        if isinstance(classes, ClassList):
            listed, ids = classes, {**RESERVED, **{str(number): i for number, i in classes.ids.items()}}
        else:
            if classes is None:
                classes = sorted({label for label, is_box in seen if boxes or not is_box})
            listed, ids = number_labels(classes, where, self.note)
        painted = partial(paint, ids=ids, boxes=boxes, small_on_top=small_on_top)
        are_objects = masks_prove or (boxes and all_prove)
        for position, one in enumerate(pictures):
            objects = one.shapes if are_objects else one.objects
            pictures[position] = replace(one, objects=objects, paint=painted)
        return Contents(listed, self.samples_of(pictures, lists=lists))

    def samples_of(
        self,
        pictures: Iterable[Labelled],
        root: Path | None = None,
        lists: Sequence[tuple[str, Path]] = (),
    ) -> list[Sample]:
        """A sample for each picture that exists. pictures: what the set says about each picture. root: the set's
        folder, which may hold lists of parts. lists: more such lists, as `find_lists` returns them. Raises UserError,
        also if two entries mean one picture."""
        root = root or self.folder
        found = self._with_files(pictures)
        paths = [str(one.image or one.name) for one in found]
        named, others = read_lists(self.files, [*lists, *find_lists(self.files, root)], paths)
        titled = self._titled_lists(root)
        kept = sorted(read_lists(self.files, titled, paths)[0]) if titled else self._in_set(found, named)
        # Their parts, and those of the part that the user named
        found = [found[i] for i in kept]
        parts = self._parts_of(found, [named.get(i) for i in kept], len(others))
        names = unique_names((one.part, one.name) for one in found)
        samples = list[Sample]()
        for one, name, part, split in zip(found, names, parts, row_splits(parts), strict=True):
            wanted = part_of(self.split or "") or self.split
            if titled or wanted in (None, part, split or "train"):
                samples.append(self._sample(one, one.sample or name, split))
        if self.split is not None and not samples:
            raise no_part(self.split, self.path, (part_of(part or "") or part or "train" for part in parts))
        return samples

    def _titled_lists(self, root: Path) -> list[tuple[str, Path]]:
        """The lists that `split` names, if it is no split's name, as `find_lists` returns them. root: the set's
        folder."""
        if not self.split or part_of(self.split):
            return []
        return find_lists(self.files, root, self.split)

    def _in_set(self, found: Sequence[Labelled], named: Collection[int]) -> list[int]:
        """The positions of the pictures that are in the set. named: positions of those in a list of a part. A note
        counts the others."""
        kept = [i for i, one in enumerate(found) if i in named or not one.listed]
        left_out = len(found) - len(kept)
        self.count(left_out, f"of {len(found)} images without labels, or in no list of a part: left out")
        return kept

    def _with_files(self, pictures: Iterable[Labelled]) -> list[Labelled]:
        """The pictures that exist, with their files. Raises UserError if two entries mean one picture."""
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
        return found

    def _parts_of(self, found: Sequence[Labelled], listed: Sequence[Listed | None], others: int) -> list[str | None]:
        """The part of each picture: what the set's own files and folders say, or else, if they mean no split, its
        lists. listed: what a list says of each picture. others: the number of other lines in lists. Raises UserError if
        both differ."""
        parts = [(top_folder(one.name) if one.part is None else one.part) or one.row.split for one in found]
        own = [part_of(part or "") for part in parts]
        for one, split, entry in zip(found, own, listed, strict=True):
            if split and entry and entry.part not in ("", split):
                problem = f"{one.image or one.name} is in the part {show_json(split)} by the set's files or folders"
                raise UserError(entry.where, problem, "remove the list, or correct it")
        if any(own) or not any(listed):
            return parts
        self.count(listed.count(None), f"of {len(found)} images in no list of a part: without a split")
        self.count(others, "line in lists of parts without a labelled image")
        return [entry.part if entry else "" for entry in listed]

    def _sample(self, one: Labelled, name: str, split: str | None) -> Sample:
        """A sample. name: must be new. split: as `row_splits` returns it. Raises UserError."""
        check_name(name, self.taken, one.where)
        if split:
            one = replace(one, row=one.row.replace(split=split))
        if one.image is None:
            return one.to_sample(name)
        self.parts[one.row.split] += 1
        if self.labels_alone:
            return replace(one, objects=None).to_sample(name)
        turn = orientation_of(one.image)
        if 2 <= turn <= 8:
            self.turned_pictures += 1
            one = replace(one, turn=turn, shown=self.shown)
        return one.to_sample(name)

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
