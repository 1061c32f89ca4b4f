import json
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from region_maps import region_maps
from scipy.optimize import linear_sum_assignment

from seediff.segments.aggregate import aggregate
from seediff.segments.diffseg import diffseg, merge_rows
from seediff.segments.labelling import label

SHARED = Path(__file__).parents[2].parent / "shared"
GOLDEN = SHARED / "golden" / "diffseg"
PHOTOS = SHARED / "data" / "voc_val_dev" / "JPEGImages"


def plain_kl(p, others):
    difference = np.log(np.maximum(p, 1e-12)) - np.log(np.maximum(others, 1e-12))
    return ((p - others) * difference).sum(1) / 2


def plain_line(side, count):
    step = (side - 1) // max(1, count - 1)
    start = (side - 1 - step * (count - 1)) // 2
    return [start + step * i for i in range(count)]


def plain_proposals(rows, size, num_points, thresholds):
    """Section 4 of the description, pair by pair in float64, with as dense a line of anchors on the shorter side."""
    lines = [plain_line(side, round(num_points * side / max(size))) for side in size]
    grid = [i * size[1] + j for i in lines[0] for j in lines[1]]
    found = np.stack([rows[plain_kl(rows[a], rows) < thresholds[0]].mean(0) for a in grid])
    for threshold in thresholds[1:]:
        matched = set()
        merged = []
        for i, one in enumerate(found):
            if i not in matched:
                near = plain_kl(one, found) < threshold
                matched |= set(near.nonzero()[0])
                merged.append(found[near].mean(0))
        found = np.stack(merged)
    return found


@pytest.mark.parametrize("size", [(16, 16), (8, 24)])
@pytest.mark.parametrize(("num_points", "thresholds"), [(8, (1.0, 1.0, 1.0)), (5, (0.3, 0.6, 0.9)), (7, (1e-9, 1.0))])
def test_equals_the_plain_reference(size, num_points, thresholds):
    rows = aggregate(region_maps(size, seed=1, levels=3), size)
    expected = plain_proposals(rows.double().numpy(), size, num_points, thresholds)
    found = merge_rows(rows, size, num_points, thresholds)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-11)

    segments = label(diffseg(rows, size, num_points=num_points, kl_thresholds=thresholds), (50, 30))
    best = F.interpolate(torch.from_numpy(expected).view(1, -1, *size), (50, 30), mode="bilinear")[0].argmax(0)
    ours = segments == np.unique(best, return_inverse=True)[1].reshape(50, 30)
    assert ours.mean() > 0.997  # pixels on an edge


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.exists(), reason="the original program's outputs are not beside the checkout")
def test_agrees_with_the_original_program():
    name = "2007_001299_default"
    case = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))[name]
    attention = run_path(str(GOLDEN / "make_inputs.py"))["attention"](PHOTOS / f"{case['image']}.jpg", case["seed"])
    maps = {(side, side): torch.from_numpy(maps.mean((0, 1))).float() for side, maps in attention.items()}
    rows = aggregate(maps, (64, 64))
    maps = diffseg(rows, (64, 64), num_points=case["num_points"], kl_thresholds=case["kl_threshold"])
    found = label(maps, (512, 512))
    original = np.asarray(Image.open(GOLDEN / f"{name}.png"))
    pairs = np.bincount(found.ravel() * 256 + original.ravel(), minlength=256 * (found.max() + 1)).reshape(-1, 256)
    agreement = pairs[linear_sum_assignment(pairs, maximize=True)].sum() / found.size
    assert found.max() + 1 == case["used"]
    assert agreement >= 0.999, f"{agreement:.5f}"
