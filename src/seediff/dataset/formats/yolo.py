"""Writes and reads YOLO's folders for segmentation. The pieces of objects come back exactly; ignored pixels become background.

out/  data.yaml                     the folders of pictures of each split, and the names of the classes, numbered from 0
      images/{train,val}/NAME.jpg   pictures, as they are
      labels/{train,val}/NAME.txt   one line per piece: class number, then x and y of each corner as shares of the sides

Reading follows data.yaml, or another YAML file, as Ultralytics does, except for files outside its folder. `train`, `val` and `test`
are each a folder of pictures, a text file with one picture per line, or a list of these, below `path` or beside the YAML file. `names` is a
list, or maps numbers to names, and may leave numbers out. The labels of images/…/NAME.jpg are labels/…/NAME.txt: the last `images` of a
path becomes `labels`. A picture without a label file shows only background.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError, first_line
from ...files.documents import read_yaml
from ...files.messages import shown
from ...files.reading import LIST, link_outside, read_lines, read_text
from ...metrics.confusion import iou_of_present
from .. import native
from ..encoding import Instances
from ..rows import check_class_list, check_name
from ..sample import SPLITS, Sample
from ..shapes.objects import Objects, find_objects
from ..shapes.polygons import fill_polygon, object_polygons
from ..shapes.rle import check_count, check_layers, paint_box
from .drivers import Export, Source, seen
from .label_files import Shapes, shown_size

DATA, IMAGES, LABELS = "data.yaml", "images", "labels"
KEPT = 1 << 28
"""Bytes of filled polygons that are kept until the sizes of all are known; further polygons are filled twice."""
PICTURES = ("bmp", "dng", "heic", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp")
"""Suffixes of pictures in the format. SeeDiff reads PNG and JPEG."""
MAX_CLASS = 1 << 31
BOX = re.compile(r"^[ \t]*\d+(?:[ \t]+\S+){4}[ \t]*\r?$", re.MULTILINE)
"""A line with a box: class number, centre, width and height. Ultralytics trains no masks on files with such lines among polygons."""
OBJECT = re.compile(r"\s*\d+(?:[ \t]+\S+){4}")
"""The beginning of a label file with objects, and of no other text."""
HAIR = 0.01
"""Corners may be outside the picture by this share of a side. They are moved to the edge, as in Ultralytics."""
MOST_FOLDERS = 100
"""Maximum number of folders that a split may name, because each is searched."""


def write(export: Export, *, min_area: int = 1) -> None:
    scores: list[tuple[float, str]] = []
    counts: Counter[str] = Counter()
    for placed in export.placed(outline, min_area=min_area):
        text, iou, counted = placed.data
        export.put_image(f"{IMAGES}/{placed.split}/{placed.file_name}", placed)
        export.put(f"{LABELS}/{placed.split}/{placed.name}.txt", text)
        scores += [] if iou is None else [(iou, placed.name)]
        counts.update(counted)
    if scores:
        mean, (lowest, worst) = math.fsum(score for score, _ in scores) / len(scores), min(scores)
        shares = f"{mean:.4f} on average over {len(scores)} samples, at least {lowest:.4f} ({worst})"
        export.note(f"IoU of the polygons with the masks: {shares}")
    if ignored := counts["ignored"]:
        share = ignored / counts["pixels"]
        export.note(f"{share:.2%} of all pixels are ignored (255) in the masks; the format has no such thing: background in it")
    if several := counts["several"]:
        export.note(f"{several} objects of several pieces are a line per piece: a polygon of the format is one piece")
    if loose := counts["loose"]:
        export.note(f"{loose} pieces in no object are lines, too: every polygon of the format is an object")
    if small := counts["small"]:
        export.note(f"{small} pieces below {min_area} pixels are left out")
    write_data(export, export.classes)


def write_data(export: Export, names: Sequence[str], more: str = "") -> None:
    """Write data.yaml, without `path`, so that readers look for folders beside it. names: of the numbers from 0. more: lines at its end."""
    if "train" not in export.parts:
        (export.folder / IMAGES / "train").mkdir(parents=True, exist_ok=True)  # data.yaml names it, and readers expect it
        export.note(f"no samples for training: {IMAGES}/train is empty")
    if "val" not in export.parts:
        export.note(f"no samples for validation: val in {DATA} is the training set; a split of 0.1 sets a tenth aside")
    listed = "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate(names))  # YAML reads JSON strings
    test = f"test: {IMAGES}/test\n" if "test" in export.parts else ""
    val = "val" if "val" in export.parts else "train"
    export.put(DATA, f"train: {IMAGES}/train\nval: {IMAGES}/{val}\n{test}names:\n{listed}{more}")


def outline(sample: Sample, *, classes: Sequence[str], min_area: int) -> tuple[str, float | None, dict[str, int]]:
    """The text of a sample's label file: the pieces of its objects, then those of the classes in the rest of the label map; its IoU with
    the mask, or None if the mask shows no class; and counts: ignored pixels, all pixels, pieces left out, objects with several pieces, and
    pieces in no object."""
    labels = sample.labels(len(classes))
    objects = sample.objects(labels)
    pieces, owners = objects.pieces(min_area)
    rest = find_objects(np.where(objects.index >= 0, np.uint8(0), labels), min_area)
    text = as_yolo(pieces) + as_yolo(rest)
    iou = iou_of_present(labels, from_yolo(text, labels.shape, len(classes), sample.name).label_map())
    several = sum(count > 1 for count in Counter(owners).values())
    ignored = int((labels == native.IGNORE).sum())
    small, loose = pieces.small + rest.small, len(rest.class_ids)
    return text, iou, {"ignored": ignored, "pixels": labels.size, "small": small, "several": several, "loose": loose}


def as_yolo(pieces: Objects) -> str:
    """The text of a label file: one line per object, each a connected piece, in their order; empty without objects."""
    sides = np.array(pieces.masks.shape[::-1], np.float64)
    lines = []
    for class_id, polygon in zip(pieces.class_ids, object_polygons(pieces), strict=True):
        shares = (polygon / sides).ravel().tolist()
        lines.append(f"{class_id - 1} " + " ".join([f"{share:.6f}" for share in shares]) + "\n")
    return "".join(lines)


def from_yolo(text: str, shape: tuple[int, ...], classes: int | Sequence[int], where: str | Path) -> Instances:
    """The objects in a label file's text, with class ids from 1: polygons filled as Ultralytics does, small ones over large ones, and 255
    in boxes where no polygon is.

    shape: (H, W). classes: their number, or their numbers in the file in the order of ids. where: the text's name in errors. Raises
    UserError naming a line that is not a polygon or box of one of the classes.
    """
    height, width = shape
    ids = {str(number): i for i, number in enumerate(range(classes) if isinstance(classes, int) else classes, 1)}
    polygons: list[tuple[int, int, np.ndarray]] = []
    kept: dict[int, tuple[int, int, np.ndarray]] = {}
    boxes: list[np.ndarray] = []
    room = KEPT
    lines = text.splitlines()
    check_count(len(lines), str(where))
    for number, line in enumerate(lines, 1):
        if line.strip():
            class_id, shares = _parse_line(line, ids, f"{where}, line {number}")
            if len(shares) == 2:
                boxes.append(shares)
                continue
            filled = fill_polygon(shares * (width, height), (height, width))
            if (room := room - filled[2].size) >= 0:
                kept[len(polygons)] = filled
            polygons.append((int(filled[2].sum()), class_id, shares))
    numbers, known = np.zeros((height, width), np.uint16), Shapes()
    painted = sum(size for size, *_ in polygons)
    for centre, sides in boxes:
        (left, top), (right, bottom) = (centre - sides / 2) * (width, height), (centre + sides / 2) * (width, height)
        painted += paint_box(numbers, left, top, right, bottom, known.number(native.IGNORE, "box"))
        check_layers(painted, shape, str(where))
    for place in sorted(range(len(polygons)), key=lambda place: -polygons[place][0]):
        _, class_id, shares = polygons[place]
        top, left, mask = kept.get(place) or fill_polygon(shares * (width, height), (height, width))
        numbers[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = known.number(class_id)
    return known.painted(numbers)


def _parse_line(line: str, ids: Mapping[str, int], where: str) -> tuple[int, np.ndarray]:
    """The class id (from 1) of a line, and its corners as (P, 2) shares; for a box, its centre and sides. ids: class number in the file →
    id."""
    first, *rest = line.split()
    if (class_id := ids.get(first)) is None:
        gaps = list(ids) != [str(number) for number in range(len(ids))]
        known = f"one of {', '.join([*ids][:20])}" if gaps else f"a whole number from 0 to {len(ids) - 1}"
        raise UserError(f"{where}: class {shown(first)} must be {known}, as {DATA} numbers its names")
    if len(rest) % 2 or (len(rest) < 6 and len(rest) != 4):
        raise UserError(f"{where}: {len(rest)} numbers after the class; a polygon has x and y of three or more corners")
    try:
        shares = np.array([float(value) for value in rest])
    except ValueError as error:
        raise UserError(f"{where}: {first_line(error)}") from error
    if not ((shares >= -HAIR) & (shares <= 1 + HAIR)).all():  # also false for NaN
        raise UserError(f"{where}: a corner is outside the picture; x and y are shares of its sides, in [0, 1]")
    return class_id, shares.clip(0, 1).reshape(-1, 2)


@dataclass(frozen=True)
class Place:
    """The location of a dataset. file: its YAML file. base: `path` in it. roots: resolved folders, of which one must contain each picture.
    images: the folder of pictures that the user named. labels: folder that may contain label files → folders of their pictures."""

    file: Path
    base: str
    roots: tuple[Path, ...]
    images: Path | None
    labels: Mapping[Path, Collection[Path]] = field(default_factory=dict)

    def inside(self, path: Path) -> bool:
        try:
            return any(path.resolve().is_relative_to(root) for root in self.roots)
        except (OSError, RuntimeError, ValueError):
            return False

    def check_label(self, path: Path) -> None:
        """Raise UserError for a label file outside of all these folders."""
        if not self.inside(path):
            raise link_outside(path, self.file.parent)


@dataclass(frozen=True)
class Picture:
    """A picture of a split. name: of its sample. labels: the path from which the path of its label file follows."""

    path: Path
    split: str
    name: str
    labels: Path


def is_folder(folder: Path) -> bool:
    return (folder / DATA).is_file() or ((folder / IMAGES).exists() and any(folder.glob("*.y*ml")))


def read(source: Source, *, split: str | None = None, images: Path | str | None = None) -> tuple[tuple[str, ...], list[Sample]]:
    file = find_yaml(source.path) if source.path.is_dir() else source.path
    data = read_yaml(file, dict[str, Any])
    names = numbered_names(data.get("names"), file)
    check_class_list(tuple(names.values()), file)
    if "kpt_shape" in data:
        raise UserError(f"{file}: has poses (kpt_shape), whose points would be read as corners; masks need polygons")
    place, pictures = find_pictures(file, data, split, images, label_file)
    samples: list[Sample] = []
    used: set[Path] = set()
    without = boxes = lines = 0
    for name, picture in named(source, pictures, place):
        label = label_file(picture.labels)
        used.add(label)
        if exists := label.exists():
            place.check_label(label)
        without += not exists
        text = read_text(label, LIST) if exists else ""
        boxes, lines = boxes + len(BOX.findall(text)), lines + sum(bool(line.strip()) for line in text.splitlines())
        paint = partial(_paint, picture.path, label if exists else None, tuple(names))
        (paint,) = source.as_stored(picture.path, label, paint, shown=True)
        samples.append(Sample(picture.path, *seen(paint), metadata={"split": picture.split}, name=name))
    if samples and without == len(samples):
        raise UserError(f"{pictures[0].path}: has no label file {label_file(pictures[0].labels)}, and no other picture has one")
    check_used(source, place, pictures, used, "*.txt", _has_objects)
    if boxes and boxes == lines:
        raise UserError(f"{file}: all its {boxes} objects are boxes; masks need polygons, of three or more corners")
    if boxes:
        source.note(f"{boxes} of {lines} objects are boxes; what is in them and in no polygon is ignored (255)")
    if without:
        source.note(f"{without} of {len(samples)} pictures have no label file: they show background alone")
    return tuple(names.values()), samples


def check_used(
    source: Source, place: Place, pictures: Sequence[Picture], used: Collection[Path], pattern: str, labelled: Callable[[Path], bool]
) -> None:
    """Refuse label files in `place.labels` that have no picture, or count them as missing pictures; otherwise their labels would be lost
    silently. Label files of pictures that are there but not asked for, because another split or no list names them, are none of these.

    pictures, used: those that are read, and their label files. pattern: of the names of label files. labelled: whether a file with such a
    name has labels.
    """
    read = {picture.path for picture in pictures}
    for labels in sorted(place.labels):
        if unused := sorted(path for path in labels.glob(pattern) if path not in used):
            others = {path.stem for folder in place.labels[labels] for path in folder.iterdir() if _is_picture(path) and path not in read}
            for path in unused:
                if path.stem not in others and labelled(path):
                    source.no_picture(path, f"has labels, but there is no picture '{path.stem}' that they would be of")


def _has_objects(path: Path) -> bool:
    return path.name != native.CLASSES and OBJECT.match(read_text(path, LIST)) is not None


def _paint(picture: Path, label: Path | None, numbers: Sequence[int]) -> Instances:
    return from_yolo(read_text(label, LIST) if label else "", shown_size(picture), numbers, label or picture)


def find_pictures(
    file: Path, data: Mapping[str, Any], split: str | None, images: Path | str | None, labels: Callable[[Path], Path]
) -> tuple[Place, list[Picture]]:
    """The location of a dataset, and its pictures in a split; None: in all. data: the content of its YAML file. labels: a picture's path →
    its label file's path. Raises UserError."""
    if split is not None and split not in SPLITS:
        raise UserError(f"split '{split}': must be one of {', '.join(SPLITS)}")
    wanted = [name for name in SPLITS if data.get(name) and split in (None, name)]
    if not wanted:
        raise UserError(f"{file}: has no '{split or 'train'}', the folder of the pictures")
    given = Path(images) if images is not None else None
    roots = tuple(folder.resolve() for folder in (file.parent, given) if folder is not None)
    place = Place(file, str(data.get("path") or "."), roots, given)
    pictures: dict[Path, Picture] = {}  # if splits share a picture, the first with labels counts
    places: defaultdict[Path, set[Path]] = defaultdict(set)
    for name in wanted:
        entries = data[name] if isinstance(data[name], list) else [data[name]]
        if len(entries) > MOST_FOLDERS:
            raise UserError(
                f"{file}: '{name}' names {len(entries)} folders; at most {MOST_FOLDERS} are read: list the pictures in a text file"
            )
        found: list[Picture] = []
        for path, lexical in (_found(place, name, entry) for entry in entries):
            if lexical is None:
                found += _listed(place, name, path)
            else:
                found += _below(path, name, lexical)
                places[labels(lexical / "any").parent].add(path)  # also if it has no pictures, but labels
        for picture in _apart(found):
            known = pictures.setdefault(picture.path, picture)
            if not labels(known.labels).is_file() and labels(picture.labels).is_file():
                pictures[picture.path] = picture
            places[labels(picture.labels).parent].add(picture.path.parent)
    return replace(place, labels=places), list(pictures.values())


