from dataclasses import replace

import numpy as np
import pytest
import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.method_constants import MaskConfig
from seediff.masks.make_masks import agreement, make_masks, soft_mask

CONFIG = MaskConfig(seed_level=1, expand_levels=(1,), pamr=False)


def random_maps(seed, side=6):
    rng = torch.Generator().manual_seed(seed)
    own, cross = (torch.rand(side * side, count, generator=rng) for count in (side * side, 4))
    return AttentionMaps({(side, side): own}, {(side, side): cross}, (side, side), {"dog": (1,), "cat": (2, 3)})


def agreed_with(label_map, maps):
    seconds = [soft_mask(maps, name, CONFIG).second for name in ("dog", "cat")]
    return agreement(label_map, ("dog", "cat"), seconds)


@pytest.mark.parametrize("seed", range(2))
def test_agreement_is_the_plain_one(seed):
    maps = random_maps(seed)
    label_map = np.random.default_rng(seed).integers(0, 3, (6, 6)).astype(np.uint8)
    soft = []
    for columns in ((1,), (2, 3)):
        cross = maps.cross_attention[6, 6].numpy().astype(np.float64)[:, list(columns)].mean(1)
        own = maps.self_attention[6, 6].numpy().astype(np.float64)
        spread = own @ cross / own.sum(1)
        soft.append((spread - spread.min()) / (spread.max() - spread.min()))
    agreed = agreed_with(label_map, maps)
    for i, name in enumerate(("dog", "cat")):
        mask = label_map.ravel() == i + 1
        mine = np.where(np.argmax(soft, 0) == i, soft[i], -1)
        best = [place for place in np.argsort(-mine)[: mask.sum()] if mine[place] > 0]
        both = sum(mask[place] for place in best)
        assert agreed[name] == pytest.approx(both / (mask.sum() + len(best) - both), abs=5e-5)


def test_masks_have_the_number_where_there_is_something_to_compare():
    maps = random_maps(3)
    made = make_masks(None, maps, ("dog", "cat"), CONFIG, size=(12, 12))
    assert made.agreement == agreed_with(made.label_map, maps)
    for changes in ({"method": "ca"}, {"method": "ca_sa", "self_level": 1}, {"expansion": "none", "background": False}):
        assert make_masks(None, maps, ("dog", "cat"), replace(CONFIG, **changes), size=(12, 12)).agreement == {}
