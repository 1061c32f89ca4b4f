"""How sure a method was of a mask."""

from __future__ import annotations

import numpy as np

from ..files.label_maps import IGNORE, soft_levels


def confidence(labels: np.ndarray, soft: np.ndarray, class_id: int) -> float:
    """The confidence of a class, in [−1, 1], to four decimals: the mean of its soft mask inside of its mask, minus the
    mean outside.

    labels: (H, W) uint8.
    soft: the soft mask of the class, (H, W) in [0, 1]. It counts in the precision of files (`soft_levels`).
    class_id: the class's value in `labels`.

    Ignored pixels are neither inside nor outside. The result is −1 for a class without a pixel, and the mean inside for
    a class that fills the picture.
    """
    inside = labels == class_id
    outside = ~inside & (labels != IGNORE)
    if not inside.any():
        return -1.0
    levels = soft_levels(soft)
    level = levels[inside].mean()
    if outside.any():
        level -= levels[outside].mean()
    return round(float(level) / 255, 4)
