"""`Sample`: a picture, its label map and its row, whose files are read when they are accessed. There are two ways in
which its pixels change: `renumber`, by a table of ids, and `repainted`, by another mask that takes the place of its
own. Row, objects and files follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..config.class_names import MAX_CLASSES
from ..drawing.shown import beside_mask
from ..errors import UserError
from ..files.image_files import as_stored, check_plain, compress_image, in_rgb, named, open_image, stored_bytes
from ..files.label_maps import IGNORE
from ..rows.row import Row, as_row
from ..rows.values import ids_by_name
from .encoding import PNG_SIGNATURE, ReadLabels, ReadObjects, encode_image, read_label_map
from .shapes.changes import objects_after
from .shapes.objects import Objects, find_objects

JPEG_SUFFIXES = ("jpg", "jpeg", "jpe", "jfif")
PICTURE_FORMATS = ("PNG", "JPEG", "MPO")
"""Pillow's names of the formats that pictures may have. MPO is a JPEG file with more pictures behind the first."""
SOFT = "soft"
"""The folder of soft masks in a native dataset, and their kind in `Extras`."""
ATTENTION = "attention"
"""The folder of files of attention maps in a native dataset, and their kind in `Extras`."""
EXTRAS = (SOFT, ATTENTION)
"""The folders of samples' optional files."""
CONFIGS = "made"
"""The folder of the configurations that made masks, and their kind in `Extras`."""


Extras = dict[tuple[str, int | None], Path | bytes]
"""(kind, class id) → file, or its contents: the optional files of a sample in a native dataset, such as ("soft", 3) for
the soft mask of class 3. The class id is None for a file about all classes."""


def check_name(name: str, taken: set[str], where: object = "") -> None:
    """Adds a sample's name to `taken`. where: the sample in errors. Raises UserError if the name is there already, or
    cannot be the name of a file."""
    parts = name.split("/")
    if any(part[:1] in ("", ".") or not part.isprintable() or {"\\", ":"} & {*part} for part in parts):
        problem = f"sample name {name!r} cannot be a file name"
        raise UserError(where or "samples", problem, "no \\ or :, and no part that is empty or begins with a dot")
    if name in taken:
        raise UserError(where or "samples", f"two samples are called '{name}'")
    taken.add(name)


def flat_name(name: str) -> str:
    """The name of a sample in formats without folders: `trip/1` → `trip_1`."""
    return name.replace("/", "_")


