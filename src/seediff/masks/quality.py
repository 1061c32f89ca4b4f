"""Scores of masks without truth: how sure a method was of a mask, whether a second method agrees with it, and whether
words tell masks apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..files.label_maps import IGNORE, soft_levels
from .arithmetic import TINY, resize

SEPARATE = 0.93
"""The lowest usual `separation` of a class that was drawn."""


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


def agreement(label_map: np.ndarray, classes: Sequence[str], second_maps: Sequence[torch.Tensor]) -> dict[str, float]:
    """Class → IoU of its mask with a second mask, in [0, 1] to four digits; 0 for a class without pixels.

    Second masks come from `second_maps`, which are made of the same attention in another way (`SoftMask.second`). A
    class's second mask has the pixels where its map is higher than the maps of other classes. It has at most as many
    pixels as the mask in the label map: the pixels with the highest values.

    label_map: (H, W), i + 1 = classes[i]. second_maps: each class's second soft map (h, w).
    """
    soft = resize(torch.stack(list(second_maps)), label_map.shape).cpu()
    wins = soft.argmax(0)
    agreed = dict.fromkeys(classes, 0.0)
    for index, name in enumerate(classes):
        mask = torch.from_numpy(label_map == index + 1)
        count = int(mask.sum())
        if count:
            values = torch.where(wins == index, soft[index], 0)
            lowest_kept = values.flatten().kthvalue(values.numel() - count + 1).values  # the count-th highest
            second = (values >= lowest_kept) & (values > 0)
            agreed[name] = round(float((mask & second).sum() / (mask | second).sum()), 4)
    return agreed


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
