"""`Source`: a set in another format that is being read, with what all formats have in common: finding pictures and
parts, shapes and masks, names, notes.

A format's own part is its codec, the module with its name. Its `read(source)` turns a `Source` into `Contents`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...config.class_names import RESERVED, numbered_names
from ...errors import UserError
from ...files.image_files import orientation_of
from ...files.messages import Notes, first_of, plural, show_json
from ...files.names import without_suffix
from ...files.photo_files import visible
from ...files.reading import check_unpacked
from ...rows.values import NO_SPLIT, no_part, part_of, row_splits
from ..class_lists import ClassList, number_labels
from ..mask_values import check_palettes, load_values, read_mask, with_single
from ..sample import Sample, check_name, image_size
from ..shapes.objects import Objects
from ..shapes.rle import mask_runs
from .format_table import FORMATS, ImportOptions, SetFormat, SourceName, codec, options_of
from .labelled import Labelled, Painted, Pair, Shapes, Turn, Wanted
from .painting import JOINED, Painting, Shape, Survey, by_object, survey
from .parts import Member, PartList, find_part_lists, parts_of, read_part_lists
from .set_files import IMAGE_SUFFIXES, Picture, PictureFinder, SetFiles, ends_of, unique_names
from .what_is_there import Unread, where_named

OF_ALL = ("labels_alone", "originals", "num_classes", "truth")
"""Fields of `Source` that are given for every format, and that some do not need."""
FOLDERS = ("images", "masks", "labels")
"""Options that name a folder of the set."""


class Contents(NamedTuple):
    """What a codec reads from a folder or file."""

    class_list: ClassList
    """The classes, and what the files' values mean."""
    samples: Sequence[Sample]
    ids: Mapping[int, int] | None = None
    """Value in the stored masks → id in label maps; None if the format stores no values."""
    about: str = ""
    """A description of the set."""

    @property
    def parts(self) -> Counter[str | None]:
        """Part → number of its pictures."""
        return Counter(sample.row.split for sample in self.samples if sample.source is not None)


