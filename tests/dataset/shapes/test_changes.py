import numpy as np
import pytest
from scipy import ndimage

from seediff.dataset.shapes.changes import objects_after
from seediff.dataset.shapes.objects import Objects

CORNERS = np.ones((3, 3), int)


def scene():
    """Two dogs that touch, a cat, and a dog's pixels that are no object."""
    numbers = np.zeros((12, 16), np.uint16)
    numbers[2:6, 1:5], numbers[2:6, 5:9], numbers[8:11, 10:14] = 2, 1, 3
    instances = Objects(numbers, (1, 1, 2), (0.5, 0.25, 0.75))
    labels = instances.label_map()
    labels[10, 0:2] = 1
    return instances, labels


def reference(instances, before, after):
    """As the docstring says it, piece by piece: a set of (class, pixels)."""
    class_ids = list(instances.class_ids)
    for i in range(1, len(class_ids) + 1):
        became = np.unique(after[(instances.numbers == i) & (before == class_ids[i - 1])])
        if len(became) == 1 and 0 < became[0] < 255:
            class_ids[i - 1] = int(became[0])
    numbers = instances.numbers.astype(int)
    numbers[np.array([0, *class_ids])[numbers] != after] = 0
    added, found = (before != after) & (numbers == 0), numbers.copy()
    for class_id in range(1, 255):
        pieces, count = ndimage.label(added & (after == class_id), CORNERS)
        for piece in range(1, count + 1):
            border = np.zeros(len(class_ids) + 1 + 1000, int)
            for y, x in np.argwhere(pieces == piece):
                around = numbers[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].ravel()
                for other in around[around > 0]:
                    border[other] += other <= len(instances.class_ids) and class_ids[other - 1] == class_id
            if not border.any():
                class_ids.append(class_id)
            found[pieces == piece] = border.argmax() if border.any() else len(class_ids)
    return {(class_id, (found == i).tobytes()) for i, class_id in enumerate(class_ids, 1) if (found == i).any()}


@pytest.mark.parametrize("seed", range(15))
def test_held_to_the_reference(seed):
    rng = np.random.default_rng(seed)
    instances, before = scene()
    after = before.copy()
    for _ in range(rng.integers(1, 5)):
        y, x = rng.integers(0, 10, 2)
        after[y : y + rng.integers(1, 5), x : x + rng.integers(1, 7)] = rng.choice([0, 1, 1, 2, 3, 255])
    found = objects_after(instances, before, after)
    shown = {(class_id, (found.numbers.astype(int) == i).tobytes()) for i, class_id in enumerate(found.class_ids, 1)}
    assert shown == reference(instances, before, after)
    assert len(found.scores) == len(found.class_ids)
    assert {int(n) for n in np.unique(found.numbers)} - {0} == {*range(1, len(found.class_ids) + 1)}
