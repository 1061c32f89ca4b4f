import numpy as np
import pytest
from pycocotools import mask

from seediff.dataset.shapes.rle import encode


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5), (64, 48)])
@pytest.mark.parametrize("kinds", [1, 30])
def test_every_number_comes_back_and_is_pycocotools(shape, kinds):
    numbers = np.kron(np.random.default_rng(kinds).integers(0, kinds + 1, shape), np.ones((5, 3), int))
    rles = encode(numbers)
    assert list(rles) == [number for number in np.unique(numbers).tolist() if number]
    for number, rle in rles.items():
        theirs = mask.encode(np.asfortranarray((numbers == number).astype(np.uint8)))
        assert rle == {"size": theirs["size"], "counts": theirs["counts"].decode("ascii")}
