"""Exported sets by the tools' own readers: each where it is installed, beside SeeDiff or in its environment below
SEEDIFF_TOOLS.

`python benchmarks/readers.py --install DIR` makes the environments.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from blobs import blobs
from formats import export
from items import item

from seediff.dataset.shapes.objects import find_objects

CLASSES = ("cat", "dog", "bus")
SHAPE = (64, 80)


def test_supervision_reads_cocos_masks(tmp_path):
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    maps = {f"{i:06d}": blobs(i, SHAPE, 3, ignore=True) for i in range(4)}
    given = [item(name, labels, {}, SHAPE, "jpg") for name, labels in maps.items()]
    export("coco", CLASSES, given, tmp_path / "coco")
    read = supervision.DetectionDataset.from_coco(
        str(tmp_path / "coco/images"), str(tmp_path / "coco/annotations/instances.json"), force_masks=True
    )
    assert read.classes == list(CLASSES)
    assert len(read) == len(given)
    for path, _, detections in read:
        labels = maps[Path(path).stem]
        found = find_objects(labels)
        assert len(detections) == len(found.class_ids) > 0
        shown = np.zeros_like(labels)
        for mask, class_id in zip(detections.mask, detections.class_id, strict=True):
            assert not shown[mask].any()  # objects do not overlap
            shown[mask] = class_id + 1
        assert np.array_equal(shown, np.where(labels == 255, 0, labels))  # what is ignored is no object
        assert np.array_equal(detections.xyxy, np.array(found.boxes_xyxy))


SCRIPT = Path(__file__).parents[3] / "benchmarks" / "readers.py"
spec = importlib.util.spec_from_file_location("tools_readers", SCRIPT)
readers = importlib.util.module_from_spec(spec)
sys.modules["tools_readers"] = readers
spec.loader.exec_module(readers)


@pytest.mark.parametrize("reading", readers.READINGS, ids=lambda reading: reading.name)
def test_label_maps_are_equal(reading, tmp_path):
    if readers.interpreter(reading.tool) is None:
        pytest.skip(f"{reading.tool} is neither beside SeeDiff nor in an environment below SEEDIFF_TOOLS")
    items = readers.samples()
    maps = readers.read(reading, items, tmp_path)
    differing, pixels = readers.compare(reading, items, maps)
    assert (differing, pixels) == (0, 4 * 64 * 80)
