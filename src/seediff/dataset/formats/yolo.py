"""Writes and reads YOLO folders for segmentation. The pieces of objects come back exactly; ignored pixels become
background.

out/  data.yaml                     the folders of pictures of each split, and the names of the classes, numbered from 0
      images/{train,val}/NAME.jpg   pictures, as they are
      labels/{train,val}/NAME.txt   one line per piece: class number, then x and y of each corner as shares of the sides
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE, visible
from .. import native
from ..class_lists import number_classes
from ..sample import Sample
from ..shapes.objects import Objects, find_objects
from ..shapes.polygons import fill_polygon, object_polygons
from .drivers import Import
from .exporting import Export, MinArea, least_area
from .format_table import Contents
from .labelled import Labelled
from .masks import described
from .painting import BOXES, Canvas, is_box
from .part_lists import is_label_file
from .set_files import SetFiles
from .yolo_data import DARKNET, DATA, IMAGES, LABELS, YoloData, find_images, find_labels, read_data, write_data

HAIR = 0.01
"""How far outside the picture a corner may be, as a share of the side. It is moved to the edge, as in Ultralytics."""


def write(export: Export, *, min_area: MinArea = 1) -> None:
    """Writes polygons, which other programs fill to exactly the same masks. min_area: connected pieces with fewer
    pixels are left out. If a model made both a mask and its objects, other pieces of the mask are left out, too."""
    counts: Counter[str] = Counter()
    for placed in export.placed(outline, min_area=min_area):
        text, areas, lost = placed.encoded
        export.see(placed.sample, areas)
        export.put(f"{IMAGES}/{placed.split}/{placed.file_name}", placed.picture)
        export.put(f"{LABELS}/{placed.split}/{placed.name}.txt", text)
        counts.update(lost)
    export.count(counts["ignored"], "pixels are ignored (255); the format cannot say this: they become background")
    export.note_several(counts["several"], "become one line per piece: a polygon is one piece")
    export.note_pieces(min_area, counts["small"], "are left out: they become background")
    export.count(counts["others"], "pieces of masks belong to no object of the set: they become background")
    write_data(export, export.classes)


def outline(sample: Sample, labels: np.ndarray, min_area: MinArea) -> tuple[str, list[int], dict[str, int]]:
    """(text, areas, lost) of a sample. `text`: its label file, with the pieces of its objects, and then those of the
    other pixels of its classes. `areas`: the pixels of each piece. `lost`: what the file does not hold → how often.
    labels: the label map (H, W). min_area: as for `write`."""
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
    canvas, sides, polygons = Canvas(shape), np.array(shape[::-1]), list[tuple[int, int, np.ndarray]]()
    for line, words in _rows(text, confident):
        try:
            class_id, shares = ids[float(words[0])], np.array(words[1:], np.float64).reshape(-1, 2)
        except (ValueError, KeyError):
            class_id, shares = 0, np.zeros((0, 2))
        if len(shares) < 2 or not ((shares >= -HAIR) & (shares <= 1 + HAIR)).all():
            raise UserError(f"{where}, line {line}", _cause(words, ids))
        corners = shares.clip(0, 1) * sides
        if len(shares) == 2:
            corners = np.array([corners[0] + corners[1] / 2 * side for side in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
        if boxes or not _is_box(words):
            polygons.append((int(fill_polygon(corners, shape)[1].sum()), class_id, corners))
        elif len(shares) == 2:
            canvas.box_around(BOXES, corners.tolist())
        else:
            place, inside = fill_polygon(corners, shape)
            canvas.numbers[place][inside] = BOXES
    for _, class_id, corners in sorted(polygons, key=lambda polygon: -polygon[0]):
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


def _cause(words: Sequence[str], ids: Mapping[Any, int]) -> str:
    """What is wrong with a row. ids: as for `from_yolo`."""
    problem = f"must be a class, one of {', '.join(map(str, [*ids][:20]))}, and x and y of three or more corners, each"
    problem += " from 0 to 1"
    if any(not word.replace(".", "", 1).isdigit() or float(word) > 1 + HAIR for word in words[1:]):
        return f"{problem}; pixels and run lengths (RLE) are not read"
    if len(words) > 5 and len(words) % 2 == 0:
        return f"{problem}; a confidence may end all rows of a set (save_conf), or none"
    return problem


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


def read(
    source: Import,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    images: Path | None = None,
) -> Contents:
    """Reads a YOLO folder, or the set that a YAML file describes. A picture without a label file is all background.

    split: "train", "val" or "test"; None: all splits of the YAML file. classes: the classes in the order of their ids;
    None: the names in the YAML file or in another list (`read_data`). images: the folder of all pictures, if they lie
    elsewhere; then labels/ is the folder of labels. Raises UserError.
    """
    data = read_data(source.files, source.path, classes or ())
    if "kpt_shape" in data.content:
        raise UserError(data.file, "has poses (kpt_shape), whose points would be read as corners; masks need polygons")
    class_list = number_classes(data.names, data.file, void=(), classes=classes, note=source.note)
    pairs, lists = (find_images(source, data), []) if images is None else find_labels(source, data, images)
    confident, boxes = _check_rows(source, data, [pair.labels for pair in pairs])
    pictures, labels = list[Labelled](), dict[Path | None, Path]()
    for pair in pairs:
        draw = partial(
            _paint,
            files=source.files,
            labels=pair.labels,
            ids=class_list.ids,
            boxes=boxes,
            confident=confident,
        )
        where = pair.labels if pair.labels.exists() else pair.image
        pictures.append(pair._replace(where=where).labelled(draw=draw, objects=draw))
        labels[pair.image] = pair.labels
    samples = source.samples_of(pictures, split, data.root, lists)
    missing = sum(not labels[cast(Path, sample.source)].exists() for sample in samples)
    source.count(missing, f"of {len(samples)} pictures have no label file: background only")
    return Contents(class_list, samples)


def _check_rows(source: Import, data: YoloData, files: Sequence[Path]) -> tuple[bool, bool]:
    """(confident, boxes): whether a confidence ends each row of the label files, which a note says, and whether boxes
    are masks. Raises UserError if there are no files, or as `takes_boxes` does."""
    existing = [path for path in files if path.exists()]
    if files and not existing:
        raise UserError(data.root, f"none of its {len(files)} images has a label file, such as {files[0]}")
    rows, boxes, polygons, confident = 0, 0, 0, 0
    for path in existing:
        for _, words in _rows(source.files.text(path)):
            more = _ends_in_confidence(words)
            rows, confident = rows + 1, confident + more
            is_box = _is_box(words[: -more or None])
            boxes, polygons = boxes + is_box, polygons + (is_box and len(words) > 6)
    if existing and not rows:
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
