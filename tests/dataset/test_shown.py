"""What a notebook shows of a sample and of a dataset."""

import io

import numpy as np
from PIL import Image
from refusals import user_error

from seediff import Dataset
from seediff.dataset.sample import Sample
from seediff.drawing.colours import css_colour
from seediff.drawing.overlays import LEAST_SIDE


def sample(name, side=64, class_id=2):
    image, labels = np.full((side, side, 3), 128, np.uint8), np.zeros((side, side), np.uint8)
    labels[: side // 2] = class_id
    return Sample(image, labels, None, {"classes": ["cat"], "class_ids": [class_id], "area": {"cat": 0.5}}, name=name)


def test_a_sample_is_shown_beside_its_mask():
    shown = np.asarray(sample("a").show())
    assert shown.shape[0] == LEAST_SIDE
    assert shown.shape[1] > 2 * LEAST_SIDE  # and the class's name
    left, right = shown[:, :LEAST_SIDE], shown[:, LEAST_SIDE : 2 * LEAST_SIDE]
    assert (left == 128).all()
    assert np.array_equal(right[-1], left[-1])
    assert not np.array_equal(right[0], left[0])
    colour = [int(css_colour(2)[at : at + 2], 16) for at in (1, 3, 5)]
    assert (shown[:, 2 * LEAST_SIDE :] == colour).all(-1).any()  # the legend
    assert Image.open(io.BytesIO(sample("a")._repr_png_())).size == shown.shape[1::-1]
    assert max(sample("a", side=700).show().size) < 1300


def test_a_dataset_is_shown_as_a_sheet():
    many = Dataset(("dog", "cat"), [sample(str(number), side=40 + number) for number in range(30)])
    few = many[:3]
    assert many.show().height > few.show().height
    assert many.show(3).size == few.show().size
    assert Image.open(io.BytesIO(few._repr_png_())).size == few.show().size
    empty = Dataset(("dog",), [])
    assert empty._repr_png_() is None
    with user_error("has no samples to show"):
        empty.show()
