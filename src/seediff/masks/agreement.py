"""How well masks agree with second ones that were made in another way from the same maps (`SoftMask.second`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .arithmetic import resize


def agreement(label_map: np.ndarray, classes: Sequence[str], seconds: Sequence[torch.Tensor]) -> dict[str, float]:
    """Class → IoU in [0, 1], to four digits, of its mask with a second one; 0 for a class without pixels.

    label_map: (H, W), i + 1 = classes[i]. seconds: each class's second soft map (h, w). Of the pixels that a class wins
    among these, its second mask has those with the highest values, as many as its mask in label_map has.
    """
    soft = resize(torch.stack(list(seconds)), label_map.shape).cpu()
    wins = soft.argmax(0)
    shares = {}
    for index, name in enumerate(classes):
        mask = torch.from_numpy(label_map == index + 1)
        count = int(mask.sum())
        if not count:
            shares[name] = 0.0
            continue
        values = torch.where(wins == index, soft[index], 0)
        lowest = values.flatten().kthvalue(values.numel() - count + 1).values
        others = (values >= lowest) & (values > 0)
        shares[name] = round(float((mask & others).sum() / (mask | others).sum()), 4)
    return shares
