from collections import Counter

import numpy as np
import pytest

from recipes.studies.doubt import KINDS, SHARES, exact_scenes, figures, plant


def test_a_tenth_of_the_labels_gets_a_fault():
    exact = exact_scenes("tune")[:100]
    planted, kinds = plant(exact, seed=3)
    assert Counter(kinds) == {"": 90, **dict.fromkeys(KINDS, 2)}
    for before, after, kind in zip(exact, planted, kinds, strict=True):
        assert (before.label_map != after.label_map).any() == bool(kind), kind


def test_figures_equal_counting_pairs():
    rng = np.random.default_rng(0)
    order, wrong = rng.permutation(50), rng.random(50) < 0.3
    pairs = [(bad > good) for bad in order[wrong] for good in order[~wrong]]
    first = [wrong[np.argsort(-order)[: round(share * 50)]].sum() / wrong.sum() for share in SHARES]
    assert figures(order, wrong) == pytest.approx([np.mean(pairs), *first])
