"""Writes and reads YOLO folders for segmentation. The pieces of objects come back exactly; ignored pixels become
background.

out/  data.yaml                     the folders of pictures of each split, and the names of the classes, numbered from 0
      images/{train,val}/NAME.jpg   pictures, as they are
      labels/{train,val}/NAME.txt   one line per piece: class number, then x and y of each corner as shares of the sides
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.photo_files import visible, walk
from ...files.reading import fit, is_there
from ...rows.values import part_of
from .. import native
from ..class_lists import DATA, check_agree, class_list_files, described, number_classes, read_class_lists, yaml_names
from ..sample import Sample
from ..shapes.objects import Objects, find_objects
from ..shapes.polygons import fill_polygon, has_outer_line, object_polygons
from ..shapes.rle import box_runs
from .exporting import Export, MinArea, least_area
from .labelled import Pair, Shapes
from .painting import JOINED, Shape
from .parts import PartList, is_label_file
from .set_files import SetFiles, images_by_name, portable, top_folder
from .source import Contents, Source
from .what_is_there import Unread

DARKNET = "obj.names"
IMAGES, LABELS, MASKS = "images", "labels", "masks"
HAIR = 0.01
"""How far outside the picture a corner may be, as a share of the side. It is moved to the edge, as in Ultralytics."""
NEAR = 0.003
"""How far a corner of a turned box may be from its place, as a share of the side: a pixel or two, as tools round."""


def write(export: Export) -> None:
    """Writes polygons, which other programs fill to exactly the same masks. Connected pieces below `min_area` are left
    out. If a model made both a mask and its objects, other pieces of the mask are left out, too."""
    counts: Counter[str] = Counter()
    for placed in export.placed(outline, min_area=export.options.min_area):
        text, areas, lost = placed.encoded
        export.see(placed.sample, areas)
        export.put(f"{IMAGES}/{placed.split}/{placed.file_name}", placed.picture)
        export.put(f"{LABELS}/{placed.split}/{placed.name}.txt", text)
        counts.update(lost)
    export.count(counts["ignored"], "pixel of the value 255 (ignored): background, because the format cannot say so")
    export.count(counts["several"], "object in several pieces: one line per piece, because a polygon is one piece")
    export.note_pieces(counts["small"], "left out, as background")
    export.count(counts["others"], "piece in no object of the set: left out, as background")
    write_data(export, export.classes)


def outline(sample: Sample, labels: np.ndarray, min_area: MinArea) -> tuple[str, list[int], dict[str, int]]:
    """(text, areas, lost) of a sample. `text`: its label file, with the pieces of its objects, and then those of the
    other pixels of its classes. `areas`: the pixels of each piece. `lost`: what the file does not hold → how often.
    labels: the label map (H, W). min_area: as in `ExportOptions`."""
    objects = sample.objects(labels)
    least = least_area(sample, labels, min_area)
    pieces, owners = objects.pieces(least)
    text = as_yolo(pieces)
    areas = pieces.areas
    small = pieces.small
    others = 0
    rest = find_objects(objects.rest(labels))
    if rest.class_ids and sample.row.method:  # what the method did not take for an object
        others = len(rest.class_ids)
    elif rest.class_ids:
        more = rest.pieces(least)[0]
        text += as_yolo(more)
        areas = [*areas, *more.areas]
        small += more.small
    several = sum(count > 1 for count in Counter(owners).values())
    lost = {"ignored": int((labels == IGNORE).sum()), "small": small, "several": several, "others": others}
    return text, areas, lost


def as_yolo(pieces: Objects) -> str:
    """The text of a label file with a line for each piece. pieces: objects in one piece each, as from
    `Objects.pieces`."""
    sides = np.array(pieces.numbers.shape[::-1], np.float64)
    text = ""
    for class_id, polygon in zip(pieces.class_ids, object_polygons(pieces), strict=True):
        shares = (polygon / sides).ravel().tolist()
        text += f"{class_id - 1} " + " ".join([f"{share:.6f}" for share in shares]) + "\n"
    return text


def write_data(export: Export, names: Sequence[str], more: str = "") -> None:
    """Writes data.yaml without the key `path`: programs then search for the folders beside the file. names: the
    classes, numbered from 0. more: lines to add at the end."""
    if "train" not in export.parts:  # data.yaml names its folder, and readers expect it
        (export.folder / IMAGES / "train").mkdir(parents=True, exist_ok=True)
        export.note(f"no samples for training: {IMAGES}/train is empty")
    if "val" not in export.parts:
        export.note(f"no samples for validation: val in {DATA} is the training set; --split 0.1 sets a tenth aside")
    # YAML reads JSON strings.
    listed = "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate(names))
    places = {"train": "train", "val": "train", **{split: split for split in export.parts}}
    folders = "".join(f"{split}: {IMAGES}/{part}\n" for split, part in places.items())
    export.put(DATA, f"{folders}names:\n{listed}{more}")


def read(source: Source) -> Contents:
    """Reads a YOLO folder, or the set that a YAML file describes. A picture without a label file is all background. The
    classes are the names in the YAML file or in another list (`read_data`). If the user named the folder of all
    pictures, labels/ is the folder of labels. Raises UserError."""
    data = read_data(source.files, source.path, source.classes or ())
    if "kpt_shape" in data.content:
        raise UserError(data.file, "has poses (kpt_shape), whose points would be read as corners; masks need polygons")
    class_list = number_classes(data.names, data.file, void=(), classes=source.classes, note=source.note)
    pairs, lists = find_pairs(source, data)
    existing = [pair.file for pair in pairs if is_there(pair.file)]
    if not existing:
        raise Unread(data.root, f"none of its {len(pairs)} images has a label file")
    source.not_found += [pair.name for pair in pairs if not is_there(pair.file)]
    _, first = next(chain.from_iterable(_rows(source.files, path) for path in existing), (0, []))
    confident = len(first) > 5 and len(first) % 2 == 0 and 0 <= first[-1] <= 1  # else other rows are refused
    if not first:
        line = f"all its {len(existing)} label files are empty, as when Label Studio exports brush masks as YOLO"
        source.note(f"{line}: its JSON export holds them")
    elif confident:
        source.note("a confidence ends each row (save_conf): it is left off")
    shapes = partial(read_shapes, source.files, confident=confident, boxes=source.boxes is not None)
    pictures = [pair.labelled(Shapes(partial(shapes, pair.file))) for pair in pairs]
    return source.shapes_of(pictures, class_list, proves_objects=lambda _: True, small_on_top=True, lists=lists)


@dataclass(frozen=True)
class YoloData:
    """What a YAML file says."""

    file: Path
    """The YAML file, or else the set's list of names, or else the option `--classes`."""
    root: Path
    """The set's folder."""
    content: Mapping[str, Any]
    """The file's keys and values."""
    names: Mapping[int, str]
    """Class number → name, in rising order."""
    entries: Sequence[tuple[str, str]]
    """(split, folder or list of pictures as written). The folder of all pictures has the split ""."""


