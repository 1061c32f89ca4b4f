"""Objects follow the corrections of their label map."""

import numpy as np
import pytest
from scipy import ndimage

from seediff.dataset.encoding import Instances
from seediff.dataset.shapes.following import follow

CORNERS = np.ones((3, 3), int)


def scene():
    """Two dogs that touch, a cat, and a dog's pixels that are no object."""
    numbers = np.zeros((12, 16), np.uint16)
    numbers[2:6, 1:5], numbers[2:6, 5:9], numbers[8:11, 10:14] = 2, 1, 3
    instances = Instances(numbers, (1, 1, 2), (0.5, 0.25, 0.75))
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


def test_by_hand():
    instances, before = scene()
    after = before.copy()
    after[2:6, 1:3] = 0  # half of object 2 goes
    after[1, 6:9] = 1  # object 1 grows
    after[8:11, 10:14] = 0  # the cat goes
    after[8, 4:6] = 1  # a new dog
    found = follow(instances, before, after)
    assert (found.class_ids, found.scores) == ((1, 1, 1), (0.5, 0.25, 1.0))
    assert np.bincount(found.numbers.ravel()).tolist()[1:] == [16 + 3, 8, 2]
    assert found.numbers[10, 0] == 0  # what was no object is none still


def test_a_picture_without_objects_gets_some():
    numbers = np.zeros((6, 6), np.uint16)
    painted = np.zeros((6, 6), np.uint8)
    painted[1:3, 1:3], painted[5, 5] = 1, 255
    found = follow(Instances(numbers, ()), np.zeros((6, 6), np.uint8), painted)
    assert (found.class_ids, found.scores, int(found.numbers.sum())) == ((1,), (), 4)


def test_objects_that_touch_stay_apart_in_another_class():
    instances, before = scene()
    found = follow(instances, before, np.where(before == 1, np.uint8(3), before))
    assert found.class_ids == (3, 3, 2, 3)  # the last was a dog's and no object
    np.testing.assert_array_equal(np.where(found.numbers < 4, found.numbers, 0), instances.numbers)


def test_an_object_that_is_cut_in_two_stays_one():
    numbers = np.zeros((8, 20), np.uint16)
    numbers[1:5, 1:9], numbers[1:5, 12:18] = 1, 1  # one object in two pieces
    instances = Instances(numbers, (1,), (0.5,))
    before = instances.label_map()
    after = before.copy()
    after[:, 4] = 0
    found = follow(instances, before, after)
    assert (found.class_ids, found.scores, np.bincount(found.numbers.ravel()).tolist()[1:]) == (
        (1,),
        (0.5,),
        [16 + 12 + 24],
    )
    np.testing.assert_array_equal(follow(instances, before, before).numbers, numbers)


@pytest.mark.parametrize("seed", range(12))
def test_held_to_the_reference(seed):
    rng = np.random.default_rng(seed)
    instances, before = scene()
    after = before.copy()
    for _ in range(rng.integers(1, 5)):
        y, x = rng.integers(0, 10, 2)
        after[y : y + rng.integers(1, 5), x : x + rng.integers(1, 7)] = rng.choice([0, 1, 1, 2, 3, 255])
    found = follow(instances, before, after)
    shown = {(class_id, (found.numbers.astype(int) == i).tobytes()) for i, class_id in enumerate(found.class_ids, 1)}
    assert shown == reference(instances, before, after)
    assert len(found.scores) == len(found.class_ids)
    assert {int(n) for n in np.unique(found.numbers)} - {0} == {*range(1, len(found.class_ids) + 1)}