class Sample:
    """A picture of a dataset with its label map.

    image: (H, W, 3) uint8, a PNG or JPEG file, or the bytes of such a file. None is for labels without a picture, which
    can only be compared. label_map: (H, W) uint8 of class ids, 0 background, 255 ignored; or a function that reads it.
    instances: the objects in the picture, or a function that reads them; None if the set only has classes. row: what is
    known of the sample, as a `Row` or as the keys of one. name: unique in the dataset, perhaps with folders (`trip/1`).
    extras: optional files, see `Extras`. lost: returns how often each line of `reading.LOST` is true; () for a sample
    that no other program made. Raises UserError for a picture that is neither PNG nor JPEG, perhaps only when it is
    read, and for a row whose keys have the wrong types.
    """

    def __init__(
        self,
        image: np.ndarray | Path | str | bytes | None,
        label_map: np.ndarray | ReadLabels,
        instances: Objects | ReadObjects | None = None,
        row: Row | Mapping[str, Any] | None = None,
        *,
        name: str = "",
        extras: Extras | None = None,
        lost: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        image = Path(image) if isinstance(image, str) else image
        self.source = encode_image(image, "png") if isinstance(image, np.ndarray) else image
        self.name = name
        self.extras = extras or {}
        self.lost = lost
        self.suffix = "" if self.source is None else image_suffix(self.source, f"sample '{name}': its image")
        """ "png" or "jpg"."""
        self.raw_labels = label_map if callable(label_map) else partial(np.asarray, label_map)
        """Reads the label map as it is stored; `labels` checks its size and ids."""
        self.raw_instances = instances
        """The objects as they are stored, or a function that reads them; `instances` checks them."""
        self.row = row if isinstance(row, Row) else as_row(row or {}, f"sample '{name}'")
        """What is known of the sample. What describes its objects is in `instances`."""

    def __repr__(self) -> str:
        return f"Sample({self.name!r}, classes={list(self.row.class_names)})"

    def replace(self, **changes: Any) -> Sample:
        """The sample with some arguments changed. With `label_map`, another mask takes the place of its own, and the
        configuration that made the old one goes."""
        same = {"image": self.source, "label_map": self.raw_labels, "instances": self.raw_instances}
        same |= {"row": self.row, "name": self.name, "extras": self.extras, "lost": self.lost}
        if "label_map" in changes:
            same["extras"] = self.extras_but(CONFIGS)
        return Sample(**{**same, **changes})

    def read_by(self, read: ReadLabels, **changes: Any) -> Sample:
        """The sample whose label map another function reads: it is the same mask, perhaps checked or with other ids.
        changes: of other arguments."""
        return self.replace(label_map=read, **{"extras": self.extras, **changes})

    def extras_but(self, *kinds: str) -> Extras:
        """The sample's `extras` without these kinds."""
        return {key: path for key, path in self.extras.items() if key[0] not in kinds}

    def show(self) -> Image.Image:
        """The picture, beside it the same with the mask laid over it, and the names of the classes. A notebook shows it
        of a sample at the end of a cell. Raises UserError for files that cannot be read."""
        names = {IGNORE: "ignored", **dict(zip(self.row.class_ids or (), self.row.class_names, strict=False))}
        objects = self.instances
        numbers = None if objects is None else objects.numbers
        return Image.fromarray(beside_mask(self.image, self.label_map, names, numbers))

    def _repr_png_(self) -> bytes:
        return compress_image(np.asarray(self.show()))

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The row as it is written, for scripts: key → value."""
        return self.row.to_json()

    @property
    def image(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8. Raises UserError for a picture that cannot be read."""
        with open_own(self.image_file, self.where) as image:
            return np.asarray(in_rgb(image, self.where))

    @property
    def image_file(self) -> Path | bytes:
        """The picture's file, or the bytes of it. Raises UserError for labels without a picture."""
        if self.source is None:
            raise UserError(f"sample '{self.name}'", "its folder has labels, but no image of that name")
        return self.source

    @property
    def label_map(self) -> np.ndarray:
        """(H, W) uint8 of class ids, 0 background, 255 ignored. Raises UserError unless it has the picture's size."""
        return self.labels(MAX_CLASSES)

    @property
    def instances(self) -> Objects | None:
        """The objects in the picture; None if the set only has classes. Raises UserError for objects of another size
        than the picture, and for an object without a class."""
        found = self.raw_instances
        instances = found() if callable(found) else found
        if instances is not None:
            self._check_size(instances.numbers, f"sample '{self.name}'", "instances are")
            highest = int(instances.numbers.max(initial=0))
            count = len(instances.class_ids)
            if highest > count:
                raise UserError(f"sample '{self.name}'", f"has an object number {highest}, but classes for {count}")
        return instances

    @property
    def has_objects(self) -> bool:
        """Whether `instances` are known."""
        return self.raw_instances is not None

    def is_soft(self, class_id: int) -> bool:
        """Whether there is a soft mask of a class, and nobody replaced the mask that it describes."""
        return (SOFT, class_id) in self.extras and not self.row.replaced

    @property
    def soft(self) -> np.ndarray | None:
        """(C, H, W) float32 in [0, 1]: the soft masks of the C `class_ids` of the row, or, in a row without this key,
        of the classes for which there is a file; None if any class has no soft mask."""
        files = [class_id for kind, class_id in self.extras if kind == SOFT and class_id is not None]
        class_ids = files if self.row.class_ids is None else self.row.class_ids
        if not class_ids or {*class_ids} - {*files}:
            return None
        return np.stack([*map(self.soft_level, class_ids)]).astype(np.float32) / 255

    def soft_level(self, class_id: int) -> np.ndarray:
        """The soft mask of a class: (H, W) uint8 with 255 = 1. Raises UserError if the sample has none, or if it has
        not the picture's size."""
        file = self.extras.get((SOFT, class_id))
        if file is None:
            raise UserError(f"sample '{self.name}'", f"there is no {SOFT}/{self.name}_{class_id}.png, a soft mask")
        level = read_label_map(file)
        self._check_size(level, named(file), "is")
        return level

    def data(self) -> bytes:
        """The bytes of the picture's file, without an EXIF orientation: label maps describe the pixels as they are
        stored."""
        return stored_bytes(self.picture())

    def picture(self) -> Path | bytes:
        """The picture's file, to copy into a dataset, or the bytes to write instead if the file has an EXIF orientation
        or anything else that has to go. Raises UserError for a damaged picture, which is read to its end."""
        stored = stored_bytes(self.image_file)
        with open_own(stored, self.where) as image:
            check_plain(image, self.where)
            if image.format == "PNG":
                image.verify()  # compares checksums; a JPEG has none
            else:
                image.load()  # detects a file that is cut off
        data = as_stored(stored, self.where)
        if data is stored:
            return self.image_file
        return data

    def size(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        return image_size(self.image_file, self.where)

    def labels(self, classes: int) -> np.ndarray:
        """The label map (H, W) uint8. classes: the number of classes. Raises UserError unless the label map has the
        picture's size, and only ids from 0 to `classes` and 255."""
        labels = self.raw_labels()
        where = f"sample '{self.name}'"
        if labels.ndim != 2 or labels.dtype != np.uint8:
            raise UserError(where, f"label map must be (height, width) uint8, not {labels.shape} {labels.dtype}")
        self._check_size(labels, where, "label map is")
        highest = int((labels + np.uint8(1)).max()) - 1  # ten times as fast as np.unique
        if highest > classes:
            problem = f"id {highest} in its label map, but there are {classes} classes (0 to {classes}, and 255)"
            raise UserError(where, problem)
        return labels

    def _check_size(self, values: np.ndarray, where: object, what: str) -> None:
        """Raises UserError unless `values` (H, W) has the picture's size. what: subject and verb of the error."""
        size = self.size()
        if values.shape != size:
            raise UserError(where, f"{what} {values.shape}, but its image is {size}; both are (height, width)")

    def objects(self, labels: np.ndarray, min_area: int = 1) -> Objects:
        """The objects in a label map: the `instances`, or else the connected pieces of each class. labels: (H, W)
        uint8. min_area: objects with fewer pixels are left out."""
        return find_objects(labels, min_area, self.instances)

    @property
    def where(self) -> str:
        """The picture's name in errors."""
        return str(self.source) if isinstance(self.source, Path) else f"sample '{self.name}': its image"


@contextmanager
def open_own(source: Path | bytes, where: str | None = None) -> Iterator[Image.Image]:
    """Opens a picture of a dataset with Pillow. source: its file or bytes. where: its name in errors. Raises UserError
    unless it is PNG or JPEG data."""
    where = named(source, where)
    with open_image(source, where) as image:
        if image.format not in PICTURE_FORMATS:
            raise UserError(where, f"is {image.format} data; images of datasets must be PNG or JPEG")
        yield image


def image_size(source: Path | bytes, where: str | None = None) -> tuple[int, int]:
    """(height, width) of a picture, from its header. source, where: as for `open_own`."""
    with open_own(source, where) as image:
        return image.height, image.width


def image_suffix(source: Path | bytes, where: str | None = None) -> str:
    """ "png" or "jpg", by the name of a picture's file, or by its first bytes. source, where: as for `open_own`.
    Raises UserError for anything else."""
    if isinstance(source, bytes):
        if source.startswith(PNG_SIGNATURE):
            return "png"
        if source.startswith(b"\xff\xd8"):
            return "jpg"
        raise UserError(where or "an image", "is neither PNG nor JPEG")
    suffix = source.suffix.lower().removeprefix(".")
    if suffix in JPEG_SUFFIXES:
        return "jpg"
    if suffix != "png":
        raise UserError(source, "images of datasets are PNG or JPEG files")
    return suffix


def id_table(new_ids: Sequence[int]) -> np.ndarray:
    """(256,) uint8: the new id of each old id. new_ids: those of the old ids 1, 2, …. 0 and 255 stay."""
    table = np.zeros(256, np.uint8)
    table[1 : len(new_ids) + 1] = new_ids
    table[IGNORE] = IGNORE
    return table


def renumber_table(class_names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """The `id_table` from the ids of `class_names` to those of `classes`, which has all of these names."""
    ids = ids_by_name(classes)
    return id_table([ids[name] for name in class_names])


def renumber(sample: Sample, ids: np.ndarray, classes: int, row: Row | None = None) -> Sample:
    """The sample with new ids in its label map, objects and row. If any id changes, its attention goes, and of its soft
    masks those of classes that leave or are joined.

    ids: (256,) uint8, the new id of each old id. classes: the number of classes of the sample's set. row: the row, with
    old ids; None: the sample's."""
    row = sample.row if row is None else row
    if np.array_equal(ids[: classes + 1], np.arange(classes + 1)):
        return sample.replace(row=row)
    if row.class_ids is not None:
        class_ids = dict.fromkeys(int(ids[one]) for one in row.class_ids)
        row = row.replace(class_ids=tuple(one for one in class_ids if 0 < one < IGNORE))
    read = partial(_renumbered, sample, ids, classes)
    instances = partial(_renumbered_instances, sample, ids) if sample.has_objects else None
    uses = np.bincount(ids[1 : classes + 1], minlength=256)
    extras = sample.extras_but(*EXTRAS)
    for (kind, one), file in sample.extras.items():
        new = int(ids[one or 0])
        if kind == SOFT and 0 < new < IGNORE and uses[new] == 1:
            extras[kind, new] = file
    return sample.read_by(read, instances=instances, row=row, extras=extras)


def _renumbered(sample: Sample, ids: np.ndarray, classes: int) -> np.ndarray:
    return ids[sample.labels(classes)]


def _renumbered_instances(sample: Sample, ids: np.ndarray) -> Objects:
    instances = sample.instances
    assert instances is not None
    renumbered = replace(instances, class_ids=tuple(ids[list(instances.class_ids)].tolist()))
    return renumbered.take([i for i, class_id in enumerate(renumbered.class_ids) if class_id])


def repainted(sample: Sample, labels: np.ndarray | ReadLabels, row: Row) -> Sample:
    """The sample after another mask has taken the place of its own. Its objects follow (`objects_after`), and its soft
    masks go. What tells how the old mask was made stays: attention and configuration.

    labels: the new label map (H, W) uint8, or a function that reads it. row: made by `Row.of_other_mask`.
    """
    after = sample.replace(label_map=labels, instances=None, row=row, extras=sample.extras_but(SOFT))
    if not sample.has_objects:
        return after
    return after.replace(instances=partial(_objects_after, sample, after.raw_labels))


def _objects_after(sample: Sample, read: ReadLabels) -> Objects:
    """The objects of a sample in another label map. sample: as it was. read: reads the label map."""
    instances = sample.instances
    assert instances is not None
    return objects_after(instances, sample.label_map, read(), f"sample '{sample.name}'")