def read_data(files: SetFiles, path: Path, classes: Sequence[str] = ()) -> YoloData:
    """What a YAML file says. path: the file, or its folder, which has a data.yaml or a single YAML file. classes: the
    names for a folder without a list of names. Raises UserError, also if another list of the set says something else.
    """
    root = path if path.is_dir() else path.parent
    found = sorted(visible(path, "*.y*ml")) if path.is_dir() else [path]
    files_of_names = map(files.inside, class_list_files(root, root / LABELS))
    lists = read_class_lists(files_of_names, first=0, any_name=bool(found))
    if found:
        data = _read_yaml(files, found[0] if len(found) == 1 else path / DATA)
    elif classes or lists:
        file, names = next(iter(lists.items()), (Path("--classes"), dict(enumerate(classes))))
        data = YoloData(file, path, {}, names, [("", IMAGES if (path / IMAGES).is_dir() else ".")])
    else:
        problem = f"has no {DATA}, and nothing else names its classes"
        raise Unread(path, problem, "--classes names them in the order of their numbers")
    check_agree([(data.file, data.names), *lists.items()])
    return data


def _read_yaml(files: SetFiles, file: Path) -> YoloData:
    """What a YAML file says. Raises UserError."""
    content = files.yaml(file)
    named = {key: value for key, value in content.items() if part_of(key) and value}
    entries: list[tuple[str, str]] = []
    for key, value in fit(named, dict[str, str | list[str]], str(file)).items():
        entries += [(part_of(key) or "", text) for text in ([value] if isinstance(value, str) else value)]
    return YoloData(file, file.parent, content, yaml_names(content, file), entries)


