"""Reads the native dataset, the folder that `generate` and `mask` write; `saving` writes it.

    out/  README.md          the dataset card
          seediff.toml       the exact configuration
          classes.txt        line i (from 0) = id i
          metadata.jsonl     one row per sample
          rejected.jsonl     with --reject: every draw that was not kept
          failed.jsonl       photographs that could not be used
          preview.html       some pictures with their masks, and steps/; for a browser without a server
          images/NAME.png    or .jpg
          masks/NAME.png     palette PNG: 0 background, 255 ignore, else class id
          instances/NAME.png             optional: object numbers, 16-bit grey, 0 for no object; a row's `instances`
                                         holds their class ids, and `instance_scores` their scores, if known
          soft/NAME_3.png                optional: soft mask of class id 3, 8-bit grey, 255 = 1
          attention/NAME.safetensors     optional: AttentionMaps
          steps/NAME_3.png               a few samples: every step of class 3's mask, in one picture
          made/1f0c….toml    in a set that was filtered, split or merged: the configurations that made its masks; `made`
                             in a row names its file
          review.jsonl, reviewed/        verdicts, and masks that people changed (reviews.py)

A row (`Row` in rows.py has its fields): file_name and mask_file_name (paths in the folder), prompt, classes and their
class_ids, seed, attempt, flags, area (share of the image in [0, 1] of each class), model, method, version. `datasets`
makes a picture of every key that ends in `file_name`. `generate` numbers its samples, and a number is missing if every
draw failed; `mask` keeps the names of the photographs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ..config.class_names import BACKGROUND, read_class_list
from ..errors import UserError
from ..files.documents import Json, read_json_lines
from ..files.label_maps import IGNORE
from ..files.messages import show_json
from ..files.outputs import BATCHES, CONFIG, IMAGES, STEPS
from ..files.photo_files import looks_like_image, sample_name
from ..files.reading import check_unpacked, inside
from .encoding import Instances, LabelFile, ObjectsFile, ReadObjects, read_label_map
from .reviews import Action, makers, read_actions, reviewed_row
from .rows import as_row, check_class_list, check_name, check_row, checked_rows
from .sample import CONFIGS, SOFT, Extras, Sample
from .shapes.objects import objects_after

CARD, CLASSES, METADATA = "README.md", "classes.txt", "metadata.jsonl"
REJECTED, PREVIEW = "rejected.jsonl", "preview.html"
MASKS, INSTANCES, ATTENTION = "masks", "instances", "attention"
EXTRAS = (SOFT, ATTENTION, STEPS)
"""Folders of optional files of a sample, besides its picture and label map."""
ABSENT = "no such file; a finished SeeDiff dataset has one"
CHUNK = 8
"""Samples that are sent to another process together: each takes a millisecond or two."""
INSTANCE_KEYS = ("instances", "instance_scores")
"""The keys of a row that belong to the file of its objects."""
_MADE = re.compile(rf"{CONFIGS}/[0-9a-f]{{16}}\.toml|{re.escape(CONFIG)}")


def made_by(folder: Path, made: str | None) -> Path | None:
    """The configuration that made a mask: the file that `made` in its row names, or else the set's own; None if the set
    has none. Raises UserError if `made` names a file that is not there, or no configuration."""
    path = inside(folder, made or CONFIG)
    if path.is_file() and _MADE.fullmatch(made or CONFIG):
        return path
    if made is not None:
        problem = "a row's `made` names it, but there is no such configuration"
        raise UserError(path, problem, "restore it, or remove the key from the row")
    return None


def sample_files(name: str, image_format: str) -> tuple[str, str]:
    """The paths of a sample's picture and label map."""
    return f"{IMAGES}/{name}.{image_format}", f"{MASKS}/{name}.png"


def dataset_labels(label_map: np.ndarray, class_ids: Sequence[int]) -> np.ndarray:
    """A label map (H, W) uint8 in the dataset's ids. label_map: (H, W) of ids 1, 2, …, which become the first, second,
    … of `class_ids`, and of 0 and 255, which stay."""
    table = np.zeros(256, np.uint8)
    table[1 : len(class_ids) + 1] = class_ids
    table[IGNORE] = IGNORE
    return table[label_map]


