"""Supervisely's projects, as its SDK writes them, against what its SDK draws: both borders of upright edges are inside."""

import base64
import io
import json
import zlib

import numpy as np
import pytest
from formats import imported
from PIL import Image

from seediff.dataset.dataset import Dataset
from seediff.errors import UserError

SIZE = (60, 40)
MASK = np.random.default_rng(1).random((9, 12)) > 0.4


def bitmap(array, *, packed=True, palette=True):
    """The SDK's data_2_base64: a palette PNG whose index 0 is transparent, packed by zlib."""
    image = Image.fromarray(array.astype(np.uint8))
    if palette:
        image.putpalette([0, 0, 0, 255, 255, 255])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **({"transparency": 0} if palette else {}))
    data = buffer.getvalue()
    return base64.b64encode(zlib.compress(data) if packed else data).decode()


EXTERIOR, HOLE = [[5, 4], [40, 4], [40, 30], [5, 30]], [[15, 10], [30, 10], [30, 20], [15, 20]]
OBJECTS = [
    {"classTitle": "dog", "geometryType": "polygon", "points": {"exterior": EXTERIOR, "interior": [HOLE]}},
    {"classTitle": "cat", "geometryType": "bitmap", "bitmap": {"data": bitmap(MASK), "origin": [35, 20]}},
    {"classTitle": "dog", "bitmap": {"data": bitmap(MASK, palette=False), "origin": [50, 34]}, "points": {"exterior": [], "interior": []}},
    {"classTitle": "cat", "geometryType": "rectangle", "points": {"exterior": [[0, 30], [10, 39]], "interior": []}},
    {"classTitle": "eye", "geometryType": "point", "points": {"exterior": [[0, 30]], "interior": []}},
]
META = {
    "classes": [{"title": "dog", "shape": "any", "color": "#112233"}, {"title": "cat", "shape": "any"}, {"title": "eye", "shape": "point"}]
}


def project(root, objects=OBJECTS, size=SIZE):
    for part in ("train", "ds"):
        (root / part / "ann").mkdir(parents=True)
        (root / part / "img").mkdir()
        Image.new("RGB", SIZE, (9, 9, 9)).save(root / part / "img/a.jpg")
        content = {"description": "", "tags": [], "size": {"height": size[1], "width": size[0]}, "objects": objects}
        (root / part / "ann/a.jpg.json").write_text(json.dumps(content))
    (root / "meta.json").write_text(json.dumps({**META, "tags": [], "projectType": "images"}))
    return root


def drawn():
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[30:40, 0:11] = 255
    polygon = np.zeros(SIZE[::-1], bool)
    polygon[4:31, 5:41] = True
    polygon[10:21, 15:31] = False
    labels[polygon] = 1
    labels[20:29, 35:47][MASK] = 2
    labels[34:40, 50:60][MASK[:6, :10]] = 1
    return labels


def test_objects_are_those_of_the_sdk(tmp_path):
    notes = []
    classes, samples = imported("supervisely", project(tmp_path), note=notes.append)
    assert classes == ("dog", "cat")
    assert [(one.name, one.metadata) for one in samples] == [("ds/a", {}), ("train/a", {"split": "train"})]
    assert [line.split(" ", 1) for line in notes] == [
        ["2", "rectangles are no masks; what is in them and in no mask is ignored (255)"],
        ["2", "objects are neither bitmaps, polygons nor rectangles: they are left out"],
    ]
    assert all(np.array_equal(one.label_map, drawn()) for one in samples)
    assert np.array_equal(Dataset.open(tmp_path)[0].label_map, drawn())  # recognised


def test_data_sets_are_splits_by_their_names(tmp_path):
    project(tmp_path)
    (tmp_path / "ds").rename(tmp_path / "Validation")
    assert [one.metadata for one in imported("supervisely", tmp_path)[1]] == [{"split": "val"}, {"split": "train"}]


def test_objects_of_a_missing_picture_are_not_counted(tmp_path):
    notes = []
    (project(tmp_path) / "ds/img/a.jpg").unlink()
    imported("supervisely", tmp_path, note=notes.append, skip_missing=True)
    assert [line.split(" ", 1)[0] for line in notes[:2]] == ["1", "1"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"classTitle": "cow"}, 'object 1: is of the label "cow", which is no class; they are dog, cat'),
        ({"points": {"exterior": [[1, 1], [2, 2]]}}, "a polygon's exterior and holes have three points or more"),
        ({"points": {"exterior": [[1, 1], [1e9, 2], [3, 3]]}}, "object 1: a corner of its polygon has x = 1e[+]09, far outside"),
        ({"geometryType": "bitmap"}, "object 1: is a bitmap without 'bitmap'"),
        ({"geometryType": "bitmap", "bitmap": {"data": "x", "origin": [0, 0]}}, "object 1: bitmap: is no picture's bytes as base64"),
        (
            {"geometryType": "bitmap", "bitmap": {"data": base64.b64encode(zlib.compress(bytes(1 << 28))).decode(), "origin": [0, 0]}},
            "object 1: bitmap: cannot be read as a picture",
        ),
    ],
)
def test_what_is_refused(tmp_path, changed, said):
    project(tmp_path, [{**OBJECTS[0], **changed}])
    with pytest.raises(UserError, match=said):
        _ = imported("supervisely", tmp_path)[1][0].label_map


def test_a_size_that_is_not_the_pictures(tmp_path):
    with pytest.raises(UserError, match=r"is \(50, 40\), but its picture .*a.jpg is \(40, 60\)"):
        _ = imported("supervisely", project(tmp_path, size=(40, 50)))[1][0].label_map


def test_a_project_is_named_where_it_is_none(tmp_path):
    with pytest.raises(UserError, match=r"meta.json: there is no such file; name the folder of a Supervisely project"):
        imported("supervisely", tmp_path)
