"""Pieces that a person joined: which objects there are then, and what later changes of the mask leave of them."""

from itertools import pairwise

import numpy as np
import pytest

from seediff.dataset.shapes.objects import MOST_PIXELS, carried, check_joined, find_objects, join, read_joined, split
from seediff.errors import UserError


def map_of(*rows):
    return np.array([[255 if c == "x" else int(c) for c in row] for row in rows], np.uint8)


FOUR = map_of("1100110", "1100110", "0000000", "0110x22", "0110x22")
"""Pieces at (0, 0), (4, 0) and (1, 3) of class 1, and at (5, 3) of class 2."""


def areas(labels, joined, min_area=1):
    return find_objects(labels, min_area, joined).areas


def test_joined_pieces_are_one_object_and_apart_again():
    assert areas(FOUR, ()) == [4, 4, 4, 4]
    joined = join(FOUR, (), (1, 1), (5, 0))
    assert len(joined) == 1
    found = find_objects(FOUR, 1, joined)
    assert (found.areas, list(found.class_ids)) == ([8, 4, 4], [1, 1, 2])
    np.testing.assert_array_equal(found.index == 0, np.isin(np.arange(7), (0, 1, 4, 5)) & (np.arange(5) < 2)[:, None])
    assert found.boxes_xyxy[0] == (0, 0, 6, 2)
    three = join(FOUR, joined, (2, 3), (0, 0))
    assert areas(FOUR, three) == [12, 4]
    two = split(FOUR, three, (4, 1))
    assert areas(FOUR, two) == [8, 4, 4]
    assert find_objects(FOUR, 1, two).boxes_xyxy[0] == (0, 0, 3, 5)
    assert split(FOUR, two, (0, 0)) == ()


def test_the_same_objects_however_they_are_named():
    """Named anew, by other pixels, in another order, twice: it is the same."""
    rng = np.random.default_rng(0)
    labels = np.kron(rng.choice(np.array([0, 1, 2, 255], np.uint8), (9, 11)), np.ones((3, 3), np.uint8))
    pieces = find_objects(labels)
    ones = [i for i, class_id in enumerate(pieces.class_ids) if class_id == 1][:3]
    assert len(ones) == 3

    def pixel(piece, which):
        ys, xs = np.nonzero(pieces.index == piece)
        return int(xs[which]), int(ys[which])

    first = join(labels, join(labels, (), pixel(ones[0], 0), pixel(ones[1], -1)), pixel(ones[1], 0), pixel(ones[2], 1))
    other = join(labels, join(labels, (), pixel(ones[2], 2), pixel(ones[1], 1)), pixel(ones[0], -1), pixel(ones[2], 0))
    assert first == other == carried(labels, labels, first)
    by_hand = np.isin(pieces.index, ones)
    index = find_objects(labels, 1, first).index
    assert len(np.unique(index[by_hand])) == 1
    assert (index[~by_hand] != index[by_hand][0]).all()


def test_small_pieces_of_a_large_object_are_of_it():
    labels = map_of("1110000", "1110010")
    assert areas(labels, (), 2) == [6]
    assert areas(labels, join(labels, (), (0, 0), (5, 1)), 2) == [7]


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ((0, 0), (5, 3), "pieces of one class"),
        ((0, 0), (3, 0), r"no object at pixel \[3, 0\]"),
        ((4, 3), (0, 0), r"no object at pixel \[4, 3\]"),
        ((0, 0), (7, 0), r"no object at pixel \[7, 0\]"),
    ],
)
def test_what_cannot_be_joined(one, other, said):
    with pytest.raises(UserError, match=said):
        join(FOUR, (), one, other)


