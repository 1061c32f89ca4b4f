import numpy as np
import pytest
from pycocotools import mask

from seediff.dataset.shapes.rle import decompress, encode, fill


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5), (64, 48), (300, 200)])
@pytest.mark.parametrize("kinds", [1, 2, 30])
def test_every_number_comes_back(shape, kinds):
    rng = np.random.default_rng(kinds)
    numbers = rng.integers(0, kinds + 1, shape)
    if shape[0] > 60:
        numbers = np.kron(numbers[: shape[0] // 10, : shape[1] // 10], np.ones((10, 10), int))
    rles = encode(numbers)
    assert list(rles) == [number for number in np.unique(numbers).tolist() if number]
    for number, rle in rles.items():
        np.testing.assert_array_equal(fill(decompress(rle["counts"]), numbers.shape), numbers == number)


def test_bytes_of_pycocotools():
    rng = np.random.default_rng(0)
    numbers = np.kron(rng.integers(0, 21, (40, 30)), np.ones((13, 7), int))
    for number, rle in encode(numbers).items():
        theirs = mask.encode(np.asfortranarray((numbers == number).astype(np.uint8)))
        assert rle == {"size": theirs["size"], "counts": theirs["counts"].decode("ascii")}


@pytest.mark.parametrize(
    "counts", [[0, 5], [12, 1], [3, 1, 4, 1, 5], [0, 1, 100000, 1, 2, 99999999, 3], [31, 32, 15, 16, 17, 1023, 1024]]
)
def test_compressed_counts_come_back(counts):
    rle = mask.frPyObjects({"size": [1, sum(counts)], "counts": counts}, 1, sum(counts))
    assert decompress(rle["counts"].decode("ascii")) == counts


def test_runs_that_go_on_in_the_next_column_are_one():
    (rle,) = encode(np.array([[0, 1, 1], [1, 1, 0]], np.uint8)).values()
    assert decompress(rle["counts"]) == [1, 4, 1]
