"""The samples of the set that is shown, and their pictures for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..config.names import SEGMENT
from ..dataset import native
from ..dataset.encoding import Instances
from ..dataset.native import open_native
from ..dataset.sample import Sample, open_own
from ..drawing.overlays import colour_objects, compress_image, overlay, shrink
from ..errors import UserError
from ..files.image_files import in_rgb
from ..files.label_maps import voc_palette
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
        """Whether masks are shown in colours of their objects, because the class of all is `segment`."""
        return self.classes == (SEGMENT,)

    def mask_path(self, name: str) -> Path:
        return inside(self.folder, name, "a label map", "mask")

    def read_labels(self, name: str, sha256: str | None = None) -> np.ndarray:
        """(H, W) uint8: the class ids of the label map `name`, a path in the set. sha256: the expected hash of a
        corrected mask. Raises UserError."""
        path = self.mask_path(name)
        labels = native.read_label_map(path, sha256)
        highest = int(labels[labels < native.IGNORE].max(initial=0))
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
    with open_own(sample.stored(), sample.where) as image:
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
    """A JPEG whose longer side is at most `side` pixels. labels: (H, W) uint8, drawn over it, in colours of `objects`
    if there are any. Raises UserError."""
    small = shrink(read_image(sample, side), side, Image.Resampling.BILINEAR)
    if labels is not None:
        shown = labels if objects is None else colour_objects(labels, objects.numbers)
        resized = Image.fromarray(shown).resize((small.shape[1], small.shape[0]), Image.Resampling.NEAREST)
        small = overlay(small, np.asarray(resized), voc_palette(), alpha=0.45)
    return compress_image(small, "JPEG", quality=80)