def test_pieces_go_on_when_the_mask_changes():
    joined = join(FOUR, join(FOUR, (), (0, 0), (4, 0)), (0, 0), (1, 3))
    painted = FOUR.copy()
    painted[:, 0] = 0
    painted[0] = 0  # what is left of the first two are other pixels than their first
    assert areas(painted, carried(FOUR, painted, joined)) == [7, 4]
    assert areas(np.where(FOUR == 1, np.uint8(2), FOUR), carried(FOUR, np.where(FOUR == 1, np.uint8(2), FOUR), joined)) == [12, 4]
    erased = FOUR.copy()
    erased[:2, 4:6] = 255
    assert areas(erased, carried(FOUR, erased, joined)) == [8, 4]
    erased[3:] = 0
    assert carried(FOUR, erased, joined) == ()
    other = FOUR.copy()
    other[:2, 4:6] = 2  # one of three is another class's now
    assert areas(other, carried(FOUR, other, joined)) == [8, 4, 4]
    together = FOUR.copy()
    together[0, 2:4] = 1  # they touch: one piece
    assert areas(together, carried(FOUR, together, joined)) == [14, 4]


def test_pixels_of_no_class_name_nothing():
    assert areas(FOUR, (((0, 0), (3, 0), (4, 3)),)) == [4, 4, 4, 4]
    assert areas(FOUR, (((0, 0), (5, 3), (4, 0), (6, 4)),)) == [8, 4, 4]  # each class by itself


def test_a_pixel_outside_of_the_picture_is_told():
    check_joined(read_joined([[[6, 4], [0, 0]]]), FOUR.shape, "sample '1'")
    for pixel in ([7, 0], [0, 5], [-1, 0]):
        with pytest.raises(UserError, match=rf"sample '1': joins the piece at pixel \[{pixel[0]}, {pixel[1]}\], but its picture has 7 × 5"):
            check_joined(read_joined([[pixel]]), FOUR.shape, "sample '1'")


def one_by_one(before, after, joined):
    """What `carried` says, piece by piece and group by group."""
    old, new = find_objects(before), find_objects(after)
    groups = []
    for one in joined:
        named = {int(old.index[y, x]) for x, y in one} - {-1}
        for class_id in {old.class_ids[piece] for piece in named}:
            found = {}
            for piece in (its for its in named if old.class_ids[its] == class_id):
                inside = new.index[(old.index == piece) & (new.index >= 0)]
                if len(inside):
                    most = int(np.bincount(inside).argmax())
                    found.setdefault(new.class_ids[most], set()).add(most)
            groups += found.values()
    whole = []
    for group in groups:
        whole = [one for one in whole if not one & group] + [group.union(*(one for one in whole if one & group))]
    return sorted(sorted(group) for group in whole if len(group) > 1), new


def test_carried_as_piece_by_piece():
    rng, several = np.random.default_rng(5), 0
    for _ in range(60):
        before = rng.choice([0] * 9 + [1, 1, 2, 255], (12, 14)).astype(np.uint8)
        after = np.where(rng.random(before.shape) < 0.1, rng.choice([0, 0, 1, 2], before.shape), before).astype(np.uint8)
        joined = tuple(tuple((int(x), int(y)) for x, y in rng.integers(0, 12, (rng.integers(0, 12), 2))) for _ in range(3))
        groups, new = one_by_one(before, after, joined)
        found = carried(before, after, joined)
        assert [sorted(int(new.index[y, x]) for x, y in one) for one in found] == groups
        several += len(groups)
        whole = find_objects(after, joined=found).index
        assert all(len({int(whole[y, x]) for x, y in one}) == 1 for one in found)
        assert whole.max() + 1 == new.index.max() + 1 - sum(len(group) - 1 for group in groups)
    assert several > 30


def test_as_many_pixels_as_are_read():
    """In a moment, not in hours: ten thousand pieces, each joined with the next by a group of its own, in a picture of a megapixel."""
    labels = np.zeros((1024, 1024), np.uint8)
    labels[4::10, 4::10] = 1
    places = [(x, y) for x in range(4, 1024, 10) for y in range(4, 1024, 10)][: MOST_PIXELS // 2 + 1]
    joined = tuple(pairwise(places))
    check_joined(joined, labels.shape, "")
    found = carried(labels, labels, joined)
    assert [len(one) for one in found] == [len(places)]
    assert len(find_objects(labels, joined=joined).class_ids) == int(labels.sum()) - len(joined)
    with pytest.raises(UserError, match=r"^sample 'a': joins pieces at 10002 pixels; at most 10000 in a picture are read$"):
        check_joined((*joined, (places[0], places[1])), labels.shape, "sample 'a'")