def find_pairs(source: Source, data: YoloData) -> tuple[list[Pair], list[PartList]]:
    """(pairs, lists): the pictures in the folders that the YAML file names, each with its label file, and the lists of
    parts that it names. data: what it says.

    The label file of images/train/a.jpg is labels/train/a.txt. If the user named the folder of the pictures, a label
    file belongs to the picture in it whose path ends alike, and says its part. A label file without a picture counts as
    a missing picture, because its labels would be lost silently. Raises UserError.
    """
    root = data.root
    usual_images = root / IMAGES if (root / IMAGES).is_dir() else root
    images = source.images
    if source.labels is not None:
        images = images or usual_images
    places, lists = _places(source, data)
    by_name: Mapping[object, tuple[Path, str | None]] = {}
    if images is not None:
        places = {images: ""}
        by_name = _labels_by_name(source, data, images)
    elif lists:  # they say the parts
        places = {usual_images: "", **places}
    # The pictures, each in the last of its places. Of a folder of all parts, those with labels or in a list count.
    found: dict[Path, Pair] = {}
    for place, part in places.items():
        for name, path in sorted(images_by_name(place).items()):
            usual = label_file(path) if images is None else root / LABELS / f"{name}.txt"
            labels, own = by_name.get(path, (usual, part))
            if lists and part_of(top_folder(name)):
                name = name.partition("/")[2]
            labels = source.files.inside(labels)
            found[source.files.inside(path)] = Pair(own, name, path, labels, needs_list=own == "")
    if not found:
        raise Unread(images or root, "has no images where they are looked for", "--images names their folder")
    # Label files beside those of the pictures
    used = {pair.file: path.parent for path, pair in found.items()}
    for folder, place in sorted({labels.parent: place for labels, place in used.items()}.items()):
        for path in sorted(visible(folder, "*.txt")) if images is None and LABELS in folder.parts else ():
            if path not in used and path.name != native.CLASSES:
                source.leave_out(path, path.stem, [place])
    return [*found.values()], lists


def _places(source: Source, data: YoloData) -> tuple[dict[Path, str | None], list[PartList]]:
    """(places, lists): folder of pictures → part, and the lists, of those that the YAML file names and that are
    there."""
    places = dict[Path, str | None]()
    lists = list[PartList]()
    for part, text in data.entries:
        place = _locate(source.files, data, text)
        if place is None:
            if source.images is None or text.endswith(".txt"):
                source.note(f"{data.file.name}: {text} is not in {data.root}, and is left out")
        elif place.is_file():
            lists.append(PartList(part, place))
        else:
            places.setdefault(place, part or None)  # many files have `val: images/train`, because there is no other
    return places, lists


def _labels_by_name(source: Source, data: YoloData, images: Path) -> dict[object, tuple[Path, str | None]]:
    """Picture → the label file whose path ends alike, and the part of that file's folder. data: what the YAML file
    says. images: the folder of the pictures. Raises UserError for a picture with two label files."""
    root = source.labels or data.root
    texts = [path for path in sorted(walk(root)) if path.suffix == ".txt" and path.name != native.CLASSES]
    below = [path for path in texts if source.labels or LABELS in path.relative_to(root).parts]
    parts = {_steps(text, IMAGES): split for split, text in reversed(data.entries)}
    found: dict[object, tuple[Path, str | None]] = {}
    for path in below or [path for path in texts if is_label_file(source.files.lines(path))]:
        steps = _steps(path.relative_to(root).as_posix(), LABELS)
        picture = source.pictures.find([images], [Path(*steps).with_suffix("").as_posix()], images)
        if picture is None:
            source.leave_out(path, path.stem, [images])
            continue
        part = parts.get(steps[:-1]) or next(filter(part_of, steps[:-1]), None)
        other, _ = found.setdefault(picture.file, (path, part))
        if other != path:
            raise UserError(path, f"labels {picture.file}, and so does {other}", "keep one")
    return found


def _steps(text: str, without: str) -> tuple[str, ...]:
    """The steps of a path in a set without those that all sets have. without: the name of its folder."""
    steps = os.path.normpath(portable(text)).split("/")
    return tuple(step for step in steps if step not in (without, "..", "."))


def label_file(picture: Path) -> Path:
    """The label file of a picture: labels/train/a.txt for images/train/a.jpg. The last folder named `images` is
    replaced. The label file of a picture in no such folder is beside the picture."""
    parts = [*picture.with_suffix(".txt").parts]
    if IMAGES in parts:
        parts[len(parts) - 1 - parts[::-1].index(IMAGES)] = LABELS
    return Path(*parts)


