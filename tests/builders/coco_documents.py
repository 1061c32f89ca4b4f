"""Reads the label maps of a COCO document in memory."""

from __future__ import annotations

from seediff.dataset.formats.coco.document import Instances, checked, classes_of
from seediff.dataset.formats.coco.reading import paint
from seediff.files.documents import fit


def from_coco(document, where="the document"):
    """Classes, and (image entry, label map (H, W) uint8) of each image."""
    read = checked(fit(document, Instances, where), where)
    classes, ids = classes_of([read])
    return classes, [
        (entry, paint(image, read.instances[image.id], ids, where).label_map())
        for entry, image in zip(document["images"], read.images, strict=True)
    ]
