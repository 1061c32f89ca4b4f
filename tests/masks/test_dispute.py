from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_engine import fake_draw

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.config.generate import GenerateConfig
from seediff.errors import UserError
from seediff.masks.dispute import agreement
from seediff.masks.make import make_masks
from seediff.run.generate import generate

CONFIG = MaskConfig(seed_level=1, expand_levels=(1,), pamr=False)


def random_maps(seed: int, side: int = 6) -> AttentionMaps:
    rng = torch.Generator().manual_seed(seed)
    own, cross = (torch.rand(side * side, count, generator=rng) for count in (side * side, 4))
    return AttentionMaps({(side, side): own}, {(side, side): cross}, (side, side), {"dog": (1,), "cat": (2, 3)})


@pytest.mark.parametrize("seed", range(5))
def test_agreement_is_the_plain_one(seed):
    maps = random_maps(seed)
    label_map = np.random.default_rng(seed).integers(0, 3, (6, 6)).astype(np.uint8)
    soft = []
    for columns in ((1,), (2, 3)):
        cross = maps.cross_attention[6, 6].numpy().astype(np.float64)[:, list(columns)].mean(1)
        own = maps.self_attention[6, 6].numpy().astype(np.float64)
        spread = own @ cross / own.sum(1)
        soft.append((spread - spread.min()) / (spread.max() - spread.min()))
    agreed = agreement(label_map, maps, ("dog", "cat"), CONFIG)
    for i, name in enumerate(("dog", "cat")):
        mask = label_map.ravel() == i + 1
        mine = np.where(np.argmax(soft, 0) == i, soft[i], -1)
        best = [place for place in np.argsort(-mine)[: mask.sum()] if mine[place] > 0]
        both = sum(mask[place] for place in best)
        assert agreed[name] == pytest.approx(both / (mask.sum() + len(best) - both))


def test_a_class_without_pixels_agrees_with_nothing():
    label_map = np.ones((6, 6), np.uint8)
    agreed = agreement(label_map, random_maps(0), ("dog", "cat"), CONFIG)
    assert agreed["cat"] == 0
    assert 0 < agreed["dog"] < 1  # CA·SA gives some pixels to the cat


def test_masks_are_flagged_below_the_threshold_alone():
    maps, shares = random_maps(3), {}
    plain = make_masks(None, maps, ("dog", "cat"), CONFIG, size=(12, 12))
    shares = agreement(plain.label_map, maps, ("dog", "cat"), CONFIG)
    for dispute in (0.0, min(shares.values()) + 1e-6, 1.0):
        made = make_masks(None, maps, ("dog", "cat"), replace(CONFIG, dispute=dispute), size=(12, 12))
        assert np.array_equal(made.label_map, plain.label_map)
        assert set(made.flags) - set(plain.flags) == {f"disputed:{name}" for name, share in shares.items() if share < dispute}


def test_what_it_cannot_compare_is_refused():
    for changes in ({"method": "ca"}, {"method": "ca_sa"}, {"expansion": "none", "background": False}):
        with pytest.raises(UserError, match=r"dispute = 0.5: compares masks of method seediff"):
            replace(CONFIG, dispute=0.5, **changes)


def test_a_dataset_has_the_flag_in_its_rows(tmp_path):
    config = GenerateConfig(classes=("dog", "cat"), per_class=2, classes_per_image=2, device="cpu", threads=1)
    flags = []
    for dispute in (None, 1.0):
        result = generate(replace(config, mask=replace(config.mask, dispute=dispute)), tmp_path / str(dispute), draw=fake_draw)
        flags.append([{flag.partition(":")[0] for flag in row["flags"]} for row in result.rows])
    assert not any("disputed" in kinds for kinds in flags[0])
    assert any("disputed" in kinds for kinds in flags[1])
