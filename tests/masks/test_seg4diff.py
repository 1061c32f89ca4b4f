from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_maps import class_map, random_maps

from seediff.config.constants import MaskConfig
from seediff.errors import UserError
from seediff.masks.make import label_pixels, make_masks
from seediff.masks.seg4diff import seg4diff

CONFIG = MaskConfig(method="seg4diff", seed_level=2, pamr=False)


@pytest.mark.parametrize("class_name", ["dog", "cat"])
def test_one_scale_for_all_classes_in_float64(class_name: str):
    maps = random_maps(normalized=False)
    wanted = {name: class_map(maps, 8, name, 8) for name in maps.words}
    low, high = min(map(np.min, wanted.values())), max(map(np.max, wanted.values()))
    soft = seg4diff(maps, class_name, CONFIG).soft
    np.testing.assert_allclose(soft.numpy(), (wanted[class_name] - low) / (high - low), atol=1e-6)


def test_the_highest_class_is_that_of_the_maps_themselves():
    maps = random_maps(normalized=False)
    soft = torch.stack([seg4diff(maps, name, CONFIG).soft for name in maps.words])
    labels = label_pixels(soft, replace(CONFIG, beta=1e-6))
    wanted = 1 + np.argmax([class_map(maps, 8, name, 8) for name in maps.words], 0)
    assert (labels.numpy() == wanted)[labels > 0].all()
    assert (labels > 0).float().mean() > 0.9


def test_by_hand():
    """Two positions; dog .5, .1 and cat .3, .2: from .1 to .5."""
    maps = replace(
        random_maps(normalized=False),
        cross_attention={(1, 2): torch.tensor([[0.5, 0.3], [0.1, 0.2]])},
        latent_size=(1, 2),
        words={"dog": (0,), "cat": (1,)},
    )
    softs = [seg4diff(maps, name, replace(CONFIG, seed_level=1)).soft.flatten().tolist() for name in ("dog", "cat")]
    np.testing.assert_allclose(softs, [[1, 0], [0.5, 0.25]], atol=1e-6)
    labels = make_masks(None, maps, ["dog", "cat"], replace(CONFIG, seed_level=1, beta=0.2), size=(1, 2)).label_map
    assert labels.tolist() == [[1, 2]]


def test_maps_divided_by_their_maxima_and_other_words_are_refused():
    with pytest.raises(UserError, match="method seg4diff works on plain means"):
        make_masks(None, random_maps(), ["dog"], CONFIG, size=(8, 8))
    with pytest.raises(UserError, match="class 'cow' is not in the prompt"):
        seg4diff(random_maps(normalized=False), "cow", CONFIG)
