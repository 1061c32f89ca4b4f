import json

import numpy as np
from blocks import some
from formats import export, imported
from PIL import Image

from seediff.dataset.shapes.objects import find_objects

CLASSES = ("cat", "dog", "cow")


def test_there_and_back(tmp_path):
    """Exactly, also with pieces that are too small to be objects: they are crowds of their class."""
    done = export("coco", CLASSES, some(), tmp_path / "set", panoptic=True, min_area=60)
    assert done.files == sum(path.is_file() for path in (tmp_path / "set").rglob("*"))
    classes, items = imported("coco", tmp_path / "set", annotations=tmp_path / "set/annotations/panoptic.json")
    assert classes == CLASSES
    for one, truth in zip(items, some(), strict=True):
        assert one.name == truth.name
        assert np.array_equal(one.label_map, truth.label_map)


def test_segments_are_what_the_picture_shows(tmp_path):
    """By COCO's documentation: an id is R + 256 G + 256² B, 0 is no segment, and areas and boxes are those of its
    pixels.
    """
    export("coco", CLASSES, some(), tmp_path / "set", panoptic=True, min_area=60)
    document = json.loads((tmp_path / "set/annotations/panoptic.json").read_text())
    ground = document["categories"][-1]
    assert ground == {"id": 4, "name": "background", "isthing": 0}
    crowds = 0
    for one, truth in zip(document["annotations"], some(), strict=True):
        labels = truth.label_map
        colours = np.asarray(Image.open(tmp_path / f"set/annotations/panoptic/{one['file_name']}")).astype(int)
        ids = colours @ (1, 256, 65536)
        assert {info["id"] for info in one["segments_info"]} == {*np.unique(ids).tolist()} - {0}
        assert np.array_equal(ids == 0, labels == 255)
        for info in one["segments_info"]:
            rows, columns = np.nonzero(ids == info["id"])
            assert info["area"] == len(rows)
            assert info["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert (labels[rows, columns] == info["category_id"] % 4).all()
            crowds += info["iscrowd"]
        things = [info for info in one["segments_info"] if info["category_id"] < 4 and not info["iscrowd"]]
        assert [info["area"] for info in things] == find_objects(labels, 60).areas
    assert crowds > 0
