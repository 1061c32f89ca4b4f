import json
import shutil

import numpy as np
import pytest
from blocks import some
from formats import export, imported
from items import item
from refusals import user_error

from seediff.dataset.dataset import Dataset
from seediff.dataset.shapes.rle import encode_brush

CLASSES = ("cat", "dog <b>", 'a "cow" & co')


def exported(tmp_path, items=None, classes=CLASSES):
    export("labelstudio", classes, items or some(), tmp_path / "set")
    return tmp_path / "set"


def tasks_of(folder):
    return json.loads((folder / "tasks.json").read_text(encoding="utf-8"))


def save(folder, tasks):
    (folder / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")


def test_predictions_have_scores(tmp_path):
    labels = np.array([[1, 2], [0, 255]], np.uint8)
    rows = [
        {"presence": {"cat": 0.8, "dog": 0.6}},
        {"confidence": {"cat": -0.2, "dog": 0.9}, "presence": {"cat": 1.0}},
        {"presence": {"cat": 0.8}, "review": {"verdict": "accepted", "corrected": True}},
    ]
    items = [item(f"{i}", labels, {**row, "model": "m", "method": "seediff"}, (2, 2)) for i, row in enumerate(rows)]
    predictions = [task["predictions"][0] for task in tasks_of(exported(tmp_path, items, ("cat", "dog")))]
    assert [one.get("score") for one in predictions] == [0.6, 0.0, None]
    assert [[result.get("score") for result in one["result"]] for one in predictions] == [
        [0.8, 0.6, None],
        [0.0, 0.9, None],
        [None] * 3,
    ]
    assert [result["value"]["brushlabels"] for result in predictions[0]["result"]] == [["cat"], ["dog"], ["ignore"]]
    assert predictions[0]["model_version"] == "m seediff"


def annotation(label, inside, **more):
    value = {"format": "rle", "rle": list(encode_brush(inside)), "brushlabels": [label]}
    sides = {"original_width": inside.shape[1], "original_height": inside.shape[0], "image_rotation": 0}
    return {
        "result": [{"type": "brushlabels", "value": value, "from_name": "label", "to_name": "image", **sides}],
        **more,
    }


def test_annotations_go_before_predictions_and_the_last_one_counts(tmp_path):
    folder = exported(tmp_path)
    tasks, whole, left = tasks_of(folder), np.ones((20, 30), bool), np.arange(30) < np.full((20, 1), 7)
    tasks[0]["annotations"] = [
        annotation(CLASSES[1], left, updated_at="2026-11-02T00:00:00.5Z"),
        annotation(CLASSES[0], whole, updated_at="2026-11-02T00:00:00Z"),
        annotation(CLASSES[0], whole, was_cancelled=True, updated_at="2026-11-03T00:00:00Z"),
    ]
    tasks[1]["annotations"] = [annotation(CLASSES[0], whole, was_cancelled=True)]
    tasks[2]["annotations"] = [{"result": []}]  # a person took everything away
    tasks[2]["predictions"] = [17]  # some exports have only their numbers
    save(folder, tasks)
    notes = []
    items = imported("labelstudio", folder, note=notes.append)[1]
    assert [one.name for one in items] == ["trip/0", "trip/2"]
    assert np.array_equal(items[0].label_map, np.where(left, 2, 0))
    assert not items[1].label_map.any()
    assert notes == [
        "2 of 4 tasks have no annotation, or were skipped: they are left out",
        "second annotations of a task, left out: 1 (a ground truth counts, or else the last change)",
    ]
    tasks[0]["annotations"][1]["ground_truth"] = True  # by whom the others are measured
    save(folder, tasks)
    assert (imported("labelstudio", folder)[1][0].label_map == 1).all()


IMAGES = '<Image name="one" value="$before"/><View><Image name="two" value="$after"/></View>'


@pytest.mark.parametrize(
    ("config", "data", "places", "refused"),
    [
        (IMAGES, {"before": "a.png", "after": "/data/upload/1/b.png"}, [("one", 0), ("two", 0)], ""),
        (IMAGES, {"before": "a.png", "after": "b.png", "logo": "c.png"}, [("one", 0), ("two", 0)], ""),
        ('<Image name="all" valueList="$pages"/>', {"pages": ["a.png", "b.png"]}, [("all", 0), ("all", 1)], ""),
        ("", {"pages": ["https://host/a.png?token=1", "b.png"]}, [("all", 0), ("all", 1)], ""),
        ("", {"image": "a.png", "image2": "b.png"}, [("one", 0), ("two", 0)], 'pictures: "image", "image2"; save the'),
        ("", {"before": "a.png", "after": "b.png"}, [("one", 0), ("two", 0)], 'pictures: "before", "after"; save the'),
        (IMAGES, {"before": "a.png", "after": "b.png"}, [("one", 0), ("three", 0)], 'is on picture 1 of "three"'),
        ("", {"pages": ["a.png", "b.png"]}, [("all", 0), ("all", 2)], 'is on picture 3 of "all"'),
    ],
)
def test_each_picture_of_a_task_has_its_own_regions(tmp_path, config, data, places, refused):
    inside = {"a": np.arange(40) < np.full((20, 1), 7), "b": np.arange(40) > np.full((20, 1), 30)}
    folder = exported(tmp_path, [item(name, None, {}, (20, 40)) for name in inside], ("cat",))
    labels = '<BrushLabels name="l" toName="one"><Label value="cat"/></BrushLabels>'
    (folder / "label_config.xml").write_text(f"<View>{config}{labels}</View>")
    if not config:
        (folder / "label_config.xml").unlink()
    results = []
    for (tag, number), mask in zip(places, inside.values(), strict=True):
        results.append(annotation("cat", mask)["result"][0] | {"to_name": tag, "item_index": number})
    save(folder, [{"data": data, "annotations": [{"result": results}]}])
    if refused:
        with user_error(r"task 1") as error:
            imported("labelstudio", folder)
        assert refused in str(error.value)
    else:
        read = {one.name: one.label_map for one in imported("labelstudio", folder)[1]}
        assert read.keys() == inside.keys()
        assert all(np.array_equal(read[name], inside[name]) for name in inside)


def test_polygons_and_other_results(tmp_path):
    folder = exported(tmp_path, [item("a", None, {}, (20, 40))])
    tasks, sides = tasks_of(folder), {"original_width": 40, "original_height": 20}
    polygon = {"points": [[25, 10], [75, 10], [75, 50], [25, 50]], "closed": True, "polygonlabels": ["Cat"]}
    box = {"x": 50, "y": 40, "width": 40, "height": 20, "rectanglelabels": ["Dog"]}
    results = [{"type": "polygonlabels", "value": polygon, **sides}, {"type": "rectanglelabels", "value": box, **sides}]
    results += [{"type": "choices", "value": {"choices": ["good"]}}, {"type": "relation"}]
    tasks[0]["annotations"] = [{"result": results}]
    save(folder, tasks)
    (folder / "label_config.xml").unlink()
    dataset = Dataset.from_labelstudio(folder)
    labels = np.zeros((20, 40))
    labels[8:12, 20:36] = 255
    labels[2:10, 10:30] = 1
    assert dataset.classes == ("Cat",)
    assert np.array_equal(dataset[0].label_map, labels)
    assert dataset.notes == (
        "1 shapes are not masks; pixels in the boxes around them but in no mask are ignored (255), "
        'such as rectanglelabels ["Dog"]',
        '1 shapes are no masks and are left out, such as choices ["good"]',
    )


@pytest.mark.parametrize(
    ("kind", "value", "box"),
    [
        ("bitmasklabels", {"imageDataURL": "data:image/png;base64,"}, np.s_[:, :]),
        ("brush", {"format": "rle", "rle": [1]}, np.s_[:, :]),
        ("vectorlabels", {"vertices": [{"x": 25, "y": 10}, {"x": 50, "y": 20}, {"x": 30, "y": 50}], "closed": True}, 0),
        ("polygon", {"points": [[25, 10], [50, 20], [30, 50]]}, 0),
        ("vectorlabels", {"vertices": [{"x": 25, "y": 10}, {"x": 50, "y": 20}, {"x": 30, "y": 50}]}, np.s_[:0]),
        ("keypointlabels", {"x": 25, "y": 10, "width": 5}, np.s_[:0]),
    ],
)
def test_the_box_around_an_area_that_is_not_drawn_is_ignored(tmp_path, kind, value, box):
    folder = exported(tmp_path, [item("a", None, {}, (20, 40))])
    tasks = tasks_of(folder)
    sides = {"original_width": 40, "original_height": 20}
    tasks[0]["annotations"] = [{"result": [{"type": kind, "value": {**value, kind: ["Dog"]}, **sides}]}]
    save(folder, tasks)
    notes = []
    (read,) = imported("labelstudio", folder, note=notes.append)[1]
    labels = np.zeros((20, 40))
    labels[box or np.s_[2:10, 10:20]] = 255
    assert np.array_equal(read.label_map, labels)
    assert f'such as {kind} ["Dog"]' in notes[0]
    assert ("(255)" in notes[0]) == labels.any()


@pytest.mark.parametrize("address", ["/data/upload/3/0a1b2c3d-1.jpg", "/data/local-files/?d=set/images/trip/1.jpg"])
def test_images_are_found_by_the_end_of_their_address(tmp_path, address):
    folder = exported(tmp_path)
    shutil.copy(folder / "images/trip/1.jpg", folder / "images/1.jpg")
    shutil.copytree(folder / "images", folder / "images/images")  # of samples that are called images/…
    task = tasks_of(folder)[1]
    task["data"] = {"picture": address}
    save(folder, [task])
    (one,) = imported("labelstudio", folder)[1]
    assert one.name in ("1", "trip/1")
    assert "images/images" not in one.image_file.as_posix()
    assert np.array_equal(one.label_map, some()[1].label_map)


def changed(task, **result):
    task["predictions"][0]["result"][0] |= result
    return task


def value(task, **parts):
    task["predictions"][0]["result"][0]["value"] |= parts
    return task


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda task: value(task, brushlabels=["bird"]), "which is not a class"),
        (lambda task: value(task, rle=[1, 2, 3]), "its 'rle'"),
        (lambda task: value(task, rle=None), "must have 'rle', 'points' or radii"),
        (lambda task: changed(task, original_width=31), "is (20, 31), but its picture"),
        (lambda task: changed(task, image_rotation=90), "rotated by 90°"),
        (lambda task: task | {"data": {"image": "../../secret.png"}}, 'there is no picture "../../'),
        (lambda task: task | {"data": task["data"] | {"seediff": {"name": "../a"}}}, "cannot be a file name"),
        (lambda task: task | {"data": task["data"] | {"seediff": {"metadata": {"review": 5}}}}, "`review"),
    ],
)
def test_damage(tmp_path, change, message):
    folder = exported(tmp_path)
    save(folder, [change(tasks_of(folder)[0])])
    with user_error(r"tasks\.json") as error:
        [one.label_map for one in imported("labelstudio", folder)[1]]
    assert message in str(error.value)


def test_an_export_is_known_by_its_only_json_file(tmp_path):
    export("labelstudio", ("cat",), [item("a", np.eye(4, 6, dtype=np.uint8))], tmp_path / "set")
    (tmp_path / "set/tasks.json").rename(tmp_path / "set/project-1-at-2026-11-01.json")
    assert np.array_equal(Dataset.open(tmp_path / "set")[0].label_map, np.eye(4, 6))
