"""Samples for test datasets, and the names of all files in a folder."""

import numpy as np

from seediff.dataset import native
from seediff.dataset.sample import Sample


def item(name="a/0", labels=None, row=None, shape=(4, 6), suffix="png"):
    labels = np.zeros(shape, np.uint8) if labels is None else labels
    image = np.arange(np.prod(shape) * 3).reshape(*shape, 3).astype(np.uint8)
    return Sample(native.encode_image(image, suffix), labels, metadata=row or {}, name=name)


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