@dataclass(kw_only=True)
class Source(ImportOptions, Notes):
    """A folder or file that is being read: its options, and what is noted meanwhile."""

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
    pictures: PictureFinder = field(default_factory=PictureFinder)
    missing_pictures: list[str] = field(default_factory=list)
    """Names of the pictures so far whose labels were left out because the picture is missing."""
    not_found: list[str] = field(default_factory=list)
    """Names of the pictures so far without labels, and in lists without a picture."""

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
        """`path` itself if it is a file, or else the file with the usual name in the folder. Raises UserError."""
        file = self.path / usual if self.path.is_dir() else self.path
        if not file.is_file():
            raise Unread(self.path, f"has no {usual}")
        return file

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
            fix = "--images names the folder of the images, and --skip-missing leaves out labels without one"
            raise Unread(where, f"there is no image {show_json(name)} in {folders[0]}", fix)
        self.missing_pictures.append(name)

    def masks_of(
        self,
        pairs: Sequence[Pair],
        class_list: ClassList,
        *,
        root: Path | None = None,
        split: str | None = None,
        single: bool = True,
        about: str = "",
    ) -> Contents:
        """The contents of a set of PNG masks. A file that leads out of the set is refused, unless only label maps are
        compared.

        pairs: the pictures with their masks. class_list: what the values in the masks mean. root, split: as for
        `samples_of`. single: whether 255 may be a single class (`with_single`). about: as in `Contents`. Raises
        UserError.
        """
        if not self.labels_alone:
            for path in filter(None, chain.from_iterable((pair.file, pair.image) for pair in pairs)):
                self.files.inside(path)
        if self.numbers:
            return self._numbered(pairs, class_list)
        if class_list.colours is None:
            check_palettes(pair.file for pair in pairs)
        class_list = with_single(class_list, self.note) if single else class_list
        pictures = [pair.labelled(partial(read_mask, pair.file, class_list)) for pair in pairs]
        samples = self.samples_of(pictures, root=root, split=split)
        return Contents(class_list, samples, class_list.ids, about)

    def _numbered(self, pairs: Sequence[Pair], class_list: ClassList) -> Contents:
        """The contents of a set of masks whose values are numbers of objects. pairs, class_list: as for `masks_of`.
        Raises UserError, also for a list of several classes."""
        classes, where = class_list.classes, class_list.where
        if len(classes) != 1:
            problem = f"objects is for a set of one class, and {where} names {len(classes)}"
            raise UserError("numbers", problem, "name it, such as --classes cell")
        read = partial(_numbered_shapes, classes[0])
        pictures = [pair.labelled(Shapes(partial(read, pair.file), image_size(pair.file))) for pair in pairs]
        return self.shapes_of(pictures, classes, where, proves_objects=lambda _: True)

    def shapes_of(
        self,
        pictures: Iterable[Labelled[Shapes]],
        classes: ClassList | Sequence[str] | None,
        where: object = "",
        *,
        proves_objects: Callable[[Sequence[Shape]], bool] = by_object,
        small_on_top: bool = False,
        lists: Sequence[PartList] = (),
    ) -> Contents:
        """The contents of a set of pictures with labelled shapes.

        pictures: their shapes are read for the first time to see their labels, and again whenever a label map is read,
        perhaps in another process. classes: the classes by the numbers that the labels are, or the names of the classes
        in the order of their ids; None: the labels of the masks, sorted by name. Labels such as `ignore` and `void`
        (IGNORED) mean 255. where: the name of the classes in errors. proves_objects: as for `survey`. small_on_top: as
        in `Painting`. lists: as for `samples_of`. Raises UserError.
        """
        pictures = [*pictures]
        seen = survey(((one.picture.name, one.labels.read) for one in pictures), proves_objects)
        others = first_of(sorted({text for _, text in seen.left_out}))
        of_others = [name for name, _ in seen.left_out]
        self.count(len(of_others), f"shape of a kind that is no mask, such as {others}: left out", of_others)
        listed = {one.picture.name for one in pictures if one.needs_list}
        empty = [name for name in seen.empty if name not in listed]
        self.count(len(empty), f"of {len(pictures)} images without a shape: background only", empty)
        self.count(len(seen.joined), f"{JOINED}: the line that joins them is painted, as in Ultralytics", seen.joined)
        for line in numbered_names(sorted({label for label, _ in seen.labels})):
            self.note(line)
        boxes = self._takes_boxes(seen)
        if isinstance(classes, ClassList):
            class_list = classes
            ids = {**RESERVED, **{str(number): class_id for number, class_id in classes.ids.items()}}
        else:
            if classes is None:
                classes = sorted({label for label, is_box in seen.labels if boxes or not is_box})
            class_list, ids = number_labels(classes, where, self.note)
        are_objects = seen.masks_prove or (boxes and seen.all_prove)
        painting = Painting(ids, boxes, small_on_top, are_objects)
        return Contents(class_list, self.samples_of(pictures, lists=lists, painting=painting))

    def _takes_boxes(self, seen: Survey) -> bool:
        """Whether boxes are masks. Otherwise a note counts them. seen: the set's shapes. A set's only polygon may have
        any form. Raises UserError if nine shapes of ten are boxes, as in sets for detectors; it repeats the notes."""
        shapes = seen.labels.total()
        if self.boxes or not seen.boxes or shapes == seen.polygons == 1:
            return seen.boxes > 0
        kinds = {"polygons with the corners of a rectangle": seen.polygons, "boxes": seen.boxes - seen.polygons}
        what = f"of its {shapes} shapes, " + ", ".join(f"{n} are {kind}" for kind, n in kinds.items() if n)
        if seen.boxes * 10 >= shapes * 9:
            fix = "--boxes masks reads boxes as masks"
            raise UserError(self.path, "; ".join([f"{what}, which are no masks", *self.notes]), fix)
        self.note(f"{what}: pixels in them but in no other shape are ignored (255); --boxes masks reads them as masks")
        return False

    def samples_of(
        self,
        pictures: Iterable[Labelled[Any]],
        *,
        root: Path | None = None,
        lists: Sequence[PartList] = (),
        split: str | None = None,
        painting: Painting | None = None,
    ) -> list[Sample]:
        """A sample for each picture that exists. pictures: what the set says about each. root: the set's folder, which
        may hold lists of parts; None: `folder`. lists: more such lists. split: the part to read if the user names none;
        None: all. painting: how the shapes are painted; None for masks. Raises UserError, also if two entries mean one
        picture."""
        split = split if self.split is None else self.split
        root = root or self.folder
        found = [*self._with_files(pictures)]
        paths = [picture.path for _, picture in found]
        mentions, unknown = read_part_lists(self.files, [*lists, *find_part_lists(self.files, root)], paths)
        members = [Member(*one, mention) for one, mention in zip(found, mentions, strict=True)]

        # Which are in the set. A split of no part's name may be the title of a list: its pictures are read then.
        wanted = part_of(split or "") or split
        titled = find_part_lists(self.files, root, split) if wanted and not part_of(wanted) else []
        if titled:
            wanted = None
            chosen, unknown = read_part_lists(self.files, titled, paths)
            members = [one for one, mention in zip(members, chosen, strict=True) if mention]
        else:
            bare = self._without_labels(found)
            self.not_found += bare
            others = [one.picture.name for one in members if one.said.needs_list and not one.mention] + bare
            members = [one for one in members if one.mention or not one.said.needs_list]
            of_all = len(members) + len(others)
            self.count(len(others), f"of {of_all} images without labels, or in no list of a part: left out", others)

        # Their parts and names
        parts = parts_of(members, self)
        if titled or any(mentions):
            self.count(len(unknown), "line in lists of parts without a labelled image", unknown)
            self.not_found += unknown
        names = unique_names((one.said.part, one.picture.name) for one in members)
        taken = set[str]()
        samples = list[Sample]()
        for one, name, part, row_split in zip(members, names, parts, row_splits(parts), strict=True):
            if wanted in (None, part, row_split or "train"):
                name = one.said.sample or name
                check_name(name, taken, one.said.where)
                samples.append(self._sample(one, name, row_split, painting))
        if split is not None and not samples:
            raise no_part(split, self.path, (part_of(part or "") or part or "train" for part in parts))
        return samples

    def _without_labels(self, found: Sequence[tuple[Labelled[Any], Picture]]) -> list[str]:
        """Names of the pictures beside those of the set that nothing in it labels. found: what labels pictures."""
        used = {picture.path for _, picture in found} | {said.where for said, _ in found}
        files = [picture.file for _, picture in found if isinstance(picture.file, Path)]
        folders = {file.parent for file in files if self.files.holds(file)}
        beside = chain(*(sorted(visible(folder, "*.*")) for folder in sorted(folders) if not self.labels_alone))
        return [path.name for path in beside if path.suffix.lower() in IMAGE_SUFFIXES and str(path) not in used]

    def _with_files(self, pictures: Iterable[Labelled[Any]]) -> Iterator[tuple[Labelled[Any], Picture]]:
        """The pictures that exist, with their files. Raises UserError if two entries mean one picture."""
        owners = dict[object, str]()
        inside = list[str]()
        for one in pictures:
            if isinstance(one.picture, Picture):
                yield one, one.picture
                continue
            picture = self._find(one.picture)
            if picture is None:
                data = one.picture.inside()
                if data:
                    inside.append(one.picture.name)
                    yield one, Picture(data, one.picture.name)
                else:
                    self.leave_out(one.where, one.picture.name, one.picture.folders)
                continue
            other = owners.setdefault(picture.file, one.where)
            if other != one.where:
                raise UserError(one.where, f"its image, {picture.file}, is that of {other}, too")
            yield one, picture
        self.count(len(inside), "image without a file: taken from inside the label file", inside)

    def _find(self, wanted: Wanted) -> Picture | None:
        """A picture that the set names; None if it is missing."""
        names, folders, top, _ = wanted
        found = self.pictures.find(folders, names, self.images)
        for end in chain.from_iterable(map(ends_of, names)):
            if found is None and without_suffix(end) in self.originals:
                found = Picture(self.originals[without_suffix(end)], end)
        if found is None or f"{top}/{found.name}" in names:
            return found
        return Picture(found.file, found.name.removeprefix(f"{top}/"))

    def _sample(self, one: Member, name: str, split: str | None, painting: Painting | None) -> Sample:
        """The sample of a picture. name, split: the sample's. painting: as for `samples_of`."""
        said = one.said
        row = said.row.replace(split=split) if split else said.row
        image = one.picture.file
        if image is None:
            return Sample(None, said.labels, row=row, name=name)
        turn = Turn(image, 1 if self.labels_alone else orientation_of(image), self.shown)
        if painting is None:
            return Sample(
                image, partial(turn.read, said.labels), row=row, name=name, lost=partial(turn.lost, said.labels)
            )
        return Painted(said, turn, painting).sample(row, name)


