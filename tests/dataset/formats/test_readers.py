from pathlib import Path

import numpy as np
import pytest
from blobs import blobs
from formats import export
from items import item

from seediff.dataset.shapes.objects import find_objects

CLASSES = ("cat", "dog", "bus")
SHAPE = (64, 80)


@pytest.fixture(scope="module")
def given():
    """Items with ignored bands around their objects, as JPEG, by name."""
    return {f"{i:06d}": item(f"{i:06d}", blobs(i, SHAPE, 3, ignore=True), {}, SHAPE, "jpg") for i in range(4)}


def test_supervision_reads_cocos_masks(tmp_path, given):
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    export("coco", CLASSES, given.values(), tmp_path / "coco")
    read = supervision.DetectionDataset.from_coco(
        str(tmp_path / "coco/images"), str(tmp_path / "coco/annotations/instances.json"), force_masks=True
    )
    assert read.classes == list(CLASSES)
    assert len(read) == len(given)
    for path, _, detections in read:
        labels = given[Path(path).stem].label_map
        found = find_objects(labels)
        assert len(detections) == len(found.class_ids) > 0
        shown = np.zeros_like(labels)
        for mask, class_id in zip(detections.mask, detections.class_id, strict=True):
            assert not shown[mask].any()  # objects do not overlap
            shown[mask] = class_id + 1
        assert np.array_equal(shown, np.where(labels == 255, 0, labels))  # what is ignored is no object
        assert np.array_equal(detections.xyxy, np.array(found.boxes_xyxy))
