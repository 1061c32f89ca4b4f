import json

import numpy as np
from blocks import some
from formats import export, imported
from items import item
from refusals import user_error

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
        {"confidence": {"cat": 0.2, "dog": 0.9}, "presence": {"cat": 1.0}},
        {"presence": {"cat": 0.8}, "review": {"verdict": "accepted", "corrected": True}},
    ]
    items = [item(f"{i}", labels, {**row, "model": "m", "method": "seediff"}, (2, 2)) for i, row in enumerate(rows)]
    predictions = [task["predictions"][0] for task in tasks_of(exported(tmp_path, items, ("cat", "dog")))]
    assert [one.get("score") for one in predictions] == [0.6, 0.2, None]
    assert [[result.get("score") for result in one["result"]] for one in predictions] == [
        [0.8, 0.6, None],
        [0.2, 0.9, None],
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
        "2 of 4 tasks without an annotation, or skipped: left out",
        "second annotations of a task, left out: 1 (a ground truth counts, or else the last change)",
        "1 of 2 images without a shape: background only (images/trip/2.png)",
        "2 of 4 images without labels, or in no list of a part: left out (1.jpg, 3.jpg)",
    ]
    tasks[0]["annotations"][1]["ground_truth"] = True  # by whom the others are measured
    save(folder, tasks)
    assert (imported("labelstudio", folder)[1][0].label_map == 1).all()


def answers(tmp_path, own=False, **answers):
    """(labels of the sample in a folder of one task, notes). own: whether SeeDiff wrote the task."""
    folder = exported(tmp_path, [item("a", np.array([[1, 0]], np.uint8), {}, (1, 2))])
    (task,) = tasks_of(folder)
    for prediction in answers.get("predictions", ()):
        if prediction["model_version"] == "ours":
            prediction["model_version"] = task["predictions"][0]["model_version"]
    save(folder, [{"data": task["data"] if own else {"image": task["data"]["image"]}, **answers}])
    notes = []
    _, (sample,) = imported("labelstudio", folder, note=notes.append)
    return sample.label_map.tolist(), notes


BOTH, RIGHT = np.array([[True, True]]), np.array([[False, True]])


def test_only_predictions_of_seediff_are_labels_and_this_is_told(tmp_path):
    one, two = (annotation(CLASSES[number], RIGHT, model_version=f"m{number}") for number in (0, 1))
    told = ["1 task without an annotation: the masks that SeeDiff wrote as predictions are read"]
    ours = annotation(CLASSES[0], RIGHT, model_version="ours")
    assert answers(tmp_path / "own", own=True, predictions=[ours]) == ([[0, 1]], told)
    skipped = annotation(CLASSES[0], BOTH, was_cancelled=True)
    for number, (own, given) in enumerate(
        [
            (False, {"predictions": [one]}),
            (True, {"predictions": [one, two]}),
            (True, {"annotations": [skipped], "predictions": [one]}),
        ]
    ):
        with user_error("no task has an annotation that was not skipped; predictions of models are not read"):
            answers(tmp_path / str(number), own=own, **given)
