import numpy as np
import pytest

from seediff.dataset.shapes.rle import Masks, column_runs, compress, decompress, fill, label_map_rles, masks_of_ids


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5), (64, 48), (300, 200)])
@pytest.mark.parametrize("kinds", [1, 2, 30])
def test_every_segment_comes_back(shape, kinds):
    rng = np.random.default_rng(kinds)
    label_map = np.repeat(rng.integers(-1, kinds, shape), 1, axis=0)
    if shape[0] > 60:
        label_map = np.kron(label_map[: shape[0] // 10, : shape[1] // 10], np.ones((10, 10), int))
    rles = label_map_rles(label_map)
    assert sorted(rles) == [i for i in np.unique(label_map) if i >= 0]
    for name, rle in rles.items():
        np.testing.assert_array_equal(fill(decompress(rle["counts"]), label_map.shape), label_map == name)


def as_masks(*several):
    """Masks of 1 × N pixels whose run lengths these are."""
    edges = [np.cumsum(counts) for counts in several]
    starts, ends = ([one[k::2][: len(one) // 2] for one in edges] for k in (0, 1))
    first = np.cumsum([0, *map(len, starts)])[:-1]
    return Masks((1, int(edges[0][-1])), np.concatenate(starts), np.concatenate(ends), first)


LENGTHS = (
    [0, 5],
    [12, 1],
    [3, 1, 4, 1, 5],
    [0, 1, 100000, 1, 2, 99999999, 3],
    [31, 32, 15, 16, 17, 1023, 1024, 33],
    [1, 524286],
    [1, 524287],
)


@pytest.mark.parametrize("counts", LENGTHS)
def test_compressed_counts_come_back(counts):
    (text,) = compress(as_masks(counts))
    assert decompress(text).tolist() == counts


@pytest.mark.parametrize("size", [1 << 18, (1 << 19) - 1, 1 << 19, (1 << 30) + 7])
def test_counts_of_several_masks_come_back(size):
    rng = np.random.default_rng(size)
    several = [np.diff(np.unique(rng.integers(1, size, 40)), prepend=0, append=size).tolist() for _ in range(20)]
    several += [[0, size], [size - 1, 1], [0, 1, size - 2, 1]]
    assert [decompress(text).tolist() for text in compress(as_masks(*several))] == several


def test_runs_that_go_on_in_the_next_column_are_one():
    ids, masks = masks_of_ids(column_runs(np.array([[0, 1, 1], [1, 1, 0]], np.uint8)))
    assert ids.tolist() == [0, 1]
    assert [decompress(text).tolist() for text in compress(masks)] == [[0, 1, 4, 1], [1, 4, 1]]


def test_bytes_of_pycocotools():
    mask_api = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    rng = np.random.default_rng(0)
    label_map = np.kron(rng.integers(0, 21, (40, 30)), np.ones((13, 7), int))
    for name, rle in label_map_rles(label_map).items():
        theirs = mask_api.encode(np.asfortranarray((label_map == name).astype(np.uint8)))
        assert rle == {"size": theirs["size"], "counts": theirs["counts"].decode("ascii")}
