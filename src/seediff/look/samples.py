"""The samples of the set that is shown, and their pictures for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..config.class_names import SEGMENT
from ..dataset.encoding import Instances, read_label_map
from ..dataset.native import open_native
from ..dataset.sample import Sample, open_own
from ..drawing.colours import shown_ids
from ..drawing.overlays import compress_image, overlay, shrink
from ..errors import UserError
from ..files.image_files import in_rgb
from ..files.label_maps import IGNORE
from ..files.reading import inside, read_bytes

THUMB = 208
"""Pixels of a thumbnail's longer side."""


@dataclass(frozen=True)
class Subject:
    """An open native dataset. classes: without the background. samples: as they were made, before any review."""

    folder: Path
    classes: tuple[str, ...]
    samples: Sequence[Sample]

    @property
    def by_object(self) -> bool:
        """Whether masks are shown by their objects, because segments without a name are of one class."""
        return SEGMENT in self.classes

    def shown_ids(self, labels: np.ndarray, objects: Instances) -> np.ndarray:
        """(H, W) uint8: a label map to show, in which segments without a name differ."""
        unnamed = self.classes.index(SEGMENT) + 1
        return shown_ids(labels, objects.numbers, unnamed, alone=len(self.classes) == 1)

    def mask_path(self, name: str) -> Path:
        return inside(self.folder, name, "a label map", "mask")

    def read_labels(self, name: str, sha256: str | None = None) -> np.ndarray:
        """(H, W) uint8: the class ids of the label map `name`, a path in the set. sha256: the expected hash of a
        corrected mask. Raises UserError."""
        path = self.mask_path(name)
        labels = read_label_map(path, sha256)
        highest = int(labels[labels < IGNORE].max(initial=0))
        if highest > len(self.classes):
            raise UserError(f"{path}: has id {highest}, but there are {len(self.classes)} classes")
        return labels


def open_subject(folder: Path) -> Subject:
    """Open the dataset in a folder. Raises UserError."""
    return Subject(folder, *open_native(folder, reviewed=False))


def original_mask(sample: Sample) -> str:
    """The path in the set of the label map that was made first."""
    return str(sample.metadata["mask_file_name"])


def read_image(sample: Sample, side: int | None = None) -> np.ndarray:
    """(H, W, 3) uint8: a sample's picture, aligned with its label map. side: a larger JPEG may be decoded at a fraction
    of its size. Raises UserError."""
    with open_own(sample.image_file, sample.where) as image:
        if side:
            image.draft("RGB", (side, side))
        return np.asarray(in_rgb(image, sample.where))


def image_bytes(sample: Sample) -> tuple[bytes, str]:
    """The bytes of a sample's picture, and their media type. Raises UserError."""
    assert isinstance(sample.source, Path)
    data = read_bytes(sample.source)
    with open_own(data, sample.where) as image:
        return data, "image/png" if image.format == "PNG" else "image/jpeg"


def thumbnail(sample: Sample, labels: np.ndarray | None, objects: Instances | None, side: int = THUMB) -> bytes:
    """A JPEG whose longer side is at most `side` pixels. labels: (H, W) uint8 ids, drawn over it, with lines around
    `objects` if there are any. Raises UserError."""
    small = shrink(read_image(sample, side), side, Image.Resampling.BILINEAR)
    if labels is not None:
        regions = labels if objects is None else objects.numbers.astype(np.int32)
        size = small.shape[1], small.shape[0]
        ids, of_regions = (
            np.asarray(Image.fromarray(each).resize(size, Image.Resampling.NEAREST)) for each in (labels, regions)
        )
        small = overlay(small, ids, of_regions)
    return compress_image(small, "JPEG", quality=80)
