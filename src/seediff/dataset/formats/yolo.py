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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.photo_files import visible, walk
from ...files.reading import fit
from ...rows.values import part_of
from .. import native
from ..class_lists import DATA, check_agree, described, list_files, number_classes, read_lists, yaml_names
from ..sample import Sample
from ..shapes.objects import Objects, find_objects
from ..shapes.polygons import fill_polygon, object_polygons
from .drivers import Import
from .exporting import Export, MinArea, least_area
from .format_table import Contents
from .painting import BOXES, Canvas, Labelled, is_box
from .set_files import SetFiles, how_to_find, images_by_name, is_label_file, portable, top_folder

DARKNET = "obj.names"
IMAGES, LABELS, MASKS = "images", "labels", "masks"
HAIR = 0.01
"""How far outside the picture a corner may be, as a share of the side. It is moved to the edge, as in Ultralytics."""


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


@dataclass(frozen=True)
class YoloData:
    """What a YAML file says."""

    file: Path
    """The YAML file; for a folder without such a file, its list of names, which may be missing."""
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
    files_of_names = map(files.inside, list_files(root, root / LABELS))
    lists = read_lists(files_of_names, first=0, any_name=bool(found))
    if not found and (classes or lists):
        file, names = next(iter(lists.items()), (path / native.CLASSES, dict(enumerate(classes))))
        data = YoloData(file, path, {}, names, [("", IMAGES if (path / IMAGES).is_dir() else ".")])
    else:
        data = _read_yaml(files, found[0] if len(found) == 1 else path / DATA)
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


def find_pairs(source: Import, data: YoloData) -> tuple[list[Labelled], list[tuple[str, Path]]]:
    """(pairs, lists): the pictures of a dataset, each once, with their label files, which may not exist; and the lists
    of parts that the YAML file names. data: what the YAML file says.

    The label file of images/train/a.jpg is labels/train/a.txt. If the user named the folder of the pictures, a label
    file belongs to the picture in it whose path ends alike, and says its part. A label file without a picture counts as
    a missing picture, because its labels would be lost silently. Raises UserError.
    """
    root, images, places, lists = data.root, source.images, dict[Path, str | None](), list[tuple[str, Path]]()
    # Folders and lists of pictures
    for part, text in data.entries:
        place = _locate(source.files, data, text)
        if place is None and (images is None or text.endswith(".txt")):
            source.note(f"{data.file.name}: {text} is not in {root}, and is left out")
        elif place is not None and place.is_file():
            lists.append((part, place))
        elif place is not None:
            places.setdefault(place, part or None)  # many files have `val: images/train`, because there is no other
    whole = images
    if lists and images is None:
        whole = root / IMAGES if (root / IMAGES).is_dir() else root
    if whole:
        places = {whole: "", **(places if images is None else {})}
    if not places:
        raise UserError(data.file, f"names no images in {root}", how_to_find(False))
    # The pictures, each in the last of its places. Of a whole folder, those with labels or in a list count.
    found: dict[Path, Labelled] = {}
    for place, part in places.items():
        for name, path in sorted(images_by_name(place).items()):
            labels = source.files.inside(label_file(path) if images is None else root / LABELS / f"{name}.txt")
            if lists and part_of(top_folder(name)):  # a list says the part
                name = name.partition("/")[2]
            found[source.files.inside(path)] = Labelled.by_file(part, name, path, labels, listed=place == whole)
    if not found:
        raise UserError(root, "has no images", how_to_find(images is not None))
    if images is not None:
        _pair_by_name(source, data, images, found)
        return [*found.values()], lists
    used = {pair.labels: path.parent for path, pair in found.items()}
    for folder, place in sorted({labels.parent: place for labels, place in used.items()}.items()):
        for path in sorted(visible(folder, "*.txt")) if LABELS in folder.parts else ():
            if path not in used and path.name != native.CLASSES:
                source.leave_out(path, path.stem, [place])
    return [*found.values()], lists


