"""A second opinion on SeeDiff's masks: CA·SA on the same maps. Masks about which the two disagree are often wrong (docs/quality.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from ..config.levels import maps_read
from .arithmetic import resize
from .baselines import cross_times_self


def disputed(label_map: np.ndarray, maps: AttentionMaps, classes: Sequence[str], config: MaskConfig) -> list[str]:
    """The flags of classes whose `agreement` is below `config.dispute`; none if that is None. label_map: as in `MaskResult`."""
    if config.dispute is None:
        return []
    return [f"disputed:{name}" for name, share in agreement(label_map, maps, classes, config).items() if share < config.dispute]


def agreement(label_map: np.ndarray, maps: AttentionMaps, classes: Sequence[str], config: MaskConfig) -> dict[str, float]:
    """Class → IoU of its mask with CA·SA's, in [0, 1]; 0 for a class without pixels.

    CA·SA takes one step over the finest self-attention that `config.method` reads. Of the pixels that the class wins, its mask has those
    with the highest values, as many as the method's mask has, so it needs no threshold.
    """
    reads = maps_read(config)
    other = replace(config, method="ca_sa", tau=1, dispute=None, seed_level=min(reads["cross"] or ()), self_level=min(reads["self"] or ()))
    soft = resize(torch.stack([cross_times_self(maps, name, other).soft for name in classes]), label_map.shape).cpu()
    wins = soft.argmax(0)
    shares = {}
    for index, name in enumerate(classes):
        mask = torch.from_numpy(label_map == index + 1)
        values = torch.where(wins == index, soft[index], 0)
        count = int(mask.sum())
        lowest = values.flatten().kthvalue(values.numel() - count + 1).values if count else 1.0
        others = (values >= lowest) & (values > 0)
        shares[name] = float((mask & others).sum() / (mask | others).sum()) if count else 0.0
    return shares
