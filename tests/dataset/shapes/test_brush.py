import numpy as np
import pytest

from seediff.dataset.shapes.rle import SIZES, decode_brush, encode_brush


def masks():
    rng = np.random.default_rng(0)
    for number, share in enumerate((0.5, 0.01, 0.0, 1.0)):
        yield rng.random(rng.integers(1, 60, 2)) < share
        yield np.kron(rng.random((3, number + 1)) < 0.5, np.ones((20, 30))) > 0
    yield np.ones((200, 300), bool)  # runs of more than 65,536 values


@pytest.mark.parametrize("inside", masks(), ids=lambda mask: f"{mask.shape}")
def test_there_and_back(inside):
    assert np.array_equal(decode_brush(encode_brush(inside), inside.shape), inside)


def test_values_one_by_one_as_the_browser_writes_them():
    """A drawn mask has colours: its four channels differ, and blocks hold many values. Where the fourth is not 0, it
    is.
    """
    pixels = np.array([[[255, 0, 0, 200], [0, 0, 0, 0]], [[1, 2, 3, 0], [9, 9, 9, 1]]], np.uint8)
    text = f"{16:032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in SIZES)
    # Not the same, of the first size, 8 values.
    text += "000" + "111" + "".join(f"{value:08b}" for value in pixels.ravel()[:8])
    text += "001" + "0111" + "".join(f"{value:08b}" for value in pixels.ravel()[8:])
    text += "0" * (-len(text) % 8)
    stream = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    assert np.array_equal(decode_brush(stream, (2, 2)), [[True, False], [False, True]])