def jsonl(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """One JSON object per line, with the keys in the order of the row."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def classes_text(classes: Sequence[str]) -> bytes:
    """classes.txt: the background and every class, one per line, in the order of their ids."""
    return "".join(name + "\n" for name in (BACKGROUND, *classes)).encode("utf-8")


def read_classes(out: Path | str) -> tuple[str, ...]:
    """The classes of a dataset without the background; the i-th, from 0, has id i + 1."""
    path = Path(out) / CLASSES
    names = read_class_list(path, first=0, absent=ABSENT)
    if names.get(0) != BACKGROUND or [*names] != [*range(len(names))]:
        raise UserError(path, f"the first line must be '{BACKGROUND}', the name of id 0, and line i the name of id i")
    classes = tuple(names.values())[1:]
    check_class_list(classes, path)
    return classes


def read_rows(out: Path | str, name: str = METADATA) -> list[Json]:
    """The rows of metadata.jsonl or of another file, checked. Raises UserError, also for a row of metadata.jsonl that
    does not name a picture and a mask."""
    path = Path(out) / name
    rows = list(checked_rows(path, ABSENT))
    for number, row in enumerate(rows if name == METADATA else (), 1):
        if not row.get("file_name") or not row.get("mask_file_name"):
            problem = "needs 'file_name' and 'mask_file_name', the paths of two pictures inside the dataset"
            raise UserError(f"{path}, row {number}", problem)
    return rows


def check_finished(folder: Path) -> None:
    """Raises UserError if there is no such folder, or if a run that began in it is not finished."""
    if not folder.is_dir():
        check_unpacked(folder)
        if folder.exists():
            raise UserError(folder, "is a file; name the folder of a dataset")
        raise UserError(folder, "no such folder")
    # In a set that no run made, a missing file was lost: `check` reports it.
    if (folder / BATCHES).is_dir() and not (folder / METADATA).is_file():
        raise UserError(folder, "the run that makes it is not finished", "run the same command to continue it")


def check_native(folder: Path) -> None:
    """Raises UserError for a folder that is no dataset, naming the datasets in it."""
    if (folder / CLASSES).is_file() or (folder / METADATA).is_file():
        return
    held = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
    sets = sorted(str(path.parent) for path in folder.glob(f"*/{METADATA}"))
    fix = how_to_paint(folder) or "`seediff import` reads other formats"
    if sets:
        fix = f"give {' or '.join(sets)}"
    raise UserError(folder, f"is not a SeeDiff dataset (it holds {held})", fix)


def how_to_paint(folder: Path) -> str:
    """A line with the command that makes a set of pictures without labels; "" for a folder that holds anything else."""
    names = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    if not names or not all(map(looks_like_image, names)):
        return ""
    return (
        f"to paint masks of them: `seediff import {shlex.quote(str(folder))} --classes dog,cat --unlabelled --out pets`"
    )


def check_single(folder: Path) -> None:
    """Raises UserError for a folder that holds several datasets, such as `split` writes."""
    if any(folder.glob(f"*/{METADATA}")):
        check_native(folder)


class RowReader:
    """Makes a sample of each row of a native dataset. actions: what people did about samples, the oldest first."""

    def __init__(self, folder: Path, classes: Sequence[str], actions: Sequence[Action] = ()) -> None:
        self.folder, self.classes = folder, classes
        self.extras = find_extras(folder)
        self.made_by = cache(partial(made_by, folder))
        self.last, self.makers = {action.sample: action for action in actions}, makers(actions)
        self.names: set[str] = set()

    def sample(self, as_made: Json, where: str) -> Sample:
        """The sample of a row, whose files may be missing. as_made: the row before people's decisions. where: the row's
        name in errors. Raises UserError."""
        check_row(as_made, where)
        name = sample_name(as_made.get("file_name") or "")
        action = self.last.get(name)
        maker = self.makers.get(action.mask or "") if action else None
        row = reviewed_row(as_made, action, maker, self.classes)
        mask_sha256 = action.hash if action and action.mask else None
        image = inside(self.folder, row.get("file_name"), where, "file_name")
        mask = inside(self.folder, row.get("mask_file_name"), where, "mask_file_name")
        check_name(name, self.names, where)
        for label in row.get("classes") or ():
            if label not in self.classes:
                raise UserError(where, f"class {show_json(label)} is not in {CLASSES}")
        extras = self._extras(name, row, where)
        instances = self._objects(name, row, where)
        if instances is not None and mask_sha256:
            original_mask = inside(self.folder, as_made["mask_file_name"], where, "mask_file_name")
            instances = partial(_objects_after, instances, original_mask, mask, mask_sha256)
        for key in INSTANCE_KEYS:  # they are in the sample's `instances`
            row.pop(key, None)
        return Sample(image, LabelFile(mask, mask_sha256), instances, row, name=name, extras=extras)

    def _extras(self, name: str, row: Mapping[str, Any], where: str) -> Extras:
        """The `extras` of a sample. Raises UserError for a row whose configuration is missing."""
        extras = dict(self.extras.get(name, {}))
        if as_row(row, where).review.replaced:  # soft masks describe the original
            extras = {key: path for key, path in extras.items() if key[0] != SOFT}
        try:
            config = self.made_by(row.get("made"))
        except UserError as error:
            raise UserError(where, f"{error.subject} {error.reason}") from error
        if config:
            extras[CONFIGS, None] = config
        return extras

    def _objects(self, name: str, row: Mapping[str, Any], where: str) -> ReadObjects | None:
        """A function that reads the objects of a sample; None for a sample without objects. Raises UserError for a row
        with class ids or scores that objects cannot have."""
        file = f"{INSTANCES}/{name}.png"
        if "instances" not in row and not os.path.isfile(f"{self.folder}/{file}"):
            return None
        path = inside(self.folder, file)
        class_ids, scores = (tuple(row.get(key, ())) for key in INSTANCE_KEYS)
        for class_id in class_ids:
            if not 0 < class_id <= len(self.classes) and class_id != IGNORE:
                fix = f"they must be from 1 to {len(self.classes)}, as in {CLASSES}"
                raise UserError(where, f"its `instances` name class {class_id}", fix)
        if len(scores) not in (0, len(class_ids)):
            problem = f"has {len(scores)} `instance_scores` for {len(class_ids)} `instances`"
            raise UserError(where, problem, "give one for each, or none")
        return ObjectsFile(path, class_ids, scores)


def open_native(folder: Path | str, *, reviewed: bool = True) -> tuple[tuple[str, ...], list[Sample]]:
    """(classes, samples) of a native dataset. `classes`: without the background. `samples`: with corrected masks in
    place of the originals, and people's decisions as `review` in the rows. reviewed: False returns the samples as they
    were made.

    Raises UserError naming the file and row of a path that is missing, leads out of the folder or is a duplicate, and
    if the folder's run is not finished."""
    folder = Path(folder)
    check_finished(folder)
    check_native(folder)
    classes = read_classes(folder)
    reader = RowReader(folder, classes, read_actions(folder) if reviewed else ())
    samples: list[Sample] = []
    path = folder / METADATA
    for number, (_, row) in enumerate(read_json_lines(path, Json, absent=ABSENT), 1):
        where = f"{path}, row {number}"
        sample = reader.sample(row, where)
        files = [sample.metadata["file_name"], sample.metadata["mask_file_name"]]
        if "instances" in row:
            files.append(f"{INSTANCES}/{sample.name}.png")
        for file in files:
            if not os.path.isfile(f"{folder}/{file}"):
                raise UserError(where, f"{folder / file}: no such file")
        samples.append(sample)
    return classes, samples


def _objects_after(read: ReadObjects, original_mask: Path, mask: Path, mask_sha256: str) -> Instances:
    """The objects in a corrected mask. read: reads those in the original mask."""
    return objects_after(read(), read_label_map(original_mask), read_label_map(mask, mask_sha256), mask)


def instance_row(instances: Instances) -> Json:
    """The keys of a row that describe its objects."""
    row: Json = {"instances": list(instances.class_ids)}
    if instances.scores:
        row["instance_scores"] = [round(score, 4) for score in instances.scores]
    return row


def find_extras(folder: Path) -> dict[str, Extras]:
    """Sample name → its `extras`. Raises UserError for a link that leads out of the dataset."""
    extras: dict[str, Extras] = {}
    for kind in EXTRAS:
        top = inside(folder, kind)
        for path in sorted(top.rglob("*.*")):
            if path.is_symlink():
                inside(folder, path)
            name, number = path.relative_to(top).with_suffix("").as_posix(), ""
            if kind != ATTENTION:
                name, _, number = name.rpartition("_")
            if path.suffix in (".png", ".safetensors") and (kind == ATTENTION or number.isdecimal()):
                extras.setdefault(name, {})[kind, int(number) if number else None] = path
    return extras
