import numpy as np
import pytest

from seediff.rle import compress, decode, decompress, label_map_rles


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
        np.testing.assert_array_equal(decode(rle), label_map == name)


@pytest.mark.parametrize("counts", [[0, 5], [12], [3, 1, 4, 1, 5], [0, 1, 100000, 1, 2, 99999999, 3], [31, 32, 15, 16, 17, 1023, 1024, 33]])
def test_compressed_counts_come_back(counts):
    np.testing.assert_array_equal(decompress(compress(np.array(counts))), counts)


def test_bytes_of_pycocotools():
    mask_api = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    rng = np.random.default_rng(0)
    label_map = np.kron(rng.integers(0, 21, (40, 30)), np.ones((13, 7), int))
    for name, rle in label_map_rles(label_map).items():
        theirs = mask_api.encode(np.asfortranarray((label_map == name).astype(np.uint8)))
        assert rle == {"size": theirs["size"], "counts": theirs["counts"].decode("ascii")}
