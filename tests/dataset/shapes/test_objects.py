import numpy as np
import pytest

from seediff.dataset.encoding import Instances
from seediff.dataset.shapes.objects import find_objects, scored_pieces


def map_of(*rows):
    return np.array([[255 if c == "x" else int(c) for c in row] for row in rows], np.uint8)


def test_pieces_of_each_class():
    labels = map_of("110220", "001020", "xx0002", "110000")
    found = find_objects(labels)
    assert list(found.class_ids) == [1, 1, 2]
    assert list(found.areas) == [3, 2, 4]
    assert list(found.boxes_xyxy) == [(0, 0, 3, 2), (0, 3, 2, 4), (3, 0, 6, 3)]
    assert found.index.tolist() == [
        [0, 0, -1, 2, 2, -1],
        [-1, -1, 0, -1, 2, -1],
        [-1] * 5 + [2],
        [1, 1, -1, -1, -1, -1],
    ]
    assert found.small == 0
    found = find_objects(labels, min_area=3)
    assert ([*found.class_ids], found.small) == ([1, 2], 1)
    assert (found.index[3] == -1).all()
    assert find_objects(labels * 0).areas == []


def test_scored_pieces_by_falling_score():
    labels = np.zeros((32, 48), np.uint8)
    labels[:24, 8:20], labels[:24, 24:40], labels[26:, 4:20], labels[-1, -1] = 3, 3, 7, 7
    soft = np.zeros((2, 32, 48), np.float32)
    soft[0, :, :20], soft[0, :, 20:], soft[1] = 0.5, 0.9, 0.7
    found = scored_pieces(labels, (3, 7), soft)
    assert (found.class_ids, found.scores) == ((3, 7, 3), pytest.approx((0.9, 0.7, 0.5)))
    assert [(found.numbers == number).sum() for number in (1, 2, 3)] == [24 * 16, 6 * 16, 24 * 12]
    assert found.numbers[-1, -1] == 0  # less than 1 % of the picture
    assert not scored_pieces(np.full((4, 4), 255, np.uint8), (), ()).numbers.any()


@pytest.mark.parametrize("seed", range(5))
def test_objects_tile_their_classes(seed):
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.choice([0, 1, 2, 254, 255], (9, 12)), np.ones((3, 2))).astype(np.uint8)
    found = find_objects(labels)
    assert np.array_equal(found.index >= 0, (labels > 0) & (labels < 255))
    for number, (class_id, area, box) in enumerate(zip(found.class_ids, found.areas, found.boxes_xyxy, strict=True)):
        inside = found.index == number
        rows, columns = np.nonzero(inside)
        assert (labels[inside] == class_id).all()
        assert area == inside.sum()
        assert box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_an_ignored_shape_is_no_object():
    instances = Instances(np.repeat([[1], [2], [3], [0]], 3, 1).astype(np.uint16), (1, 255, 1))
    labels = instances.label_map()
    found = find_objects(labels, instances=instances)
    assert (found.class_ids, found.areas, found.small) == ([1, 1], [3, 3], 0)
    assert found.index[:, 0].tolist() == [0, -1, 1, -1]