def _locate(files: SetFiles, data: YoloData, text: str) -> Path | None:
    """The file or folder in the set that a path in a YAML file or a list means; None if it is not there. text: the path
    as it is written, for example `../train/images` for train/images, or with folders of another machine."""
    root = data.root
    name = os.path.normpath(portable(text))
    inner = f"/{name}".rpartition(f"/{IMAGES}/")[2].removeprefix("/")
    above = name.removeprefix("../")
    bases = (root / str(data.content.get("path") or "."), root)
    own = root / above.removeprefix(f"{Path(os.path.abspath(root)).name}/")  # Roboflow's paths begin with its name
    for path in (*(base / name for base in bases), root / above, own, root / IMAGES / inner):
        if path.exists() and files.holds(path):
            return Path(os.path.normpath(path))
    return None


def read_shapes(files: SetFiles, path: Path, *, confident: bool = False, boxes: bool = False) -> Iterator[Shape]:
    """The shapes in a label file, which may be missing. path: the file. confident: whether a confidence ends each row.
    boxes: whether boxes are masks, which are filled as polygons are. Raises UserError."""
    for number, row in _rows(files, path):
        here = f"{path}, line {number}"
        kind = "box" if len(row) < 7 else "polygon"
        if confident:
            row = row[:-1]
        shares = np.array(row[1:])
        if len(row) < 5 or len(row) % 2 == 0 or not ((shares >= -HAIR) & (shares <= 1 + HAIR)).all():
            raise UserError(
                here,
                "must be a class number, and x and y of three or more corners, each from 0 to 1; pixels and run "
                "lengths (RLE) are not read",
                "a confidence (save_conf) may end all rows of a set, or none",
            )
        corners = shares.reshape(-1, 2)
        runs = partial(_runs, corners=corners.clip(0, 1), filled=boxes)
        boxed = kind == "box" or _is_box(corners)
        if kind == "polygon" and has_outer_line(corners):
            kind = JOINED
        yield Shape(here, kind, f"{row[0]:g}", runs, boxed)


def _is_box(corners: np.ndarray) -> bool:
    """Whether four corners, perhaps with the first one again at the end, are those of a box, also of a turned one: as
    shares of the sides, they are a parallelogram."""
    closed = len(corners) == 5 and (corners[0] == corners[4]).all()
    if len(corners) != 4 + closed:
        return False
    first, second, third, fourth = corners[:4]
    return bool(np.abs(first + third - second - fourth).max() <= NEAR)


def _runs(frame: tuple[int, int], corners: np.ndarray, filled: bool) -> np.ndarray:
    """The run lengths of a row in a picture of the size `frame`, (H, W). corners: its corners as shares of the sides,
    or centre and size of a box. filled: whether a box is filled as a polygon, or has the pixels that it touches."""
    corners = corners * np.array(frame[::-1])
    if len(corners) > 2:
        return fill_polygon(frame, corners)
    centre = corners[0]
    half = corners[1] / 2
    if filled:
        return fill_polygon(frame, centre + half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]))
    return box_runs(frame, *(centre - half).tolist(), *(centre + half).tolist())


def _rows(files: SetFiles, path: Path) -> Iterator[tuple[int, list[float]]]:
    """(line number, numbers) of each line that is not empty; no numbers for a line of anything else. path: a label
    file, which may be missing."""
    for number, line in enumerate(files.text(path).splitlines() if is_there(path) else (), 1):
        if line.strip():
            row: list[float] = []
            with suppress(ValueError):
                row = [*map(float, line.split())]
            yield number, row


def is_folder(folder: Path) -> bool:
    """Whether a folder is of the format. A folder whose YAML file describes masks is of the format `masks`."""
    if described(folder) is not None:
        return False
    labels = next(iter(sorted((folder / LABELS).rglob("*.txt"))), None)
    named = any((folder / place / native.CLASSES).is_file() for place in ("", LABELS))
    bare = labels is not None and (named or is_label_file(SetFiles(folder).lines(labels)))
    return bare or (folder / DARKNET).is_file() or any(_has_names(file) for file in visible(folder, "*.y*ml"))


def _has_names(file: Path) -> bool:
    with suppress(UserError):  # not every YAML file is of a set
        return "names" in SetFiles(file).yaml(file)
    return file.name == DATA
