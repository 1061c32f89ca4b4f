"""Writes each class of each picture cut out, in a folder per class. The format is only written.

out/  CLASS/NAME.png    RGBA: the picture; opaque where the label map has the class
"""

from __future__ import annotations

import re

import numpy as np

from ...drawing.overlays import cut_out
from ...files.label_maps import IGNORE
from ..encoding import png
from ..sample import Sample
from .exporting import Export

UNSAFE = re.compile(r'^\.|[\\/:*?"<>|]|\.$')
"""Characters that some operating system forbids in the name of a folder."""


def write(export: Export) -> None:
    """Writes a PNG with transparency for each class of each sample, with the edge of its mask. With the option `soft`,
    the transparency is the class's soft mask instead, if the sample has one and nobody replaced its mask."""
    soft = export.options.soft
    folders = {number: UNSAFE.sub("_", name) for number, name in enumerate(export.classes, 1)}
    hard = 0
    for placed in export.placed(cut, soft=soft):
        hard += soft and not all(placed.sample.is_soft(class_id) for class_id, _ in placed.encoded)
        for class_id, data in placed.encoded:
            export.put(f"{folders[class_id]}/{placed.name}.png", data)
    export.count(export.left_out.total(), "sample without a class: left out")
    export.count(hard, "sample without soft masks that describe the mask: cut out along the mask")


def cut(sample: Sample, labels: np.ndarray, soft: bool) -> list[tuple[int, bytes]] | None:
    """(class id, bytes of a PNG) for each class that a sample shows; None if it shows none. labels: its label map
    (H, W). soft: as in `ExportOptions`."""
    image = sample.image
    cutouts = list[tuple[int, bytes]]()
    for class_id in np.unique(labels[labels % IGNORE > 0]).tolist():
        level = sample.soft_level(class_id) if soft and sample.is_soft(class_id) else None
        cutouts.append((class_id, png(cut_out(image, labels, class_id, level))))
    return cutouts or None
