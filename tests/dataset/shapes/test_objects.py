from dataclasses import replace

import numpy as np
import pytest

from seediff.dataset.shapes.objects import find_objects, scored_pieces


def map_of(*rows):
    return np.array([[255 if c == "x" else int(c) for c in row] for row in rows], np.uint8)


def test_pieces_of_each_class():
    labels = map_of("110220", "001020", "xx0002", "110000")
    found = find_objects(labels)
    assert (found.class_ids, found.areas, found.small) == ((1, 1, 2), [3, 2, 4], 0)
    assert found.boxes_xyxy == [(0, 0, 3, 2), (0, 3, 2, 4), (3, 0, 6, 3)]
    assert found.numbers.tolist() == map_of("110330", "001030", "000003", "220000").tolist()
    found = find_objects(labels, min_area=3)
    assert (found.class_ids, found.small, found.numbers[3].max()) == ((1, 2), 1, 0)
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


def test_scores_follow_their_objects():
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 4, (6, 9)), np.ones((3, 3))).astype(np.uint8)
    objects = find_objects(labels)
    count = len(objects.class_ids)
    objects = replace(objects, scores=rng.random(count).round(3).tolist())
    assert count > 9
    for order in (rng.permutation(count).tolist() for _ in range(20)):
        mixed = objects.take(order)
        assert mixed.scores == tuple(objects.scores[i] for i in order)
        again = find_objects(labels, 1, mixed)
        assert (again.class_ids, again.scores) == (objects.class_ids, tuple(objects.scores))
        assert np.array_equal(again.numbers, objects.numbers)
        pieces, owners = mixed.pieces()
        assert list(pieces.scores) == [mixed.scores[owner] for owner in owners]
