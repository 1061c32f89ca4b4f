"""Average precision against pycocotools, and worked out by hand."""

from __future__ import annotations

import contextlib
import io
from dataclasses import astuple

import numpy as np
import pytest

from seediff.metrics.average_precision import Matched, average_precision, match_objects, pixel_ious

COCO = pytest.importorskip("pycocotools.coco")
SHAPE = (24, 30)
Drawn = list[tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Masks (n, H, W), classes (n,), and scores (n,), of each image."""


def draw(seed: int) -> tuple[Drawn, Drawn]:
    """Objects of five images, and predictions that resemble them, with equal scores among them."""
    rng = np.random.default_rng(seed)
    truth, predicted = [], []
    for _ in range(5):
        count = int(rng.integers(0, 5))
        boxes = [_box(rng) for _ in range(count)]
        classes = rng.integers(1, 4, count)
        truth.append((_masks(boxes), classes, np.ones(count)))
        moved = [tuple(max(0, v + int(rng.integers(-1, 2))) for v in box) for box in boxes for _ in range(2)] + [_box(rng)] * 2
        its = np.concatenate([np.repeat(classes, 2), rng.integers(1, 4, 2)])
        predicted.append((_masks(moved), its, rng.integers(1, 6, len(its)) / 6))
    return truth, predicted


def _box(rng: np.random.Generator) -> tuple[int, ...]:
    top, left = int(rng.integers(0, 12)), int(rng.integers(0, 15))
    return top, left, top + int(rng.integers(4, 12)), left + int(rng.integers(4, 14))


def _masks(boxes) -> np.ndarray:
    masks = np.zeros((len(boxes), *SHAPE), bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top : max(bottom, top + 1), left : max(right, left + 1)] = True
    return masks


def of_pycocotools(truth: Drawn, predicted: Drawn, agnostic: bool) -> list[float]:
    from pycocotools import mask as coding
    from pycocotools.cocoeval import COCOeval

    def rows(drawn: Drawn, key: str):
        for image, (masks, classes, values) in enumerate(drawn, 1):
            for mask, class_id, value in zip(masks, classes, values, strict=True):
                rle = coding.encode(np.asfortranarray(mask.astype(np.uint8)))
                category = 1 if agnostic else int(class_id)
                yield {"image_id": image, "category_id": category, "segmentation": rle, "area": int(mask.sum()), key: value.item()}

    names = [{"id": i} for i in range(1, 4)]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO.COCO()
        annotations = [{"id": i, "bbox": [0, 0, 1, 1], "iscrowd": 0, **row} for i, row in enumerate(rows(truth, "score"), 1)]
        coco.dataset = {
            "images": [{"id": i + 1, "height": SHAPE[0], "width": SHAPE[1]} for i in range(len(truth))],
            "annotations": annotations,
            "categories": names,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(list(rows(predicted, "score"))), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(evaluation.stats[i]) for i in (0, 1, 2, 8)]


def ours(truth: Drawn, predicted: Drawn, agnostic: bool) -> list[float]:
    by_class: dict[str, list[Matched]] = {}
    for name in (0,) if agnostic else (1, 2, 3):
        for (masks, classes, _), (found, its, scores) in zip(truth, predicted, strict=True):
            here, there = (classes == name, its == name) if name else (classes > 0, its > 0)
            ious = pixel_ious(found[there], masks[here])
            by_class.setdefault(str(name), []).append(match_objects(ious, scores[there]))
    figures = np.array([astuple(average_precision(images)) for images in by_class.values()])
    return np.nanmean(figures, 0).tolist()  # classes without an object do not count


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_figures_are_those_of_pycocotools(seed, agnostic):
    truth, predicted = draw(seed)
    assert ours(truth, predicted, agnostic) == pytest.approx(of_pycocotools(truth, predicted, agnostic), abs=1e-9)


def test_by_hand():
    # Of two objects the surest prediction fits the first up to 0.8, the next fits nothing, the last fits the second up to 0.6.
    matched = match_objects(np.array([[0.0, 0.6], [0.8, 0.0], [0.1, 0.1]]), np.array([0.1, 0.9, 0.5]))
    assert matched.right.sum(1).tolist() == [2, 2, 2, 1, 1, 1, 1, 0, 0, 0]
    figures = average_precision([matched])
    # Precision is 1 up to recall 0.5 (51 of 101 recalls), then 2/3 (50 of them).
    at50, at75 = (51 + 50 * 2 / 3) / 101, 51 / 101
    assert (figures.ap50, figures.ap75, figures.ar100) == pytest.approx((at50, at75, (3 + 4 / 2) / 10))
    assert figures.ap == pytest.approx((3 * at50 + 4 * at75) / 10)


def test_without_objects_there_is_no_figure_and_without_predictions_it_is_zero():
    nothing = match_objects(np.zeros((0, 0)), np.zeros(0))
    missed = match_objects(np.zeros((0, 3)), np.zeros(0))
    assert np.isnan(astuple(average_precision([nothing]))).all()
    assert astuple(average_precision([nothing, missed])) == (0, 0, 0, 0)


def test_the_hundred_surest_count():
    ious = np.zeros((150, 1))
    ious[120] = 1
    assert not match_objects(ious, np.zeros(150)).right.any()
    assert match_objects(ious, np.arange(150)).right.any()
