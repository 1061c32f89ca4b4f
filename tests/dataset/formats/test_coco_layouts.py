import json

import numpy as np
import pytest
from formats import export, imported, opened
from items import item
from layouts import save
from refusals import user_error

from seediff.dataset.dataset import Dataset
from seediff.dataset.formats import coco, format_table
from seediff.dataset.native import write_native
from seediff.dataset.sample import Sample

SHAPE = (6, 8)
CAT = [1, 1, 4, 1, 4, 4, 1, 4]
"""The pixels of rows and columns 1 to 3, as a polygon."""


def labels(value=1):
    expected = np.zeros(SHAPE, np.uint8)
    expected[1:4, 1:4] = value
    return expected


def image(suffix="jpg"):
    return item(shape=SHAPE, suffix=suffix).source


def document(*names, categories=({"id": 1, "name": "cat", "supercategory": ""},), **annotation):
    """An image and an annotation of each name."""
    images = [{"id": i, "file_name": name, "width": SHAPE[1], "height": SHAPE[0]} for i, name in enumerate(names, 1)]
    given = {"category_id": categories[-1]["id"], "iscrowd": 0, "bbox": [1, 1, 3, 3], "segmentation": [CAT]}
    annotations = [{"id": image["id"], "image_id": image["id"], **given, **annotation} for image in images]
    return {"licenses": [], "info": {}, "images": images, "annotations": annotations, "categories": list(categories)}


def read(source, **options):
    """Name → (label map, split)."""
    classes, items = imported("coco", source, **options)
    return classes, {one.name: (one.labels(len(classes)), one.metadata.get("split")) for one in items}


def check(found, names, value=1):
    assert {name: split for name, (_, split) in found.items()} == names
    assert all(np.array_equal(given, labels(value)) for given, _ in found.values())


def test_datumaro_images_in_a_folder_a_subset(tmp_path):
    # As its exporter writes, with files of other tasks beside the annotations.
    for subset, name in (("train", "a"), ("val", "b"), ("test", "a")):
        save(tmp_path / f"annotations/instances_{subset}.json", document(f"{name}.jpg"))
        save(tmp_path / f"annotations/image_info_{subset}.json", {**document(f"{name}.jpg"), "annotations": []})
        save(tmp_path / f"images/{subset}/{name}.jpg", image())
    expected = {"train/a": "train", "b": "val", "test/a": "test"}
    for options in ({}, {"images": tmp_path / "images"}):
        classes, found = read(tmp_path, **options)
        assert classes == ("cat",)
        check(found, expected)
    check(read(tmp_path / "annotations/instances_val.json", images=tmp_path / "images/val")[1], {"b": "val"})
    write_native(tmp_path / "out", *imported("coco", tmp_path), about={})
    assert [one.name for one in opened(tmp_path, split="val")[1]] == ["b"]


@pytest.mark.parametrize("file", ["", "annotations/instances_train.json"])
def test_images_of_ours_are_not_those_in_a_folder_that_is_called_like_a_part(tmp_path, file):
    images = {name: np.full((*SHAPE, 3), 60 * number, np.uint8) for number, name in enumerate(("1", "train/1", "3"))}
    splits = {"3": "val"}
    given = [
        Sample(image, labels(), None, {"split": splits.get(name, "train")}, name=name) for name, image in images.items()
    ]
    export("coco", ("cat",), given, tmp_path)
    found = imported("coco", tmp_path / file)[1]
    assert len(found) == (2 if file else 3)
    assert all(np.array_equal(one.image, images[one.name]) for one in found)


def test_one_file_a_part_of_other_names(tmp_path):
    for part in ("train2017", "val2017"):
        save(tmp_path / f"annotations/{part}.json", document(f"{part}.jpg"))
        save(tmp_path / f"images/{part}/{part}.jpg", image())
    check(read(tmp_path)[1], {"train2017": "train", "val2017": "val"})


def test_coco_itself_with_keypoints(tmp_path):
    # person_keypoints_val2017.json, pictures in val2017/, and no other annotations, or those of instances beside them.
    person = ({"id": 1, "name": "person", "keypoints": ["nose"], "skeleton": []},)
    given = document("000000000139.jpg", categories=person, keypoints=[2, 2, 2], num_keypoints=1)
    path = save(tmp_path / "annotations/person_keypoints_val2017.json", given)
    save(tmp_path / "val2017/000000000139.jpg", image())
    for source, options in ((tmp_path, {}), (path, {}), (path, {"images": path.parents[1]})):
        classes, found = read(source, **options)
        assert classes == ("person",)
        check(found, {"000000000139": "val"})
    save(tmp_path / "annotations/instances_val2017.json", document("000000000139.jpg"))
    assert read(tmp_path)[0] == ("cat",)


def roboflow(root, name):
    """As Roboflow exports: a folder a part, category 0 the parent of all others, called like the project."""
    categories = ({"id": 0, "name": name, "supercategory": "none"}, {"id": 1, "name": "cat", "supercategory": name})
    for part in ("train", "valid", "test"):
        file_name = f"{part}_jpg.rf.1dcffa832c7739c8a764a25d72b5116a.jpg"
        save(root / part / "_annotations.coco.json", document(file_name, categories=categories))
        save(root / part / file_name, image())
    save(root / "README.roboflow.txt", b"")