def _pair_by_name(source: Import, data: YoloData, images: Path, found: dict[Path, Labelled]) -> None:
    """Gives each picture in a folder the label file whose path ends alike, and the part of that file's folder. data:
    what the YAML file says. images: the folder. found: its pictures. Raises UserError for a picture with two label
    files."""
    root = data.root
    texts = [path for path in sorted(walk(root)) if path.suffix == ".txt" and path.name != native.CLASSES]
    below = [path for path in texts if LABELS in path.relative_to(root).parts]
    parts = {_steps(text, IMAGES): split for split, text in reversed(data.entries)}
    for path in below or [path for path in texts if is_label_file(source.files.lines(path))]:
        steps = _steps(path.relative_to(root).as_posix(), LABELS)
        picture = source.pictures.find([images], [Path(*steps).with_suffix("").as_posix()], images)
        if picture is None:
            source.leave_out(path, path.stem, [images])
            continue
        pair = found[picture[0]]
        if not pair.listed:
            raise UserError(path, f"labels {picture[0]}, and so does {pair.labels}", "keep one")
        part = parts.get(steps[:-1]) or next(filter(part_of, steps[:-1]), None)
        found[picture[0]] = replace(pair, where=str(path), part=part, labels=source.files.inside(path), listed=False)


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
    root, name = data.root, os.path.normpath(portable(text))
    inner, above = f"/{name}".rpartition(f"/{IMAGES}/")[2].removeprefix("/"), name.removeprefix("../")
    bases = (root / str(data.content.get("path") or "."), root)
    own = root / above.removeprefix(f"{Path(os.path.abspath(root)).name}/")  # Roboflow's paths begin with its name
    for path in (*(base / name for base in bases), root / above, own, root / IMAGES / inner):
        if path.exists() and files.holds(path):
            return Path(os.path.normpath(path))
    return None


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
    objects, least = sample.objects(labels), least_area(sample, labels, min_area)
    pieces, owners = objects.pieces(least)
    text, areas, small, others = as_yolo(pieces), pieces.areas, pieces.small, 0
    rest = find_objects(objects.rest(labels))
    if rest.class_ids and sample.row.method:  # what the method did not take for an object
        others = len(rest.class_ids)
    elif rest.class_ids:
        more = rest.pieces(least)[0]
        text, areas, small = text + as_yolo(more), areas + more.areas, small + more.small
    several = sum(count > 1 for count in Counter(owners).values())
    lost = {"ignored": int((labels == IGNORE).sum()), "small": small, "several": several, "others": others}
    return text, areas, lost


def as_yolo(pieces: Objects) -> str:
    """The text of a label file with a line for each piece. pieces: objects in one piece each, as from
    `Objects.pieces`."""
    sides = np.array(pieces.numbers.shape[::-1], np.float64)
    lines = []
    for class_id, polygon in zip(pieces.class_ids, object_polygons(pieces), strict=True):
        shares = (polygon / sides).ravel().tolist()
        lines.append(f"{class_id - 1} " + " ".join([f"{share:.6f}" for share in shares]) + "\n")
    return "".join(lines)


def from_yolo(
    text: str,
    shape: tuple[int, int],
    ids: Mapping[Any, int],
    where: str | Path,
    boxes: bool = False,
    confident: bool = False,
) -> Objects:
    """The objects in a label file, small polygons over large ones. Pixels that are only in a box are 255. text: the
    file's text. shape: (H, W) of the picture. ids: class number → id. where: the file's name in errors. boxes: whether
    boxes are masks. confident: whether a confidence ends each row. Raises UserError."""
    canvas, sides, masks = Canvas(shape), np.array(shape[::-1]), list[tuple[int, int, np.ndarray]]()
    for line, words in _rows(text, confident):
        try:
            class_id, shares = ids[float(words[0])], np.array(words[1:], np.float64).reshape(-1, 2)
        except (ValueError, KeyError):
            class_id, shares = 0, np.zeros((0, 2))
        if len(shares) < 2 or not ((shares >= -HAIR) & (shares <= 1 + HAIR)).all():
            raise UserError(
                f"{where}, line {line}",
                f"must be a class, one of {', '.join(map(str, [*ids][:20]))}, and x and y of three or more corners, "
                "each from 0 to 1; pixels and run lengths (RLE) are not read",
                "a confidence (save_conf) may end all rows of a set, or none",
            )
        corners = shares.clip(0, 1) * sides
        if len(shares) == 2:
            corners = corners[0] + corners[1] / 2 * [(-1, -1), (1, -1), (1, 1), (-1, 1)]
        if not boxes and len(shares) == 2:
            canvas.box(BOXES, *corners[0].tolist(), *corners[2].tolist())
            continue
        place, inside = fill_polygon(corners, shape)
        if boxes or not _is_box(words):
            masks.append((int(inside.sum()), class_id, corners))
        else:
            canvas.numbers[place][inside] = BOXES
    for _, class_id, corners in sorted(masks, key=lambda mask: -mask[0]):
        place, inside = fill_polygon(corners, shape)  # filled twice, to save memory
        canvas.numbers[place][inside] = canvas.number(class_id)
    return canvas.painted()


