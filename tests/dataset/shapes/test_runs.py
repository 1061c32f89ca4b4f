import numpy as np
import pytest
from scipy import ndimage

from seediff.dataset.shapes.rle import column_runs, connected, masks_by, masks_of_ids


def spiral(side):
    """A path of one pixel's width to the middle and nothing but the gap between its turns."""
    labels, (row, column), step = np.zeros((side, side), np.uint8), (0, 0), (0, 1)
    labels[0, 0] = 1
    for length in [side - 1, *(n for n in range(side - 1, 0, -2) for _ in range(2))]:
        for _ in range(length):
            row, column = row + step[0], column + step[1]
            labels[row, column] = 1
        step = (step[1], -step[0])
    return labels


def comb(teeth):
    """Teeth of all lengths that only the last column joins, and their gaps the other way round."""
    labels = np.zeros((2 * teeth, teeth + 2), np.uint8)
    for tooth in range(teeth):
        labels[2 * tooth, (tooth * 7) % teeth :] = 1
    labels[:, -1] = 1
    return labels


rng = np.random.default_rng(0)
MAPS = {
    "a pixel": np.ones((1, 1), np.uint8),
    "a row": np.array([[1, 1, 2, 1, 0, 0, 255]], np.uint8),
    "a column": np.array([[1], [1], [2], [1], [0]], np.uint8),
    "checkers": np.indices((9, 14)).sum(0).astype(np.uint8) % 2 + 1,
    "spiral": spiral(31),
    "comb": comb(40),
    "noise": rng.integers(0, 3, (60, 50)).astype(np.uint8),
    "blocks": np.kron(rng.integers(0, 4, (12, 15)), np.ones((5, 3))).astype(np.uint8),
    "sparse": (rng.random((80, 70)) < 0.35).astype(np.uint8),
    "wide": rng.integers(0, 2, (2, 300)).astype(np.int64) - 1,
    "not in rows": np.asfortranarray(rng.integers(0, 3, (20, 30)).astype(np.uint8)),
}


@pytest.mark.parametrize("labels", MAPS.values(), ids=MAPS)
def test_runs_fill_their_label_map(labels):
    runs = column_runs(labels)
    assert runs.starts[0] == 0
    assert np.array_equal(runs.starts[1:], runs.ends[:-1])
    assert np.array_equal(np.repeat(runs.ids, runs.ends - runs.starts), labels.T.ravel())
    assert (runs.starts // labels.shape[0] == (runs.ends - 1) // labels.shape[0]).all()


@pytest.mark.parametrize("labels", MAPS.values(), ids=MAPS)
def test_pieces_are_those_of_scipy(labels):
    runs = column_runs(labels)
    piece = connected(runs)
    of_pixel = np.repeat(piece, runs.ends - runs.starts).reshape(labels.shape[::-1]).T
    for name in np.unique(labels):
        theirs, count = ndimage.label(labels == name, np.ones((3, 3)))
        pairs = {(a, b) for a, b in zip(theirs.ravel().tolist(), of_pixel.ravel().tolist(), strict=True) if a}
        assert len(pairs) == len({b for _, b in pairs}) == count
    for number in np.unique(piece):
        assert np.flatnonzero(piece == number)[0] == number


@pytest.mark.parametrize("labels", MAPS.values(), ids=MAPS)
def test_masks_know_their_pixels(labels):
    ids, masks = masks_of_ids(column_runs(labels))
    assert ids.tolist() == np.unique(labels).tolist()
    assert np.array_equal(ids[masks.index_map()], labels)
    for name, area, box in zip(ids, masks.areas, masks.boxes_xyxy.tolist(), strict=True):
        rows, columns = np.nonzero(labels == name)
        assert area == len(rows)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    some = masks.chosen(kept := np.arange(len(ids)) % 2 == 0)
    assert np.array_equal(some.index_map() >= 0, np.isin(labels, ids[kept]))
    assert some.areas.tolist() == masks.areas[kept].tolist()


def test_numbers_above_the_count_are_in_no_mask():
    runs = column_runs(np.array([[1, 2], [1, 3]], np.uint8))
    masks = masks_by(runs, np.array([1, 2, 0]), 2)
    assert masks.index_map().tolist() == [[1, -1], [1, 0]]
    assert masks_by(runs, np.array([0, 0, 0]), 0).boxes_xyxy.tolist() == []
