import json

import numpy as np
import pytest
from items import noise_pixels
from layouts import save, save_image, save_map
from refusals import user_error

from seediff.config.augment import AugmentConfig
from seediff.dataset.augmented import open_augmented
from seediff.dataset.dataset import Dataset, open_truths
from seediff.dataset.encoding import encode_image
from seediff.dataset.importing import import_set
from seediff.dataset.parts import check_parts, part_of, row_splits, unclear_parts
from seediff.dataset.sample import Sample
from seediff.train.stages import open_training


@pytest.mark.parametrize(
    ("names", "split"),
    [
        ("train Training", "train"),
        ("val Valid validation DEV minival", "val"),
        ("test testing", "test"),
        ("holdout eval evaluation trainval minitrain val2 tests", None),
    ],
)
def test_the_split_of_a_part(names, split):
    assert {part_of(name) for name in names.split()} == {split}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["Valid", "train", "holdout", None, ""], ["val", "train", "holdout", None, None]),
        (["monday", "tuesday", None], [None, None, None]),  # no other part says that these are parts
    ],
)
def test_other_names_are_kept_beside_a_split(names, splits):
    assert row_splits(names) == splits
    assert unclear_parts(names) == {name: 1 for name in splits if name == "holdout"}


def test_unclear_parts_are_refused_and_others_are_not():
    check_parts(["train", "dev", "test"], "set")
    check_parts(["monday", "tuesday"], "set")
    with user_error('set: its part "x" of 2 samples is none of train, val, test; --split .* such as train or x'):
        check_parts(["train", "x", "x"], "set")


LABELS = np.array([[0, 1]], np.uint8)


def native(folder, *parts):
    """A set of a sample for each part; "" for a row without `split`."""
    rows = [{"split": part} if part else {} for part in parts]
    pictures = [encode_image(noise_pixels(1, 2, seed=number), "png") for number in range(len(parts))]
    pairs = enumerate(zip(pictures, rows, strict=True))
    samples = [Sample(picture, LABELS, metadata=row, name=f"s{number}") for number, (picture, row) in pairs]
    Dataset(("dog",), samples).save(folder)
    return folder


def trained(plan):
    return [sample.name for stage in plan.stages for sample in stage.items]


def test_rows_of_dev_are_for_validation(tmp_path):
    plan = open_training([native(tmp_path / "set", "train", "dev", "testing", "")])
    assert (trained(plan), [sample.name for sample in plan.validation]) == (["s0", "s3"], ["s1"])
    assert [len(Dataset.open(tmp_path / "set", split=part)) for part in ("val", "dev", "train")] == [1, 1, 2]


@pytest.mark.parametrize("others", [("train", "val"), ("",)])
def test_train_and_evaluate_ask_for_unclear_parts(tmp_path, others):
    folder = native(tmp_path / "set", *others, "holdout")
    for opened in (lambda: open_training([folder]), lambda: open_training([folder], validation_share=0.5)):
        with user_error('part "holdout" of 1 samples is none of train, val, test; --split says'):
            opened()
    with user_error('part "holdout"'):
        open_truths(folder)
    assert trained(open_training([folder], split="train")) == ["s0"]
    assert trained(open_training([folder], split="train,holdout")) == ["s0", f"s{len(others)}"]
    assert [sample.name for sample in open_truths(folder, "holdout")] == [f"s{len(others)}"]


def test_parts_that_are_all_unclear_are_trained_on(tmp_path):
    folder = native(tmp_path / "set", "monday", "tuesday")
    assert trained(open_training([folder])) == ["s0", "s1"]
    assert open_augmented(AugmentConfig(), folder).sources == [0, 1]


def test_split_also_chooses_what_is_set_aside_and_what_is_tuned_with(tmp_path):
    folder = native(tmp_path / "set", *["train"] * 4, "val", "holdout")
    plan = open_training([folder], finetune=[folder], split="train", validation_share=0.5)
    assert len(plan.validation) == 2
    assert {*trained(plan)} <= {f"s{number}" for number in range(4)}


def test_export_tells_that_unclear_parts_go_into_train(tmp_path):
    done = Dataset.open(native(tmp_path / "set", "train", "val", "holdout")).export("voc", tmp_path / "voc")
    assert done.splits == {"train": 2, "val": 1}
    assert '1 samples are of the part "holdout", which is no split: they go into train' in done.notes