def _rows(text: str, confident: bool = False) -> Iterator[tuple[int, list[str]]]:
    """(line number, words) of each line that is not empty. confident: leave out the last word."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.split()[: -confident or None]


def _is_box(words: Sequence[str]) -> bool:
    """Whether a row is a box: centre and size, four corners as of rotated boxes, or a closed box."""
    if len(words) != 11:
        return len(words) in (5, 9)
    with suppress(ValueError):
        return is_box([(float(x), float(y)) for x, y in zip(words[1::2], words[2::2], strict=True)])
    return False


def _ends_in_confidence(words: Sequence[str]) -> bool:
    with suppress(ValueError):
        return len(words) > 5 and len(words) % 2 == 0 and 0 <= float(words[-1]) <= 1
    return False


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


def read(source: Import) -> Contents:
    """Reads a YOLO folder, or the set that a YAML file describes. A picture without a label file is all background. The
    classes are the names in the YAML file or in another list (`read_data`). If the user named the folder of all
    pictures, labels/ is the folder of labels. Raises UserError."""
    data = read_data(source.files, source.path, source.classes or ())
    if "kpt_shape" in data.content:
        raise UserError(data.file, "has poses (kpt_shape), whose points would be read as corners; masks need polygons")
    class_list = number_classes(data.names, data.file, void=(), classes=source.classes, note=source.note)
    pairs, lists = find_pairs(source, data)
    confident, boxes = _check_rows(source, data, pairs)
    pictures: list[Labelled] = []
    paint = partial(_paint, files=source.files, ids=class_list.ids, boxes=boxes, confident=confident)
    for pair in pairs:
        draw = partial(paint, labels=pair.labels)
        pictures.append(replace(pair, draw=draw, objects=draw))
    return Contents(class_list, source.samples_of(pictures, data.root, lists))


def _check_rows(source: Import, data: YoloData, pairs: Sequence[Labelled]) -> tuple[bool, bool]:
    """(confident, boxes): whether a confidence ends each row of the label files, which a note says, and whether boxes
    are masks. A note counts pictures without a label file. Raises UserError if there are no label files, or as
    `takes_boxes` does."""
    existing = [pair.labels for pair in pairs if pair.labels.exists()]
    if not existing:
        raise UserError(data.root, f"none of its {len(pairs)} images has a label file, such as {pairs[0].labels}")
    bare = sum(not pair.listed and not pair.labels.exists() for pair in pairs)
    source.count(bare, f"of {len(pairs)} images without a label file: background only")
    rows, boxes, polygons, confident = 0, 0, 0, 0
    for path in existing:
        for _, words in _rows(source.files.text(path)):
            more = _ends_in_confidence(words)
            rows, confident = rows + 1, confident + more
            is_box = _is_box(words[: -more or None])
            boxes, polygons = boxes + is_box, polygons + (is_box and len(words) > 6)
    if not rows:
        line = f"all its {len(existing)} label files are empty, as when Label Studio exports brush masks as YOLO"
        source.note(f"{line}: its JSON export holds them")
    if rows and confident == rows:
        source.note(f"a confidence ends each of {rows} rows (save_conf): it is left off")
    return 0 < rows == confident, source.takes_boxes(boxes, polygons, rows, data.file)


def _paint(
    shape: tuple[int, int], files: SetFiles, labels: Path, ids: Mapping[int, int], boxes: bool, confident: bool
) -> Objects:
    """The objects of a picture of the size `shape`, (H, W). labels: its label file. ids: class number → id. boxes,
    confident: as for `from_yolo`. Raises UserError."""
    text = files.text(labels) if labels.exists() else ""
    return from_yolo(text, shape, ids, labels, boxes, confident)
