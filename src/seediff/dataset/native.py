"""The native dataset, the folder that `generate` and `mask` make: its files, and how they are read (writing.py writes
them). `check_complete` refuses a folder whose run is not finished.

    out/  README.md          the dataset card
          seediff.toml       the exact configuration
          classes.txt        line i (from 0) = id i
          metadata.jsonl     one row per sample
          rejected.jsonl     every draw that was not kept
          failed.jsonl       photographs that could not be used
          preview.html       some pictures with their masks; for a browser without a server
          augmentations.jpg  in a set of `augment`: samples before and after each operation
          images/NAME.png    or .jpg
          masks/NAME.png     palette PNG: 0 background, 255 ignore, else class id
          instances/NAME.png             optional: object numbers, 16-bit grey, 0 for no object; a row's `instances`
                                         holds their class ids, and `instance_scores` their scores, if known
          soft/NAME_3.png                optional: soft mask of class id 3, 8-bit grey, 255 = 1
          attention/NAME.safetensors     optional: AttentionMaps
          made/1f0c….toml    in a set that was filtered, split or merged: the configurations that made its masks; `made`
                             in a row names its file
          reading.json       in an imported set: what its files were taken for, and what was left out
          review.jsonl, reviewed/        verdicts, other names of classes, and masks that people changed (reviews.py)

`Row` (rows/row.py) has the keys of a row. Hugging Face's `datasets` opens every file whose key ends in `file_name` as a
picture. `generate` numbers its samples, and a number is missing if every draw failed. `mask` keeps the names of the
photographs.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np

from ..config.class_names import BACKGROUND, read_class_list
from ..errors import UserError
from ..files.messages import show_json
from ..files.names import (
    BATCHES,
    CLASSES,
    CONFIG,
    IGNORE,
    IMAGES,
    INSTANCES,
    MASKS,
    METADATA,
)
from ..files.outputs import check_unused
from ..files.reading import check_unpacked, file_of, inside, open_regular
from ..rows.row import Row, each_row
from ..rows.values import SPLITS, ids_by_name
from .class_lists import ClassList, check_class_list
from .encoding import ReadObjects, read_label_map, read_objects
from .reading import Reading
from .reviews import Action, read_actions, reviewed_row
from .sample import ATTENTION, CONFIGS, EXTRAS, SOFT, Extras, Sample, check_name, id_table, repainted
from .shapes.changes import objects_of
from .shapes.objects import Objects

ABSENT = "no such file; a finished SeeDiff dataset has one"
_MADE = re.compile(rf"{CONFIGS}/[0-9a-f]{{16}}\.toml|{re.escape(CONFIG)}")


def config_file(folder: Path, made: str | None) -> Path | None:
    """The configuration that made a mask: the file that the row names, or else the set's own; None if there is no such
    file. folder: the dataset. made: the row's `made`."""
    name = made or CONFIG
    if _MADE.fullmatch(name) and (folder / name).is_file():
        return inside(folder, name)
    return None


def sample_files(name: str, image_format: str) -> tuple[str, str]:
    """(picture, label map): the paths of a sample's files in the dataset. image_format: "png" or "jpg"."""
    return f"{IMAGES}/{name}.{image_format}", f"{MASKS}/{name}.png"


def extra_file(kind: str, name: str, class_id: int | None) -> str:
    """The path of an optional file of a sample in the dataset, such as `soft/000003_1.png` or
    `attention/000003.safetensors`. kind: one of EXTRAS. class_id: None for a file about all classes."""
    if class_id is None:
        return f"{kind}/{name}.safetensors"
    return f"{kind}/{name}_{class_id}.png"


def dataset_labels(label_map: np.ndarray, class_ids: Sequence[int]) -> np.ndarray:
    """A label map (H, W) uint8 with other ids: i becomes `class_ids[i - 1]`, and 0 and 255 stay. label_map: (H, W)
    uint8."""
    return id_table(class_ids)[label_map]


