"""Reads Cityscapes, ADE20K and CamVid as they are distributed. Label maps come back exactly; void is 255, and nothing is background.

in/  gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png and leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png    Cityscapes: 27 classes
     annotations/{training,validation}/NAME.png, images/…/NAME.jpg and objectInfo150.txt           ADE20K: 150 classes
     SPLITannot/NAME.png and SPLIT/NAME.png                                                        CamVid, SegNet's: 11 classes

`dataset/labels.py` defines their ids, which `evaluate` uses too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import UserError
from .. import native
from ..labels import LabelSet, open_published, published_layout, published_splits
from ..sample import Sample
from .drivers import Source


@dataclass(frozen=True)
class Truth:
    """Reads a label map with the set's classes from id 1, as the `label_map` of a sample. name: in `labels`."""

    labels: LabelSet
    name: str

    def __call__(self) -> np.ndarray:
        """(H, W) uint8. Raises UserError naming the file and an id that the set does not have."""
        classes = self.labels.read(self.name)
        return np.where(classes < 0, native.IGNORE, classes + 1).astype(np.uint8)


def is_folder(folder: Path) -> bool:
    """Whether a folder has one of these data sets. ADE20K is recognised only by its list of objects, because other data sets have its
    folders too."""
    layout = published_layout(folder)
    return layout is not None and (layout != "ade20k" or any(folder.rglob("objectInfo150.txt")))


def read(source: Source, *, split: str | None = None, images: Path | str | None = None) -> tuple[tuple[str, ...], list[Sample]]:
    root = source.path
    if (layout := published_layout(root)) is None:
        raise UserError(f"{root}: has the layout of neither Cityscapes (gtFine/), ADE20K (objectInfo150.txt) nor CamVid (trainannot/)")
    parts = published_splits(root, layout) if split is None else [split]
    sets = [(part, open_published(root, layout, part)) for part in parts]
    if not sets:
        raise UserError(f"{root}: has no labels of a split; {layout} has them in folders of train and val")
    samples = []
    for part, labels in sets:
        for name, file in labels.files.items():
            folder = Path(images) if images is not None else None
            picture = labels.picture(name, folder) or (labels.picture(name, folder / part) if folder else None)
            if picture is None:
                source.no_picture(file, f"there is no picture of it in {folder or labels.images}")
                continue
            inside = [file] if folder else [file, picture]
            samples.append(source.sample(name, picture, Truth(labels, name), {"split": part}, file, *inside))
    return sets[0][1].classes, samples
