"""Results in other programs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders.refusals import user_error
from hypothesis import given, settings
from hypothesis import strategies as st

from seediff.masks.results import MaskResult, confidence
from seediff.segments.make_segments import Segments
from seediff.view import Window


def result():
    labels = np.zeros((6, 8), np.uint8)
    labels[1:4, 2:5], labels[4:, 6:] = 1, 2
    soft = torch.zeros(3, 6, 8)
    soft[0, 1:4, 2:5], soft[0, 0, 0], soft[0, 5, 7] = 0.8, 0.4, 0.4
    return MaskResult(labels, soft, ("dog", "cat", "cow"), pixels=np.full((6, 8, 3), 90, np.uint8))


def test_detections_of_supervision():
    supervision = pytest.importorskip("supervision")
    found = result().detections()
    assert isinstance(found, supervision.Detections)
    assert found.class_id.tolist() == [0, 1]
    assert found.data["class_name"].tolist() == ["dog", "cat"]
    assert found.confidence.tolist() == pytest.approx([7.2 / 9.8, 0], abs=1e-3)
    assert found.xyxy.tolist() == [[2, 1, 4, 3], [6, 4, 7, 5]]
    assert np.array_equal(found.mask[0], result().label_map == 1)
    picture = supervision.MaskAnnotator().annotate(result().pixels.copy(), found)
    assert (picture[2, 3] != 90).any()
    nothing = MaskResult(np.zeros((6, 8), np.uint8), torch.zeros(0, 6, 8), ())
    assert len(nothing.detections()) == 0


def test_detections_of_segments():
    pytest.importorskip("supervision")
    found = Segments(result().label_map.astype(np.int32) - 1, (0.9, 0.5)).detections()
    assert found.class_id.tolist() == [0, 1]
    assert found.confidence.tolist() == pytest.approx([0.9, 0.5])
    assert found.xyxy.tolist() == [[2, 1, 4, 3], [6, 4, 7, 5]]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 1.0]))
def test_confidence_is_the_soft_iou_of_soft_mask_and_mask(seed, lowest):
    rng = np.random.default_rng(seed)
    labels, soft = rng.choice(np.array([0, 1, 2, 255], np.uint8), (5, 7)), rng.uniform(lowest, 1, (5, 7))
    kept, mask = np.round(soft * 255) / 255, (labels == 1).astype(np.float64)
    least, most = (of(kept, mask)[labels != 255].sum() for of in (np.minimum, np.maximum))
    found = confidence(labels, soft, 1)
    assert found == pytest.approx(least / most if most else 0, abs=5.1e-5)
    assert found == confidence(labels, np.where(labels == 255, 1 - soft, soft), 1)  # what is ignored does not count
    assert confidence(labels, mask, 1) == mask.any()
    assert confidence(labels, soft, 3) == 0


def test_cutouts():
    cut = np.asarray(result().cutout("dog"))
    assert cut.shape == (6, 8, 4)
    assert cut[2, 3].tolist() == [90, 90, 90, 255]
    assert cut[0, 1, 3] == 14  # touches the mask
    assert cut[0, 0, 3] == cut[5, 7, 3] == 0
    assert np.array_equal(cut[..., 3] > 127, result().label_map == 1)
    soft = np.asarray(result().cutout("dog", soft=True))
    assert soft[0, 0, 3] == 128  # half as high
    assert soft[5, 7, 3] == 0
    seen = replace(result(), soft=result().soft[:, :3, :4], window=Window(0, 0, 3, 4))  # the model saw a corner
    assert seen.cutout("dog", soft=True).size == (8, 6)
    with user_error("^cutout: 'cot' has no mask; classes: dog, cat, cow"):
        result().cutout("cot")
