"""Label maps that look like objects: with smooth outlines, several pieces, holes and ignored pixels."""

import numpy as np
from scipy import ndimage


def blobs(seed, shape=(64, 80), classes=3, ignore=False):
    """(H, W) uint8 ids 0 … classes. ignore: add a band of 255 around the objects."""
    rng = np.random.default_rng(seed)
    fields = np.stack([ndimage.gaussian_filter(rng.normal(size=shape), min(shape) / 16) for _ in range(classes)])
    fields /= fields.std()
    labels = np.where(fields.max(0) > 1.2, fields.argmax(0) + 1, 0).astype(np.uint8)
    if ignore:
        labels[(labels == 0) & ndimage.binary_dilation(labels > 0)] = 255
    return labels
