import json
import shutil

import numpy as np
import pytest
from formats import export, imported
from items import item, names
from PIL import Image
from refusals import user_error

from seediff import Dataset
from seediff.dataset.formats.format_table import recognise
from seediff.dataset.shapes.objects import Objects

CLASSES = ("cat", "ignore")
LABELS = np.array([[0, 1, 1, 255, 2, 2]] * 4, np.uint8)
NUMBERS = np.array([[0, 1, 2, 0, 0, 0]] * 2 + [[0, 1, 0, 0, 0, 0]] * 2)
FILE = "annotations/panoptic_train.json"
MASK = "annotations/panoptic_train/a.png"


def written(folder):
    sample = item("a", LABELS).replace(instances=Objects(NUMBERS, (1, 1)))
    export("panoptic", CLASSES, [sample], folder)
    return json.loads((folder / FILE).read_text())


def by_the_book(folder, document, number=0):
    """(category, crowd, pixels) of each segment, and the pixels of none, as panopticapi reads them: id = R + 256 G +
    256² B."""
    one = document["annotations"][number]
    with Image.open(folder / FILE.removesuffix(".json") / one["file_name"]) as image:
        assert image.mode == "RGB"
        pixels = np.asarray(image).astype(np.uint32)
    ids = pixels[..., 0] + 256 * pixels[..., 1] + 256 * 256 * pixels[..., 2]
    segments = one["segments_info"]
    assert {0, *(each["id"] for each in segments)} == {*np.unique(ids).tolist()} | {0}
    for each in segments:
        rows, columns = np.nonzero(ids == each["id"])
        left, top = columns.min(), rows.min()
        assert each["bbox"] == [left, top, columns.max() - left + 1, rows.max() - top + 1]
        assert each["area"] == len(rows)
    return [(each["category_id"], each["iscrowd"], ids == each["id"]) for each in segments], ids == 0


def test_objects_stuff_crowds_and_void(tmp_path):
    document = written(tmp_path / "set")
    assert names(tmp_path / "set") == [FILE, MASK, "train/a.png"]
    assert [(one["id"], one["name"], one["isthing"]) for one in document["categories"]] == [
        (0, "background", 0),
        (1, "cat", 1),
        (2, "ignore", 1),
    ]
    found, void = by_the_book(tmp_path / "set", document)
    expected = [(1, 0, NUMBERS == 1), (1, 0, NUMBERS == 2), (0, 0, LABELS == 0)]
    expected += [(1, 1, (LABELS == 1) & (NUMBERS == 0)), (2, 1, LABELS == 2)]  # in no object
    assert len(found) == len(expected)
    assert all(a[:2] == b[:2] and np.array_equal(a[2], b[2]) for a, b in zip(found, expected, strict=True))
    assert np.array_equal(void, LABELS == 255)
    classes, (sample,) = imported("panoptic", tmp_path / "set")
    assert classes == CLASSES
    assert np.array_equal(sample.label_map, LABELS)
    assert sample.instances.class_ids == (1, 1)
    assert np.array_equal(sample.instances.numbers, NUMBERS)


def test_more_segments_than_a_byte_holds(tmp_path):
    numbers = np.arange(1, 301).reshape(20, 15)
    labels = np.ones(numbers.shape, np.uint8)
    sample = item("a", labels, {}, labels.shape).replace(instances=Objects(numbers, (1,) * numbers.size))
    export("panoptic", ("cat",), [sample], tmp_path / "set")
    (back,) = imported("panoptic", tmp_path / "set")[1]
    assert len(np.unique(back.instances.numbers)) == 300


def test_coco_itself(tmp_path):
    """Its names, ids with gaps, no background, and its instances beside them."""
    root = tmp_path / "coco"
    document = written(root)
    for one in document["categories"]:
        one["id"] = 10 + 10 * one["id"]
        one["name"] = {"background": "sky-other-merged", "cat": "zebra", "ignore": "car"}[one["name"]]
    for each in document["annotations"][0]["segments_info"]:
        each["category_id"] = 10 + 10 * each["category_id"]
        each["id"] *= 256 * 256
    with Image.open(root / MASK) as image:
        Image.fromarray(np.asarray(image)[..., ::-1]).save(root / MASK)
    (root / FILE).unlink()
    (root / "annotations/panoptic_val2017.json").write_text(json.dumps(document))
    (root / "annotations/panoptic_train").rename(root / "annotations/panoptic_val2017")
    (root / "train").rename(root / "val2017")
    classes, (sample,) = imported("panoptic", root)
    assert (classes, sample.metadata) == (("sky-other-merged", "zebra", "car"), {"split": "val"})
    assert np.array_equal(sample.label_map, np.where(LABELS < 255, LABELS + 1, 255))
    assert sample.instances.class_ids == (2, 2)
    assert recognise(root) == "panoptic"
    assert Dataset.open(root / "annotations/panoptic_val2017.json").classes == classes
    Dataset(CLASSES, [item("b", LABELS)]).as_coco(tmp_path / "other")
    shutil.copy(tmp_path / "other/annotations/instances.json", root / "annotations/instances_val2017.json")
    assert recognise(root) == "coco"


def change(path, edit):
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def segments(document):
    return document["annotations"][0]["segments_info"]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda document: segments(document)[0].update(id=0), "segments_info.0..id`: must be a whole number >= 1"),
        (lambda document: segments(document).pop(), r"a\.png: has a segment 5, which is not in `segments_info`"),
        (lambda document: segments(document)[0].update(id=2), "image 1: two of its segments have one id"),
        (
            lambda document: document["annotations"][0].update(image_id=3),
            "annotations.0. is of image 3, which does not",
        ),
        (lambda document: document["annotations"][0].update(file_name="b.png"), "image 1: there is no mask .*b.png"),
        (lambda document: document["annotations"][0].update(file_name="../../../out.png"), "out.png"),
        (lambda document: document["images"][0].update(width=7), r"but its picture .* is \(4, 6\)"),
        (lambda document: segments(document)[0].pop("category_id"), "category_id"),
    ],
)
def test_what_is_refused(tmp_path, edit, said):
    written(tmp_path / "set")
    Image.new("RGB", (6, 4)).save(tmp_path / "out.png")
    change(tmp_path / "set" / FILE, edit)
    with user_error(said):
        _ = imported("panoptic", tmp_path / "set")[1][0].label_map


@pytest.mark.parametrize("mask", [np.zeros((4, 6), np.uint8), np.zeros((4, 5, 3), np.uint8)])
def test_a_mask_of_another_kind(tmp_path, mask):
    written(tmp_path / "set")
    Image.fromarray(mask).save(tmp_path / "set" / MASK)
    with user_error(r"a\.png: is (PNG L data; a panoptic mask is|\(4, 5\), but its picture)"):
        _ = imported("panoptic", tmp_path / "set")[1][0].label_map


def test_a_picture_without_an_annotation_is_left_out(tmp_path):
    export("panoptic", CLASSES, [item("a", LABELS), item("b", LABELS)], tmp_path / "set")
    change(tmp_path / "set" / FILE, lambda document: document["annotations"].pop())
    notes = []
    assert [one.name for one in imported("panoptic", tmp_path / "set", note=notes.append)[1]] == ["a"]
    assert any("have no annotation: they are left out" in note for note in notes)