def jsonl(rows: Sequence[Row]) -> bytes:
    """The text of metadata.jsonl: one JSON object per line."""
    return "".join(json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def classes_text(classes: Sequence[str]) -> bytes:
    """The text of classes.txt: the background and every class, one per line, in the order of their ids."""
    return "".join(name + "\n" for name in (BACKGROUND, *classes)).encode("utf-8")


def read_classes(out: Path | str) -> tuple[str, ...]:
    """The classes of the dataset `out`, without the background: position i has the class of id i + 1. Raises
    UserError."""
    path = Path(out) / CLASSES
    names = read_class_list(path, first=0, absent=ABSENT, any_name=True)
    if names.get(0) != BACKGROUND or [*names] != [*range(len(names))]:
        raise UserError(path, f"the first line must be '{BACKGROUND}', the name of id 0, and line i the name of id i")
    classes = tuple(names.values())[1:]
    check_class_list(classes, path)
    return classes


def read_rows(out: Path | str, name: str = METADATA) -> list[Row]:
    """The rows of a file in the dataset `out`. name: the file. Raises UserError for an invalid row, and for a row of
    metadata.jsonl that does not name a picture and a mask."""
    rows = list[Row]()
    for where, row in each_row(Path(out) / name, ABSENT):
        if name == METADATA and not (row.file_name and row.mask_file_name):
            problem = "needs 'file_name' and 'mask_file_name', the paths of two images inside the dataset"
            raise UserError(where, problem)
        rows.append(row)
    return rows


def check_complete(folder: Path) -> None:
    """Raises UserError if a folder does not exist, or if the run that makes it is not finished."""
    if not folder.is_dir():
        check_unpacked(folder)
        if folder.exists():
            raise UserError(folder, "is a file; name the folder of a dataset")
        raise UserError(folder, "no such folder")
    # In a set that no run made, metadata.jsonl was lost: `check` reports it.
    if (folder / BATCHES).is_dir() and not (folder / METADATA).is_file():
        check_unused(folder)
        fix = "run its command again to continue it"
        if any((folder / BATCHES).glob("*.json")):
            fix += ", or with --finish to keep what is made"
        raise UserError(folder, "the run that makes it is not finished", fix)


def check_native(folder: Path) -> None:
    """Raises UserError for a folder that is not a finished native dataset."""
    check_complete(folder)
    if not (folder / CLASSES).is_file() and not (folder / METADATA).is_file():
        below = sorted(str(path.parent) for path in folder.glob(f"*/{METADATA}"))
        fix = f"give {' or '.join(below)}" if below else "`seediff import` reads other formats"
        raise UserError(folder, f"is no dataset: it has no {METADATA}", fix)


def check_single(folder: Path) -> None:
    """Raises UserError for a folder of several datasets, such as `split` writes, and as `check_complete` does."""
    check_complete(folder)
    if any(folder.glob(f"*/{METADATA}")):
        check_native(folder)


def part_folders(folder: Path) -> list[Path]:
    """The datasets that a folder is made of: the folder itself, or two or three parts, as `split` writes them."""
    parts = [folder / part for part in SPLITS if (folder / part / METADATA).is_file()]
    if (folder / METADATA).exists() or len(parts) < 2:
        return [folder]
    return parts


class RowReader:
    """Makes a sample of each row of a native dataset. folder: the dataset. classes: its classes. actions: what people
    did about its samples, the oldest action first."""

    def __init__(self, folder: Path, classes: Sequence[str], actions: Sequence[Action] = ()) -> None:
        self.folder = folder
        self.classes = classes
        self.ids = ids_by_name(classes)
        self.kinds = [kind for kind in EXTRAS if inside(folder, kind).is_dir()]
        self.config_of = cache(partial(config_file, folder))
        self.last = {action.sample: action for action in actions}
        self.names: set[str] = set()

    def sample(self, row: Row, where: str) -> Sample:
        """The sample of a row. Its files may be missing. row: as in metadata.jsonl, before people's decisions. where:
        its name in errors. Raises UserError, also if another row has the name, and if the row's classes are not those
        of classes.txt."""
        image = file_of(self.folder, row.file_name, where, "file_name")
        name = row.sample
        check_name(name, self.names, where)
        for label in row.class_names:
            if label not in self.ids:
                raise UserError(where, f"class {show_json(label)} is not in {CLASSES}")
        here = tuple(self.ids[label] for label in row.class_names)
        if row.classes is not None and row.class_ids not in (None, here):
            written = f"says that {show_json(row.class_names)} have the ids {show_json(row.class_ids)}"
            problem = f"{written}, but in {CLASSES} they have {show_json(here)}"
            raise UserError(where, problem, f"restore {CLASSES} from a copy")
        mask = file_of(self.folder, row.mask_file_name, where, "mask_file_name")
        extras = self._extras(name, row)
        objects = self._objects(name, row, where)
        row = row.replace(instances=None, instance_scores=None)  # they are in the sample's `instances`
        sample = Sample(image, partial(read_label_map, mask), objects, row, name=name, extras=extras)
        action = self.last.get(name)
        if not action:
            return sample
        return reviewed_sample(self.folder, sample, action, self.classes, where)

    def _extras(self, name: str, row: Row) -> Extras:
        """The optional files of a sample. row: as for `sample`. Raises UserError for a file that leads out of the
        dataset."""
        config = self.config_of(row.made)
        extras: Extras = {}
        class_ids = range(1, len(self.classes) + 1) if row.class_ids is None else row.class_ids
        for kind, class_id in [(ATTENTION, None), *((SOFT, one) for one in class_ids)]:
            file = extra_file(kind, name, class_id)
            if kind in self.kinds and os.path.isfile(f"{self.folder}/{file}"):
                extras[kind, class_id] = inside(self.folder, file)
        if config:
            extras[CONFIGS, None] = config
        return extras

    def _objects(self, name: str, row: Row, where: str) -> ReadObjects | None:
        """A function that reads the objects of a sample; None for a sample without objects. row, where: as for
        `sample`. Raises UserError for class ids and scores that objects cannot have."""
        file = f"{INSTANCES}/{name}.png"
        if row.instances is None and not os.path.isfile(f"{self.folder}/{file}"):
            return None
        path = inside(self.folder, file)
        class_ids, scores = row.instances or (), row.instance_scores or ()
        unknown = {*class_ids} - {*self.ids.values(), IGNORE}
        if unknown or len(scores) not in (0, len(class_ids)):
            fix = f"they are classes from 1 to {len(self.classes)}, as in {CLASSES}, and have a score each, or none"
            raise UserError(where, "its `instances` or `instance_scores` are wrong", fix)
        return partial(read_objects, path, class_ids, scores)


def reviewed_sample(folder: Path, sample: Sample, action: Action, classes: Sequence[str], where: str = "") -> Sample:
    """A sample of a native dataset after the last action about it. sample: as it was made. folder, classes: the
    dataset's. where: the sample in errors. Raises UserError as `reviewed_row` does, and for a file that leads out of
    the dataset."""
    after = sample.replace(row=reviewed_row(sample.row, action, classes))
    if action.mask:
        corrected = file_of(folder, action.mask, where, "mask_file_name")
        after = repainted(sample, partial(read_label_map, corrected, action.hash), after.row)
    if action.objects:
        path = file_of(folder, action.objects, where, "objects")
        after = after.replace(instances=partial(_divided, after, path))
    return after


def _divided(sample: Sample, path: Path) -> Objects:
    """The objects that a person cut or joined. sample: as it was without this. path: the object map. Raises
    UserError."""
    numbers, labels = read_objects(path, (), ()).numbers, sample.label_map
    if numbers.shape != labels.shape:
        raise UserError(path, f"is {numbers.shape}, but its label map is {labels.shape}; both are (height, width)")
    return objects_of(numbers, labels, sample.instances)


def open_native(folder: Path | str, *, as_made: bool = False) -> tuple[tuple[str, ...], list[Sample]]:
    """(classes, samples) of a native dataset. `classes`: without the background. `samples`: with corrected masks in
    place of the originals, and with people's decisions as `review` in the rows.

    folder: the dataset. as_made: leave out what people decided and corrected. Raises UserError if the run that makes
    the folder is not finished, and for a row whose files are missing, lead out of the folder, or belong to
    another row.
    """
    folder = Path(folder)
    check_native(folder)
    actions: Sequence[Action] = ()
    if not as_made:  # before the classes, which may get more meanwhile, but never fewer
        actions = read_actions(folder)
    classes = read_classes(folder)
    reader = RowReader(folder, classes, actions)
    samples: list[Sample] = []
    for where, row in each_row(folder / METADATA, ABSENT):
        sample = reader.sample(row, where)
        files = [*filter(None, (sample.row.file_name, sample.row.mask_file_name))]
        if row.instances is not None:
            files.append(f"{INSTANCES}/{sample.name}.png")
        for file in files:
            if not os.path.isfile(f"{folder}/{file}"):
                open_regular(folder / file)  # says why not
        samples.append(sample)
    return classes, samples


def read_as(classes: Sequence[str], samples: Iterable[Sample]) -> Reading:
    """How a native dataset is understood, without counts. samples: its samples."""
    listed = ClassList(tuple(classes), {number: number for number in range(len(classes) + 1)}, where=CLASSES)
    return listed.reading(Counter(sample.row.split for sample in samples))
