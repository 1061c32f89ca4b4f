"""Whether an independent segmenter sees in a picture what its label map says: IoU of its prediction with the mask, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ..store import Item, labels_of, read_picture


class Segmenter(Protocol):
    """What `seediff.train.predict.load_segmenter` gives."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def label_maps(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Images (H, W, 3) uint8 → label maps (H, W) uint8: 0 background, i + 1 its class i."""
        ...


def check_segmenter(segmenter: Segmenter, classes: Sequence[str], model: Path | str) -> None:
    """Raise UserError unless the segmenter knows every class of the dataset."""
    if unknown := [name for name in classes if name not in segmenter.classes]:
        raise UserError(f"--agree {model}: does not know the class '{unknown[0]}'; it knows {', '.join(segmenter.classes)}")


def agreement(item: Item, classes: Sequence[str], segmenter: Segmenter) -> dict[str, float]:
    """Class → IoU in [0, 1] of the segmenter's prediction and the label map, of every class that either has; ignored pixels do not count.

    A class that is only predicted, or only in the label map, has 0. Raises UserError naming a picture that cannot be read.
    """
    labels = labels_of(item, len(classes))
    (predicted,) = segmenter.label_maps([np.asarray(read_picture(item))])
    found = {}
    for name in classes:
        said, seen = labels == list(classes).index(name) + 1, (predicted == segmenter.classes.index(name) + 1) & (labels != IGNORE)
        if union := np.count_nonzero(said | seen):
            found[name] = round(np.count_nonzero(said & seen) / union, 4)
    return found