@pytest.mark.parametrize("name", ["animals", "cat"])
def test_roboflow(tmp_path, name):
    roboflow(tmp_path, name)
    classes, found = read(tmp_path)
    assert classes == ("cat",)
    names = {part: f"{part}_jpg.rf.1dcffa832c7739c8a764a25d72b5116a" for part in ("train", "valid", "test")}
    check(found, {names["train"]: "train", names["valid"]: "val", names["test"]: "test"})
    for source in (tmp_path / "valid", tmp_path / "valid/_annotations.coco.json"):
        check(read(source)[1], {names["valid"]: "val"})
    assert [one.name for one in opened(tmp_path, split="val")[1]] == [names["valid"]]


def test_a_parent_that_annotations_are_of_is_a_class(tmp_path):
    roboflow(tmp_path, "animals")
    given = json.loads((tmp_path / "test/_annotations.coco.json").read_text())
    given["annotations"][0]["category_id"] = 0
    save(tmp_path / "test/_annotations.coco.json", given)
    classes, found = read(tmp_path)
    assert classes == ("animals", "cat")
    assert sorted(int(one.max()) for one, _ in found.values()) == [1, 2, 2]


@pytest.mark.parametrize("layout", ["data", "images", "."])
def test_a_single_file_beside_its_images(tmp_path, layout):
    # FiftyOne: labels.json and data/. Label Studio: result.json, whose file names begin with images/.
    name = "images/a.jpg" if layout == "." else "a.jpg"
    save(tmp_path / ("result.json" if layout == "." else "labels.json"), document(name))
    save(tmp_path / layout / name, image())
    check(read(tmp_path)[1], {name.removesuffix(".jpg"): None})
    save(tmp_path / "other.json", {})
    with user_error("name the JSON file itself: it holds"):
        imported("coco", tmp_path)


def crowd():
    counts = [int(n) for n in np.diff(np.flatnonzero(np.diff(np.concatenate([[2], labels().T.ravel(), [2]]))))]
    return {"iscrowd": 1, "segmentation": {"size": list(SHAPE), "counts": counts}}


def test_masks_that_are_all_crowds(tmp_path):
    # Datumaro, and CVAT with it, writes everything that was drawn as a mask as a crowd.
    save(tmp_path / "annotations/instances_default.json", document("a.jpg", **crowd()))
    save(tmp_path / "images/default/a.jpg", image())
    with user_error(r"all its masks are crowds \(iscrowd 1\).*--crowds objects"):
        imported("coco", tmp_path)
    check(read(tmp_path, crowds="objects")[1], {"a": None})
    check(read(tmp_path, crowds="ignored")[1], {"a": None}, 255)
    assert "crowds (iscrowd 1), not objects" in " ".join(Dataset.from_coco(tmp_path, crowds="ignored").notes)
    with user_error("crowds: people must be ignored or objects"):
        imported("coco", tmp_path, crowds="people")


def test_boxes_without_a_mask_are_ignored_and_told(tmp_path):
    given = document("a.jpg", "b.jpg")
    given["annotations"][1].update(segmentation=[], bbox=[1.5, 1, 2.2, 3])
    for name in ("a", "b"):
        save(tmp_path / f"images/{name}.jpg", image())
    path = save(tmp_path / "instances.json", given)
    notes = []
    found = read(path, note=notes.append)[1]
    assert notes == ["1 of 2 annotations are boxes without a mask; pixels in them but in no mask are ignored (255)"]
    assert np.array_equal(found["a"][0], labels())
    assert np.array_equal(found["b"][0], labels(255))
    given["annotations"].pop(0)
    save(path, given)
    with user_error("its annotations are boxes; label maps need"):
        imported("coco", path)


@pytest.mark.parametrize("segmentation", [CAT, [CAT, [5.0, 5.0]], [[5, 5, 6, 5], CAT]])
def test_flat_polygons_and_stray_points(tmp_path, segmentation):
    path = save(tmp_path / "instances.json", document("a.jpg", segmentation=segmentation))
    save(tmp_path / "a.jpg", image())
    notes = []
    check(read(path, note=notes.append)[1], {"a": None})
    stray = "1 of 1 annotations have stray points or lines without area: left out"
    assert notes == [stray] * (segmentation is not CAT)
    save(path, document("a.jpg", segmentation=[CAT, 5]))
    with user_error("a polygon is a list of x, y"):
        read(path)


def test_a_folder_of_masks_does_not_look_like_coco(tmp_path):
    save(tmp_path / "annotations/a.png")
    assert not coco.is_folder(tmp_path)
    save(tmp_path / "annotations/instances.json", {})
    assert coco.is_folder(tmp_path)


def test_a_file_is_looked_into_once_until_it_changes(tmp_path, monkeypatch):
    export("coco", ("cat",), [item("a", labels(), shape=SHAPE)], tmp_path / "set")
    looked = []
    read_json = format_table.read_json
    monkeypatch.setattr(format_table, "read_json", lambda file, *how: looked.append(file) or read_json(file, *how))
    for _ in range(2):
        assert format_table.recognise(tmp_path / "set") == "coco"
    assert len(looked) == len(set(looked)) > 0
    for file in (tmp_path / "set/annotations").glob("*.json"):
        file.write_text('{"info": 1, "objects": []}')
    with user_error("is ISAT's own JSON"):
        format_table.recognise(looked[0])
