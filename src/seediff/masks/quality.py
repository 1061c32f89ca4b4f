"""Scores of masks without truth: how sure a method was of a mask, and whether words tell masks apart."""

from __future__ import annotations

import numpy as np
import torch

from ..files.label_maps import IGNORE, soft_levels
from .arithmetic import TINY, resize

SEPARATE = 0.93
"""The lowest usual `separation` of a class that was drawn."""


def confidence(labels: np.ndarray, soft: np.ndarray, class_id: int) -> float:
    """The confidence of a class, in [0, 1], to four decimals: the soft IoU of its soft mask s and its mask m,
    `Σ min(s, m) / Σ max(s, m)`. It is 1 if s is 1 inside of the mask and 0 outside.

    labels: (H, W) uint8.
    soft: the soft mask of the class, (H, W) in [0, 1]. It counts in the precision of files (`soft_levels`).
    class_id: the class's value in `labels`.

    Ignored pixels do not count. The result is 0 for a class without a pixel.
    """
    inside = labels == class_id
    levels = soft_levels(soft)
    both = levels[inside].sum(dtype=np.int64)
    either = 255 * np.count_nonzero(inside) + levels[~inside & (labels != IGNORE)].sum(dtype=np.int64)
    return round(float(both / max(either, 1)), 4)


def separation(words: torch.Tensor, masks: torch.Tensor) -> list[float]:
    """How surely words tell the masks of their classes apart, in [0, 1] for each class: the probability that a position
    of its mask gets more attention to its word than a position of another class's mask, for the other class where this
    is lowest. ½: the word makes no difference between the two masks. 0: the class has no mask.

    Only the order of values counts, so the probability means the same for all models and normalisations. Equal values
    count half. Without another class that has a mask, it is 1.

    words: (C, h, w), the attention to each class. masks: (C, H, W), 1 in the class's mask and 0 elsewhere. They are
    reduced to (h, w), where the value of a position is its share of mask, and its weight."""
    weights = resize(masks, words.shape[1:]).cpu().double().flatten(1)
    sizes = weights.sum(1, keepdim=True)
    lowest = list[float]()
    shares = weights / sizes.clamp_min(TINY)
    for number, values in enumerate(words.cpu().flatten(1)):
        ranks = values.unique(return_inverse=True)[1]
        at_rank = torch.zeros_like(shares).index_add_(1, ranks, shares)
        below = at_rank.cumsum(1) - at_rank / 2  # each class's share at lower ranks, and half of its share at this one
        above = (below * at_rank[number]).sum(1).masked_fill(sizes[:, 0] == 0, 1.0)
        above[number] = 1.0
        lowest.append(float(above.min()))
    return lowest
