import contextlib
import io
import json

import numpy as np
import pytest
from blocks import blocks
from formats import export, imported
from items import item
from pycocotools import mask
from pycocotools.coco import COCO

from seediff import Dataset
from seediff.dataset.formats.coco import of_objects
from seediff.dataset.shapes.objects import find_objects

CLASSES = ("cat", "bus", "dog")


def load(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def ring():
    """A square of class 1 with a hole, which holds a square of class 2."""
    labels = np.zeros((12, 14), np.uint8)
    labels[1:10, 2:11] = 1
    labels[3:8, 4:9] = 0
    labels[5:7, 5:7] = 2
    labels[11, 13] = 3
    return labels


def test_pycocotools_reads_what_is_written(tmp_path):
    maps = [ring(), blocks(3, shape=(25, 40))]
    given = [item(f"a/{i}", m, shape=m.shape) for i, m in enumerate(maps)]
    done = export("coco", CLASSES, given, tmp_path, min_area=2)
    pieces, small = done.notes
    assert pieces.startswith(
        "3 masks in several pieces: one object per piece in instances, one annotation in semantic;"
    )
    assert small == "1 piece below 2 pixels: no objects in instances; semantic has them"
    semantic, instances = (load(tmp_path / f"annotations/{name}.json") for name in ("semantic", "instances"))
    assert {c["id"]: c["name"] for c in semantic.dataset["categories"]} == {1: "cat", 2: "bus", 3: "dog", 255: "ignore"}
    assert {c["id"]: c["name"] for c in instances.dataset["categories"]} == {1: "cat", 2: "bus", 3: "dog"}
    for image_id, labels in enumerate(maps, 1):
        again = np.zeros_like(labels)
        for one in semantic.loadAnns(semantic.getAnnIds(imgIds=[image_id])):
            inside = semantic.annToMask(one).astype(bool)
            assert not again[inside].any()
            again[inside] = one["category_id"]
        assert np.array_equal(again, labels)
    first = instances.loadAnns(instances.getAnnIds(imgIds=[1]))
    expected = [(1, 56, [2, 1, 9, 9]), (2, 4, [5, 5, 2, 2])]
    assert [(one["category_id"], one["area"], one["bbox"]) for one in first] == expected
    assert np.array_equal(instances.annToMask(first[0]), ring() == 1)  # the hole stays
    export("coco", CLASSES, given, tmp_path / "polygons", polygons=True)
    found = imported("coco", tmp_path / "polygons/annotations/instances.json")[1]
    assert all(np.array_equal(one.label_map, labels % 255) for one, labels in zip(found, maps, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_pycocotools_fills_polygons_exactly(seed):
    rng = np.random.default_rng(seed)
    found = find_objects(rng.choice([0, 1, 1, 1, 2, 255], tuple(rng.integers(1, 30, 2))).astype(np.uint8))
    for number, one in enumerate(of_objects(found, polygons=True), 1):
        filled = mask.decode(mask.merge(mask.frPyObjects(one["segmentation"], *found.numbers.shape)))
        assert np.array_equal(filled > 0, found.numbers == number)


def rle(counts):
    return {"image_id": 5, "segmentation": {"size": [2, 3], "counts": counts}}


def test_documents_of_others(tmp_path):
    """Ids with gaps, uncompressed RLE, a crowd, objects that overlap, a background."""
    annotations = [
        {"category_id": 90, "iscrowd": 0, **rle([0, 2, 4])},  # the first column
        {"category_id": 18, "iscrowd": 0, **rle([0, 5, 1])},
        {"category_id": 18, "iscrowd": 1, **rle([0, 6])},
    ]
    categories = [{"id": 90, "name": "dog"}, {"id": 18, "name": "cat"}, {"id": 0, "name": "background"}]
    images = [{"id": 5, "file_name": "x.png", "width": 3, "height": 2}]
    (tmp_path / "x.png").write_bytes(item(shape=(2, 3)).source)
    document = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "one.json").write_text(json.dumps(document))
    classes, (one,) = imported("coco", tmp_path / "one.json")
    assert classes == ("cat", "dog")
    assert one.label_map.tolist() == [[2, 1, 1], [2, 1, 255]]


def filled(order):
    """Its uncompressed run lengths, column by column (F) or row by row (C)."""
    inside = np.zeros((30, 40), bool)
    inside[4:10, 20:32] = True
    flat = inside.ravel(order)
    ends = np.flatnonzero(np.diff(flat)) + 1
    return {"size": [30, 40], "counts": np.diff([0, *ends, flat.size]).tolist()}


def test_labels_alone_without_their_picture_are_counted(tmp_path):
    """Their shapes cannot be painted without the picture."""
    export("coco", CLASSES, [item("a", ring(), shape=(12, 14)), item("b", ring(), shape=(12, 14))], tmp_path)
    (tmp_path / "images/a.png").unlink()
    found = Dataset.open(tmp_path, "coco", labels_alone=True)
    assert ([one.name for one in found], found.notes) == (
        ["b"],
        ("1 label whose image is missing, left out (a.png)",),
    )
