import numpy as np
import pytest
from refusals import user_error

from seediff.dataset.shapes.cuts import cut, join
from seediff.dataset.shapes.objects import Objects


def scene():
    """A dog of 6 × 12 pixels, a dog in two pieces, a cat, and a dog's pixels in no object."""
    numbers = np.zeros((20, 24), np.int32)
    numbers[2:8, 2:14] = 1
    numbers[10:14, 2:6] = numbers[10:14, 8:12] = 2
    numbers[16:19, 2:8] = 3
    objects = Objects(numbers, (1, 1, 2), (0.5, 0.25, 0.75))
    labels = objects.label_map()
    labels[10:12, 16:22] = 1
    return objects, labels


def shown(objects):
    """(class, pixels, score) of each object."""
    return sorted(zip(objects.class_ids, objects.areas, objects.scores, strict=True))


REST = [(1, 32, 0.25), (2, 18, 0.75)]


@pytest.mark.parametrize(
    ("stroke", "found"),
    [
        ([(5.5, -9), (5.5, 9)], [(1, 48, 0.5), *REST, (1, 24, 0.5)]),  # its pixels go to the nearer side
        ([(0.5, 0.5), (1.5, 9)], None),  # beside it
        ([(0.5, 4.5), (9.5, 4.5)], None),  # ends in it
        ([(1.5, 5.5), (5.5, 1.5)], [(1, 66, 0.5), *REST, (1, 6, 0.5)]),  # a corner
        ([(3.5, 9), (3.5, 15)], [(1, 72, 0.5), (2, 18, 0.75), (1, 24, 0.25), (1, 8, 0.25)]),
        ([(3.5, 12.5)], [(1, 72, 0.5), (2, 18, 0.75), (1, 16, 0.25), (1, 16, 0.25)]),  # a piece of an object
        ([(5.5, 5.5)], None),
        ([(19, 8), (19, 13)], [(1, 72, 0.5), *REST, (1, 8, 1.0), (1, 4, 1.0)]),  # of no object before
    ],
)
def test_a_stroke_cuts_what_it_crosses(stroke, found):
    objects, labels = scene()
    after = cut(objects, labels, stroke)
    assert shown(after) == sorted(found or shown(objects))
    assert np.array_equal(after.label_map()[objects.numbers > 0], labels[objects.numbers > 0])


def test_pieces_become_one_object_of_one_class():
    objects, labels = scene()
    one = join(objects, labels, [(3, 3), (9, 11), (17, 11)])
    assert shown(one) == [(1, 116, 0.5), (2, 18, 0.75)]
    assert shown(join(one, labels, [(3, 3), (23, 0)])) == shown(one)
    with user_error("different classes"):
        join(objects, labels, [(3, 3), (3, 17)])