def _apart(pictures: Sequence[Picture]) -> Sequence[Picture]:
    """The pictures of a split. If two of several folders have the same name, all names are relative to the folder that holds all of
    them."""
    names = {os.path.abspath(picture.path): picture.name for picture in pictures}
    if len({*names.values()}) == len(names):
        return pictures
    common = os.path.commonpath([os.path.dirname(path) for path in names])
    inner = [Path(os.path.relpath(os.path.abspath(picture.path), common)) for picture in pictures]
    return [replace(picture, name=path.with_suffix("").as_posix()) for picture, path in zip(pictures, inner, strict=True)]


def find_yaml(folder: Path) -> Path:
    """data.yaml, or else the only YAML file, or the YAML file with the folder's name. Raises UserError."""
    if (folder / DATA).exists():
        return folder / DATA
    others = sorted(path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml") and path.is_file())
    named = [path for path in others if path.stem == folder.resolve().name]
    chosen = others if len(others) == 1 else named
    if len(chosen) != 1:
        listed = f"; it holds {', '.join(path.name for path in others[:5])}: name the one that is meant" if others else ""
        raise UserError(f"{folder / DATA}: there is no such file{listed}")
    return chosen[0]


def label_file(picture: Path, folder: str = LABELS, suffix: str = ".txt") -> Path:
    """The path of a picture's labels: the last `images` in the picture's path becomes `folder`; without one, the labels are beside the
    picture."""
    parts = list(picture.with_suffix(suffix).parts)
    if IMAGES in parts:
        parts[len(parts) - 1 - parts[::-1].index(IMAGES)] = folder
    return Path(*parts)


def named(source: Source, pictures: Sequence[Picture], place: Place) -> Iterator[tuple[str, Picture]]:
    """(sample name, picture) of each picture. A name that occurs more than once gets the split in front. Raises UserError for an invalid
    name, and for a picture outside the dataset."""
    counts = Counter(picture.name for picture in pictures)
    for picture in pictures:
        name = f"{picture.split}/{picture.name}" if counts[picture.name] > 1 else picture.name
        check_name(name, source.taken, picture.path)
        if not place.inside(picture.path):
            outside = f"is a link that leads out of {place.file.parent}"
            raise UserError(picture.path, outside, "--images names a folder elsewhere that may be read")
        yield name, picture


def _found(place: Place, split: str, entry: Any) -> tuple[Path, Path | None]:
    """The folder or the text file of pictures that an entry of a split names; and for a folder, the path from which the paths of its label
    files follow."""
    if not isinstance(entry, str):
        raise UserError(f"{place.file}: '{split}' must name a folder of pictures beside it, not {shown(entry)}")
    beside, base = place.file.parent, place.base
    # First below `path`, then beside the YAML file: `path` is often another machine's, and some files name ../train/images.
    tried = [(beside / base / entry, None), (beside / entry, None), (beside / entry.removeprefix("../"), None)]
    if place.images is not None:
        inner = entry.replace("\\", "/").removeprefix("./").removeprefix("../").partition(f"{IMAGES}/")[2]
        tried += [(place.images / part, beside / entry) for part in ((inner,) if inner else ()) + (entry, "")]
    outside: Path | None = None
    for path, lexical in tried:
        try:
            kind = "folder" if path.is_dir() else "list" if path.suffix.lower() == ".txt" and path.is_file() else None
        except (OSError, ValueError) as error:  # such as a null byte
            raise UserError(f"{place.file}: '{split}' is not a path: {shown(entry)} ({first_line(error)})") from error
        if kind and not place.inside(path):
            outside = outside or path
        elif kind:
            return path, (lexical or path) if kind == "folder" else None
    if outside is not None and Path(os.path.normpath(outside)).is_relative_to(os.path.normpath(beside)):  # through a link
        there = outside.resolve()
        above = there.parent if there.name == split else there  # contains the other splits too
        raise UserError(f"{place.file}: '{split}' leads out of its folder, to {there}; --images {above} has it read there")
    raise UserError(f"{place.file}: '{split}' must name a folder of pictures beside it, not {shown(entry)}")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower().removeprefix(".") in PICTURES and not path.name.startswith(".")


def _below(folder: Path, split: str, lexical: Path) -> list[Picture]:
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if _is_picture(path)]
    return [Picture(folder / name, split, name.with_suffix("").as_posix(), lexical / name) for name in names]


