import numpy as np
import pytest
from pycocotools import mask

from seediff.dataset.shapes.rle import decompress, encode


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5), (64, 48)])
@pytest.mark.parametrize("kinds", [1, 30])
def test_every_number_comes_back_and_is_pycocotools(shape, kinds):
    numbers = np.kron(np.random.default_rng(kinds).integers(0, kinds + 1, shape), np.ones((5, 3), int))
    rles = encode(numbers)
    assert list(rles) == [number for number in np.unique(numbers).tolist() if number]
    for number, rle in rles.items():
        theirs = mask.encode(np.asfortranarray((numbers == number).astype(np.uint8)))
        assert rle == {"size": theirs["size"], "counts": theirs["counts"].decode("ascii")}


@pytest.mark.parametrize(
    "counts", [[0, 5], [12, 1], [3, 1, 4, 1, 5], [0, 1, 100000, 1, 2, 99999999, 3], [31, 32, 15, 16, 17, 1023, 1024]]
)
def test_compressed_counts_come_back(counts):
    rle = mask.frPyObjects({"size": [1, sum(counts)], "counts": counts}, 1, sum(counts))
    assert decompress(rle["counts"].decode("ascii")) == counts
