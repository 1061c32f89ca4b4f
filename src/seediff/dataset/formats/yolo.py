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
from .painting import Canvas
from .set_files import SetFiles
from .yolo_data import DATA, IMAGES, LABELS, find_images, read_data, write_data

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
    export.count(counts["several"], "objects in several pieces become one line per piece: a polygon is one piece")
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


def from_yolo(text: str, shape: tuple[int, int], ids: Mapping[Any, int], where: str | Path) -> Objects:
    """The objects in a label file, small polygons over large ones. Pixels that are only in a box are 255. text: the
    file's text. shape: (H, W) of the picture. ids: class number → id. where: the file's name in errors. Raises
    UserError."""
    canvas, sides, polygons = Canvas(shape), np.array(shape[::-1]), list[tuple[int, int, np.ndarray]]()
    for line, words in _lines(text):
        try:
            class_id, shares = ids[float(words[0])], np.array(words[1:], np.float64).reshape(-1, 2)
        except (ValueError, KeyError):
            class_id, shares = 0, np.zeros((0, 2))
        if len(shares) < 2 or not ((shares >= -HAIR) & (shares <= 1 + HAIR)).all():
            numbers = ", ".join(map(str, [*ids][:20]))
            problem = f"must be a class, one of {numbers}, and x and y of three or more corners, each from 0 to 1"
            raise UserError(f"{where}, line {line}", problem)
        corners = shares.clip(0, 1) * sides
        if len(corners) == 2:
            centre, size = corners
            canvas.box(*(centre - size / 2), *(centre + size / 2))
        else:
            polygons.append((int(fill_polygon(corners, shape)[1].sum()), class_id, corners))
    for _, class_id, corners in sorted(polygons, key=lambda polygon: -polygon[0]):
        place, inside = fill_polygon(corners, shape)  # filled twice, to save memory
        canvas.numbers[place][inside] = canvas.number(class_id)
    return canvas.painted()


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, words) of each line that is not empty."""
    return ((number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip())


def is_folder(folder: Path) -> bool:
    """Whether a folder is of the format. A folder whose YAML file describes masks is of the format `masks`."""
    if described(folder) is not None:
        return False
    bare = all((folder / part).exists() for part in (IMAGES, native.CLASSES)) and any((folder / LABELS).rglob("*.txt"))
    return bare or any(_has_names(file) for file in visible(folder, "*.y*ml"))


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
    None: the names in the YAML file or in classes.txt. images: the folder of all pictures, if they lie elsewhere or
    `images` is a link that leads out of the folder. Raises UserError.
    """
    data = read_data(source.files, source.path, classes or ())
    file = data.file
    if "kpt_shape" in data.content:
        raise UserError(file, "has poses (kpt_shape), whose points would be read as corners; masks need polygons")
    class_list = number_classes(data.names, file, void=(), classes=classes, note=source.note)

    pictures, labels = list[Labelled](), dict[Path | None, Path]()
    for pair in find_images(source, data, images):
        draw = partial(_paint, files=source.files, labels=pair.labels, ids=class_list.ids)
        pictures.append(pair._replace(where=pair.labels).labelled(draw=draw, objects=draw))
        labels[pair.image] = pair.labels
    samples = source.samples_of(pictures, split)
    read = [labels[cast(Path, sample.source)] for sample in samples]
    missing = [path for path in read if not path.exists()]
    lengths = Counter(len(words) for path in read for _, words in _lines(_text(source.files, path)))
    boxes, lines = lengths[5], lengths.total()  # a box has a class and four numbers
    if samples and len(missing) == len(samples):
        raise UserError(samples[0].where, f"has no label file, and no other picture of {file} has one")
    if boxes and boxes == lines:
        raise UserError(file, f"all its {boxes} objects are boxes; masks need polygons, of three or more corners")
    if lines and lengths[9] == lines:
        source.note("every object has four corners; if they are rotated boxes (OBB), they are no masks")
    source.count(boxes, f"of {lines} objects are boxes; pixels in them but in no polygon are ignored (255)")
    source.count(len(missing), f"of {len(samples)} pictures have no label file: background only")
    return Contents(class_list, samples)


def _paint(shape: tuple[int, int], files: SetFiles, labels: Path, ids: Mapping[int, int]) -> Objects:
    """The objects of a picture of the size `shape`, (H, W). labels: its label file. ids: class number → id. Raises
    UserError."""
    return from_yolo(_text(files, labels), shape, ids, labels)


def _text(files: SetFiles, labels: Path) -> str:
    """The text of a label file; "" if the file is missing."""
    return files.text(labels) if labels.exists() else ""