def _numbered_shapes(label: str, path: Path) -> Iterator[Shape]:
    """A shape for each value above 0 in a mask. Raises UserError."""
    values, _ = load_values(path, ClassList((label,), {}))
    present, places = np.unique(values, return_inverse=True)
    found = Objects(places.reshape(values.shape) + int(present[0] > 0), ())
    for number, (left, top, right, bottom) in enumerate(found.boxes_xyxy, 1):
        inside = found.numbers[top:bottom, left:right] == number
        yield Shape(f"{path}: object {number}", "mask", label, partial(mask_runs, inside, left=left, top=top))


def check_options(name: SetFormat, options: Mapping[str, Any]) -> None:
    """Raises UserError for an option that a format does not have. options: fields of `Source`; None stands for an
    option that was not given."""
    own: Sequence[str] = ("as_made",)
    if name != "native":
        own = (*options_of(ImportOptions, name), *FORMATS[name].compares)
    for key, value in options.items():
        if value is not None and key not in (*own, *OF_ALL):
            raise UserError(key, f"is no option of the format {name}", "leave it out")


def read_set(name: SourceName, path: Path | str, **options: Any) -> tuple[Contents, Source]:
    """(contents, source) of a folder or file. `source` has the notes. name: the format. path: the folder or file.
    options: those that `check_options` allows. Raises UserError."""
    given = {key: value for key, value in options.items() if value is not None}
    for key in given.keys() & FOLDERS:
        given[key] = folder = Path(given[key])
        if not folder.is_dir():
            check_unpacked(folder)
            raise UserError(key, f"{folder}: no such folder")
    files = SetFiles(Path(path), [given[key] for key in FOLDERS if key in given])
    source = Source(files=files, shown=FORMATS[name].shown, **given)
    contents = codec(name).read(source)
    for part, count in contents.parts.items():
        if part and part_of(part) is None:
            what = f"{plural(count, 'sample')} of the part {show_json(part)}, which {NO_SPLIT}"
            source.note(f"{what}: `split` keeps the word, and `train` and `evaluate` ask for --split")
    missing = source.missing_pictures
    source.count(len(missing), "label whose image is missing, left out", missing)
    lost = {Path(each).stem for each in (*missing, *source.not_found)}
    places = lost and where_named(source.folder, lost)
    if places:
        others = [f"--{key}" for key in FOLDERS if key in options_of(ImportOptions, name)]
        source.note(f"of these names there are {places}; {' and '.join(others)} name other folders")
    return contents, source
