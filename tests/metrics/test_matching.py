from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT

from seediff.metrics.matching import contingency, count_images
from seediff.metrics.scores import labelled

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden" / "hungarian" / "expected.npz"


def counts(prediction, label, num_classes, protocol):
    """The sum over a stack of images (B, H, W)."""
    return sum(count_images((contingency(p, y, num_classes) for p, y in zip(prediction, label, strict=True)), protocol))


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the original program's outputs are not here")
@pytest.mark.parametrize("case", range(4))
def test_equals_the_original_program(case):
    golden = np.load(GOLDEN)
    found = counts(golden[f"pred_{case}"], golden[f"label_{case}"], 27, "diffseg")
    for name, number in zip(("tp", "fp", "fn", "all"), (*found, labelled(found).sum()), strict=True):
        np.testing.assert_array_equal(number, golden[f"{name}_{case}"])


@st.composite
def images(draw):
    """A stack of one to three pairs (B, 5, 5); −1 on both sides now and then."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 3)), 5, 5)
    used = draw(st.integers(1, 6))
    return rng.integers(-1, used, shape), rng.integers(-1, 4, shape)


@given(images())
@settings(PATIENT, max_examples=60)
def test_every_labelled_pixel_counts_once(pair):
    prediction, label = pair
    for protocol in ("diffseg", "dataset", "strict"):
        found = counts(prediction, label, 4, protocol)
        np.testing.assert_array_equal(labelled(found), [(label == c).sum() for c in range(4)])
        assert found[1].sum() <= ((label >= 0) & (prediction >= 0)).sum()


def test_a_split_segment_by_hand():
    # Class 0 has six pixels, class 1 four. Segment 0 covers four of class 0, 1 the other two, 2 all of class 1, 3 two
    # unlabelled ones.
    label = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, -1, -1]])
    prediction = np.array([[0, 0, 0, 0, 1, 1], [2, 2, 2, 2, 3, 3]])
    published = counts(prediction[None], label[None], 2, "diffseg")
    assert published.tolist() == [[4, 4], [0, 0], [2, 0]]
    strict = counts(prediction[None], label[None], 2, "strict")
    assert strict.tolist() == [[4, 4], [2, 0], [2, 0]]
    # With a third class, which the image does not show, that class takes the segment left over, and has its pixels as
    # false positives.
    wider = counts(prediction[None], label[None], 3, "diffseg")
    assert wider.tolist() == [[4, 4, 0], [0, 0, 2], [2, 0, 0]]


def test_dataset_has_one_matching_for_all_images():
    label = np.array([[[0, 0, 0, 1]], [[1, 1, 0, 0]]])
    prediction = np.array([[[0, 0, 0, 1]], [[0, 0, 1, 1]]])  # the second image's clusters are the other way round
    assert counts(prediction, label, 2, "diffseg")[0].tolist() == [5, 3]
    together = counts(prediction, label, 2, "dataset")
    assert together.tolist() == [[3, 1], [2, 2], [2, 2]]
    assert list(count_images([], "dataset")) == []
