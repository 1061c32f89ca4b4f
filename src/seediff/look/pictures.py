"""The set that the page shows, and pictures of its samples and their predictions for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..config.class_names import SEGMENT
from ..dataset.encoding import read_label_map
from ..dataset.native import open_native
from ..dataset.sample import Sample, open_own
from ..dataset.shapes.objects import Objects
from ..drawing.overlays import compress_image, overlay, shown_ids, shrink
from ..errors import UserError
from ..files.image_files import in_rgb
from ..files.label_maps import IGNORE
from ..files.reading import inside, read_bytes
from ..rows.row import said
from ..workers import Progress

if TYPE_CHECKING:
    from ..evaluate.evaluation import Evaluation

THUMB = 208
"""Pixels of a thumbnail's longer side."""


@dataclass(frozen=True)
class OpenedSet:
    """An open native dataset."""

    folder: Path
    classes: tuple[str, ...]
    """The names of the classes, without the background."""
    samples: Sequence[Sample]
    """The samples as they were made, before any review."""

    @property
    def by_object(self) -> bool:
        """Whether the page shows objects in their own colours from the start: the set has segments without a name."""
        return SEGMENT in self.classes

    def shown_objects(self, labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """(H, W) uint8: ids to show, a different id and so a different colour for each object. If a set has both
        classes and segments without a name, only the segments are coloured by object. labels: (H, W) uint8, the label
        map. numbers: (H, W), the number of each pixel's object; 0 for no object."""
        if self.by_object and len(self.classes) > 1:
            return shown_ids(labels, numbers, self.classes.index(SEGMENT) + 1, alone=False)
        return shown_ids(np.where(labels == IGNORE, labels, 0), numbers, 0, alone=True)

    def mask_path(self, name: str) -> Path:
        return inside(self.folder, name, "a label map", "mask")

    def read_labels(self, name: str, sha256: str | None = None) -> np.ndarray:
        """(H, W) uint8: the class ids of a label map. name: its path in the set. sha256: the hash that its file must
        have; None for any hash. Raises UserError."""
        path = self.mask_path(name)
        labels = read_label_map(path, sha256)
        highest = int(labels[labels < IGNORE].max(initial=0))
        if highest > len(self.classes):
            raise UserError(f"{path}: has id {highest}, but there are {len(self.classes)} classes")
        return labels


def open_set(folder: Path) -> OpenedSet:
    """Open the dataset in a folder. Raises UserError."""
    return OpenedSet(folder, *open_native(folder, reviewed=False))


def title_of(sample: Sample) -> str:
    """The title of a sample on the page: the file of a photograph, or the name of a generated picture."""
    return str(said(sample.row.source) or sample.name)


def original_mask(sample: Sample) -> str:
    """The path in the set of a sample's label map as it was made, before any correction."""
    return said(sample.row.mask_file_name) or ""


def read_image(sample: Sample, side: int | None = None) -> np.ndarray:
    """(H, W, 3) uint8: a sample's picture, turned as its label map is. side: a JPEG may be decoded faster at a smaller
    size whose longer side has at least this many pixels; None for the full size. Raises UserError."""
    with open_own(sample.image_file, sample.where) as image:
        if side:
            image.draft("RGB", (side, side))
        return np.asarray(in_rgb(image, sample.where))


def image_bytes(sample: Sample) -> tuple[bytes, str]:
    """(bytes, media type) of a sample's picture file. Raises UserError."""
    assert isinstance(sample.source, Path)
    data = read_bytes(sample.source)
    with open_own(data, sample.where) as image:
        return data, "image/png" if image.format == "PNG" else "image/jpeg"


def thumbnail(sample: Sample, labels: np.ndarray | None, objects: Objects | None, side: int = THUMB) -> bytes:
    """The bytes of a JPEG of a sample. labels: (H, W) uint8 ids to draw over the picture; None for only the picture.
    objects: the objects to draw lines around; None for lines around classes. side: the maximum pixels of the longer
    side. Raises UserError."""
    small = shrink(read_image(sample, side), side, Image.Resampling.BILINEAR)
    if labels is not None:
        regions = labels if objects is None else objects.numbers.astype(np.int32)
        size = small.shape[1], small.shape[0]
        ids, of_regions = (
            np.asarray(Image.fromarray(each).resize(size, Image.Resampling.NEAREST)) for each in (labels, regions)
        )
        small = overlay(small, ids, of_regions)
    return compress_image(small, "JPEG", quality=80)


def open_against(predictions: Path, folder: Path, progress: Progress) -> Evaluation:
    """The scores of predictions against the current masks of a dataset, including rejected samples. predictions: a
    folder of label maps, or another dataset. folder: the dataset. progress: reports the progress. Raises UserError if
    names, sizes or classes do not match."""
    from ..evaluate.evaluation import evaluate

    return evaluate(predictions, folder, boundary=False, draws=1, with_rejected=True, progress=progress)


def draw_prediction(against: Evaluation, sample: Sample) -> bytes:
    """The bytes of a PNG of a sample's picture with its prediction drawn over it. against: from `open_against`. Raises
    UserError."""
    image = read_image(sample)
    (predicted,) = against.predictor.predict([sample])
    labels = against.predicted_table[predicted].astype(np.uint8)
    fitting = Image.fromarray(labels).resize(image.shape[1::-1], Image.Resampling.NEAREST)
    return compress_image(overlay(image, np.asarray(fitting)), compress_level=1)
