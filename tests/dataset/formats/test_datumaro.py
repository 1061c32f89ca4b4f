"""Datumaro's own JSON, as Datumaro 1.x writes it."""

import json

import numpy as np
import pytest
from formats import imported
from PIL import Image

from seediff.dataset.dataset import Dataset
from seediff.errors import UserError

mask = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
SIZE = (60, 40)
MASK = np.random.default_rng(2).random((40, 60)) > 0.8
POLYGON = [5.5, 4.0, 40.0, 6.0, 44.0, 30.5, 8.0, 28.0]


def rle(array):
    packed = mask.encode(np.asfortranarray(array.astype(np.uint8)))
    return {"counts": packed["counts"].decode(), "size": packed["size"]}


SHAPES = [
    {"id": 0, "type": "mask", "attributes": {}, "group": 0, "label_id": 2, "rle": rle(MASK), "z_order": 1},
    {"id": 1, "type": "polygon", "attributes": {}, "group": 0, "label_id": 1, "points": POLYGON, "z_order": 0},
    {"id": 2, "type": "bbox", "attributes": {}, "group": 0, "label_id": 1, "bbox": [0.0, 30.0, 10.5, 9.0], "z_order": 0},
    {"id": 3, "type": "label", "attributes": {}, "group": 0, "label_id": 1},
]


def export(root, shapes=SHAPES, subsets=("train", "validation")):
    labels = [{"name": name, "parent": "", "attributes": []} for name in ("background", "dog", "cat")]
    for subset in subsets:
        (root / "images" / subset).mkdir(parents=True)
        (root / "annotations").mkdir(exist_ok=True)
        Image.new("RGB", SIZE).save(root / "images" / subset / "a.png")
        item = {"id": "a", "annotations": shapes, "attr": {"frame": 0}, "image": {"path": "a.png", "size": [40, 60]}}
        categories = {"label": {"labels": labels, "attributes": []}, "mask": {"colormap": []}}
        content = {"dm_format_version": "1.0", "media_type": 2, "infos": {}, "categories": categories, "items": [item]}
        (root / "annotations" / f"{subset}.json").write_text(json.dumps(content))
    return root


def drawn():
    labels = np.zeros((40, 60), np.uint8)
    labels[30:39, 0:11] = 255
    labels[mask.decode(mask.frPyObjects([POLYGON], 40, 60))[..., 0] > 0] = 1
    labels[MASK] = 2
    return labels


def test_annotations_are_read_by_their_order(tmp_path):
    notes = []
    classes, samples = imported("datumaro", export(tmp_path), note=notes.append)
    assert classes == ("dog", "cat")
    assert [(one.name, one.metadata) for one in samples] == [("train/a", {"split": "train"}), ("validation/a", {"split": "val"})]
    assert all(np.array_equal(one.label_map, drawn()) for one in samples)
    assert notes == [
        "2 boxes are no masks; what is in them and in no mask is ignored (255)",
        "2 annotations are neither masks, polygons nor boxes: they are left out",
    ]
    for path in (tmp_path, tmp_path / "annotations/train.json"):  # recognised
        assert np.array_equal(Dataset.open(path)[0].label_map, drawn())


def test_annotations_of_a_missing_picture_are_not_counted(tmp_path):
    notes = []
    (export(tmp_path) / "images/train/a.png").unlink()
    imported("datumaro", tmp_path, note=notes.append, skip_missing=True)
    assert [line.split(" ", 1)[0] for line in notes[:2]] == ["1", "1"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"label_id": 7}, "has a mask of label_id 7, which 'categories' does not name"),
        ({"rle": None}, "has a mask without 'rle'"),
        ({"rle": {"size": [40, 61], "counts": "0"}}, r"its mask is \[40, 61\], but its image is \[40, 60\]"),
        ({"type": "polygon", "points": [0, 0, 1e9, 0, 3, 3]}, "far outside its image"),
    ],
)
def test_what_is_refused(tmp_path, changed, said):
    export(tmp_path, [{**SHAPES[0], **changed}])
    with pytest.raises(UserError, match=said):
        _ = imported("datumaro", tmp_path)[1][0].label_map
    with pytest.raises(UserError, match="has no JSON file; Datumaro's export has one per subset"):
        imported("datumaro", tmp_path / "images")