def _listed(place: Place, split: str, file: Path) -> list[Picture]:
    """The pictures that a text file lists, relative to it, to `path` or to the YAML file. Of a path on another machine, only the part after
    its last `images/` counts. Raises UserError naming the line."""
    beside = place.file.parent
    paths: list[Path] = []
    for number, line in enumerate(read_lines(file), 1):
        if not (text := line.strip()):
            continue
        inner = text.rpartition(f"{IMAGES}/")[2]
        moved = [beside / place.base / IMAGES / inner, beside / IMAGES / inner, *([place.images / inner] if place.images else [])]
        tried = [file.parent / text, beside / place.base / text, beside / text, *moved]
        try:
            chosen = next((path for path in tried if path.is_file() and place.inside(path)), None)
        except (OSError, ValueError):  # a null byte, or too long
            chosen = None
        if chosen is None or not _is_picture(chosen):
            raise UserError(f"{file}, line {number}: there is no picture {shown(text)} inside {beside}")
        paths.append(Path(os.path.normpath(chosen)))
    if not paths:
        raise UserError(f"{file}: lists no pictures")
    common = Path(os.path.commonpath([path.parent for path in paths]))
    return [Picture(path, split, path.relative_to(common).with_suffix("").as_posix(), path) for path in paths]


def numbered_names(names: Any, file: Path) -> dict[int, str]:
    """Class number → name in a YAML file's `names`, in rising order. Raises UserError."""
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, Mapping) or not names:
        raise UserError(f"{file}: 'names' must list the classes, not {shown(names)}")
    numbered: dict[int, str] = {}
    for key, name in names.items():
        number = int(key) if isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 10 else key
        if type(number) is not int or not 0 <= number < MAX_CLASS or number in numbered:
            raise UserError(f"{file}: 'names' must number each class once, by whole numbers from 0 on, not {shown(key)}")
        if isinstance(name, (dict, list)):
            raise UserError(f"{file}: 'names' must give class {number} a name, not {shown(name)}")
        numbered[number] = str(name)
    return dict(sorted(numbered.items()))
