from collections import Counter

import numpy as np
import pytest

from seediff.dataset import native
from seediff.dataset.sample import Sample
from seediff.dataset.split import assign_splits, deal, group_samples, split_samples

SHARES = {"val": 0.2, "test": 0.1}


def random_image(rng, shape=(32, 40)):
    return np.kron(rng.integers(0, 256, (8, 10, 3)), np.ones((4, 4, 1))).astype(np.uint8)


def samples(count=60, seed=0, copies=0):
    """Items of unlike pictures, of one class of three each in turn, every fifth of two; the first `copies` again: every
    other one as it is, and the rest brighter, as `augment` would make them from the copy before.
    """
    rng = np.random.default_rng(seed)
    items = []
    images = [random_image(rng) for _ in range(count)]
    for number in range(count + copies):
        image, row = images[number % count], {}
        if number >= count and number % 2:
            image, row = image // 2, {"recipe": {"source": f"{number - count:03d}", "steps": []}}
        labels = np.zeros(image.shape[:2], np.uint8)
        labels[:8] = 1 + number % count % 3
        if number % 5 == 0:
            labels[8:16] = 1 + (number + 1) % 3
        items.append(Sample(native.encode_image(image, "png"), labels, metadata=row, name=f"{number:03d}"))
    return items


def test_every_class_is_in_every_part_by_its_share():
    items = samples()
    found = split_samples(items, ("a", "b", "c"), SHARES)
    assert Counter(found) == {"train": 42, "val": 12, "test": 6}
    for class_id in (1, 2, 3):
        of_class = Counter(part for part, one in zip(found, items, strict=True) if (one.label_map == class_id).any())
        count = sum(of_class.values())
        assert all(abs(of_class[part] - share * count) <= 1.5 for part, share in {"train": 0.7, **SHARES}.items())
    assert split_samples(items, ("a", "b", "c"), SHARES) == found
    other = split_samples(items, ("a", "b", "c"), SHARES, seed=1)
    assert other != found
    assert Counter(other) == Counter(found)


@pytest.mark.parametrize("seed", range(2))
def test_copies_of_an_image_stay_with_it_in_every_command(seed):
    items = samples(copies=25)
    found = split_samples(items, ("a", "b", "c"), SHARES, seed=seed)
    assert all(found[i] == found[60 + i] for i in range(25))
    assert Counter(found)["val"] == pytest.approx(17, abs=1)
    backwards = assign_splits(items[::-1], ("a", "b", "c"), 0.2, seed)
    assert backwards[::-1] == split_samples(items, ("a", "b", "c"), {"val": 0.2}, seed=seed)


def test_augmented_copies_are_found_in_merged_sets_and_without_their_source():
    rows = {"a/0": "", "a/1": "0", "b/0": "", "b/1": "0", "b/2": "1", "2": "gone", "3": "gone", "4": ""}
    items = [
        Sample(
            np.full((4, 4, 3), place, np.uint8),
            np.zeros((4, 4), np.uint8),
            None,
            {"recipe": {"source": source}},
            name=name,
        )
        for place, (name, source) in enumerate(rows.items())
    ]
    digests = [str(place).encode() for place in range(len(items))]
    assert group_samples(items, digests) == [[0, 1], [2, 3, 4], [5, 6], [7]]


def test_deal_serves_the_rarest_class_first():
    held = [{1: 1}] * 100 + [{1: 1, 2: 1}] * 4
    parts = deal(held, [1] * 104, [0.5, 0.5])
    assert Counter(parts[100:]) == {0: 2, 1: 2}
    assert Counter(parts) == {0: 52, 1: 52}
    # A group too large for any part but one goes there.
    assert deal([{1: 60}] + [{1: 1}] * 40, [60] + [1] * 40, [0.7, 0.3])[0] == 0
    assert deal([{}] * 10, [1] * 10, [0.8, 0.2]).count(1) == 2
