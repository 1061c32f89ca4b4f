import numpy as np
import pytest
import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.methods import MaskConfig
from seediff.masks.make_masks import make_masks
from seediff.masks.results import separation


def plain_separation(words, masks):
    """By its definition, in float64, pair by pair. words: (C, h, w). masks: (C, k·h, k·w)."""
    classes, height, width = words.shape
    side = masks.shape[1] // height
    weights = masks.reshape(classes, height, side, width, side).astype(np.float64).mean((2, 4)).reshape(classes, -1)
    found = []
    for number, values in enumerate(words.reshape(classes, -1)):
        wins = (values[:, None] > values).astype(np.float64) + (values[:, None] == values) / 2
        own, others = weights[number], [other for other in np.delete(weights, number, 0) if other.any()]
        found.append(min(own @ wins @ other / (max(own.sum(), 1e-9) * other.sum()) for other in others))
    return found


@pytest.mark.parametrize("levels", [1000, 4])
def test_separation_is_the_share_of_pairs_in_the_right_order(levels):
    random = np.random.default_rng(levels)
    words = random.integers(0, levels, (3, 5, 6)).astype(np.float32)  # with 4 levels, most values are equal
    labels = random.integers(0, 4, (20, 24))
    masks = np.stack([labels == number for number in (1, 2, 3)]).astype(np.float32)
    for shown in (masks, masks * (np.arange(3) != 1)[:, None, None]):  # and nothing has been labelled as the second
        found = separation(torch.from_numpy(words), torch.from_numpy(shown))
        np.testing.assert_allclose(found, plain_separation(words, shown), rtol=0, atol=1e-12)
        assert separation(torch.from_numpy(words * 7), torch.from_numpy(shown)) == found  # only the order counts
    alone = torch.from_numpy(masks[:1])
    assert separation(torch.from_numpy(words[:1]), alone) == [1.0]


def flags_of(dog, cat, grid=(4, 4)):
    """The flags of a drawing with a dog at the left and a cat at the right. dog, cat: attention to the words by
    column."""
    cross = torch.stack([torch.tensor(word).expand(grid) for word in (dog, cat)]).flatten(1).T
    maps = AttentionMaps({}, {grid: cross}, (16, 16), {"dog": (0,), "cat": (1,)})
    config = MaskConfig(method="ca", expand_levels=(4,), pamr=False)
    return make_masks(None, maps, ["dog", "cat"], config, size=(16, 16)).flags


def test_a_class_is_mixed_if_its_word_does_not_tell_its_mask_from_another():
    left, right = [1.0, 0.8, 0.1, 0.0], [0.0, 0.1, 0.8, 1.0]
    assert flags_of(left, right) == ("no_background",)
    # The cat's word means the dog almost as much as the cat
    assert flags_of(left, [0.9, 0.0, 0.8, 1.0]) == ("mixed:cat", "no_background")
    assert flags_of(left, left) == ("mixed:cat", "degenerate:cat")  # the first of equals has all