def coco(root, part, number):
    shape = {"category_id": 1, "iscrowd": 0, "bbox": [0, 0, 4, 4], "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}
    document = {
        "images": [{"id": 1, "file_name": f"{number}.jpg", "width": 8, "height": 8}],
        "annotations": [{"id": 1, "image_id": 1, **shape}],
        "categories": [{"id": 1, "name": "dog"}],
    }
    save(root / f"annotations/instances_{part}2017.json", document)
    save_image(root / f"images/{number}.jpg", (8, 8))


def masks(root, part, number):
    save_image(root / f"images/{part}/{number}.jpg", (8, 8))
    save_map(root / f"masks/{part}/{number}.png", np.eye(8))
    save(root / "classes.txt", "dog\n")


def voc(root, part, number):
    save(root / f"ImageSets/Segmentation/{part}.txt", f"{number}\n")
    save_image(root / f"JPEGImages/{number}.jpg", (8, 8))
    save_map(root / f"SegmentationClass/{number}.png", np.eye(8))
    save(root / "classes.txt", "dog\n")


def yolo(root, part, number):
    save_image(root / f"images/{part}/{number}.jpg", (8, 8))
    save(root / f"labels/{part}/{number}.txt", "0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    save(root / "classes.txt", "dog\n")


def labelme(root, part, number):
    shape = {"label": "dog", "points": [[0, 0], [4, 0], [4, 4]], "shape_type": "polygon"}
    size = {"imagePath": f"{number}.jpg", "imageHeight": 8, "imageWidth": 8}
    save(root / f"{part}/{number}.json", {"version": "5", "flags": {}, "shapes": [shape], **size, "imageData": None})
    save_image(root / f"{part}/{number}.jpg", (8, 8))


def cvat(root, part, number):
    path = root / "annotations.xml"
    image = (
        f'<image id="{number}" name="{number}.jpg" subset="{part}" width="8" height="8">'
        '<polygon label="dog" points="0,0;4,0;4,4" z_order="0"/></image></annotations>'
    )
    label = "<meta><job><labels><label><name>dog</name></label></labels></job></meta>"
    before = path.read_text() if path.exists() else f"<annotations><version>1.1</version>{label}</annotations>"
    save(path, before.replace("</annotations>", image))
    save_image(root / f"images/{part}/{number}.jpg", (8, 8))


@pytest.mark.parametrize("add", [coco, masks, voc, yolo, labelme, cvat])
def test_parts_of_formats(tmp_path, add):
    for number, part in enumerate(("train", "dev", "testing", "holdout")):
        add(tmp_path / "set", part, number)
    imported = import_set(add.__name__, tmp_path / "set", tmp_path / "out")
    part = "holdout2017" if add is coco else "holdout"
    splits = {row["file_name"][-5]: row["split"] for row in imported.rows}
    assert splits == {"0": "train", "1": "val", "2": "test", "3": part}
    assert [note for note in imported.reading.left_out if "holdout" in note] == [
        f'1 samples are of the part "{part}", which is none of train, val, test: `split` keeps the word, and `train` '
        "and `evaluate` ask for --split"
    ]
    for asked in ("dev", "validation", "val"):
        read = Dataset.open(tmp_path / "set", split=asked)
        assert [sample.metadata["split"] for sample in read] == ["val"]


@pytest.mark.parametrize("add", [coco, masks, voc, yolo, labelme, cvat])
def test_parts_of_other_names_alone_are_none(tmp_path, add):
    for number, part in enumerate(("monday", "tuesday")):
        add(tmp_path / "set", part, number)
    imported = import_set(add.__name__, tmp_path / "set", tmp_path / "out")
    assert [row.get("split") for row in imported.rows] == [None, None]
    assert imported.reading.left_out == []


def test_a_folder_beside_those_of_splits_is_told(tmp_path):
    for part in ("train", "holdout"):
        save_image(tmp_path / f"set/{part}/images/{part}.jpg", (8, 8))
        save_map(tmp_path / f"set/{part}/masks/{part}.png", np.eye(8))
    dataset = Dataset.from_masks(tmp_path / "set", classes=["dog"])
    assert [sample.name for sample in dataset] == ["train"]
    assert [note for note in dataset.notes if "holdout is not read: its name is none of train" in note]


def test_other_keys_of_a_yaml_file_that_name_pictures_are_told(tmp_path):
    for number, part in enumerate(("train", "val", "holdout")):
        yolo(tmp_path, part, number)
    parts = {"train": "images/train", "validation": "images/val", "holdout": "images/holdout"}
    save(tmp_path / "data.yaml", json.dumps({"names": ["dog"], "path": ".", "labels": "labels", **parts}))
    dataset = Dataset.from_yolo(tmp_path)
    assert [sample.metadata["split"] for sample in dataset] == ["train", "val"]
    assert dataset.notes == ("1 pictures of 'holdout' in data.yaml are not read: parts are train, val, test",)
