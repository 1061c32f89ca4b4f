import json
import unicodedata

import numpy as np
import pytest
from formats import export
from items import item
from layouts import save, save_image, save_map
from refusals import user_error

from seediff.dataset.dataset import Dataset

CORNERS = [2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]
SIDES = {"width": 8, "height": 6}
COMPOSED = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
APART = unicodedata.normalize("NFD", COMPOSED)


def coco(names):
    annotations = [{"image_id": i, "category_id": 1, "segmentation": [CORNERS]} for i in range(len(names))]
    images = [{"id": i, "file_name": name, **SIDES} for i, name in enumerate(names)]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}]}
    return {"instances.json": json.dumps(document)}


def labelstudio(names):
    value = {"points": [[25, 20], [75, 20], [75, 70], [25, 70]], "polygonlabels": ["dog"]}
    result = [{"type": "polygonlabels", "value": value, "original_width": 8, "original_height": 6}]
    return {"export.json": json.dumps([{"data": {"image": n}, "annotations": [{"result": result}]} for n in names])}


@pytest.mark.parametrize("write", [coco, labelstudio])
@pytest.mark.parametrize(
    ("names", "files", "samples"),
    [
        (["frame_1", "scan.01"], ["frame_1.PNG", "scan.01.jpg"], ["frame_1", "scan.01"]),
        (["b.jpg"], ["b.png"], ["b"]),
        (["a.bmp"], ["a.bmp", "a.bmp.png", "a.jpeg"], ["a"]),
        (["A.jpg"], ["a.jpg", "a.png"], ["A"]),
        (["../labels/a.png"], ["a.png"], ["a"]),
        ([r"..\..\upload\4\a.png", r"C:\data\b.png"], ["a.png", "b.png"], ["a", "b"]),
        (["/home/someone/upload/4/a.png"], ["4/a.png", "a.png"], ["4/a"]),
        (["https://example.org/data/a%20b.png?size=2"], ["a b.png"], ["a b"]),
        ([f"{COMPOSED}.png"], [f"{APART}.png"], [COMPOSED]),
        (["a.png", "a.jpg"], ["a.png", "a.jpg"], ["a.png", "a.jpg"]),
        ([r"x\y\..\a.png"], ["x/a.png"], ["x/a"]),
        # Nothing says which one is meant.
        (["a"], ["a.png", "a.jpg"], "there is no picture .a"),
        (["."], ["a.png"], "there is no picture .[.]"),
        ([f"{'x' * 5000}/a"], ["b.png"], "there is no picture .x"),
        (["x/a.png", "y/a.png"], ["a.png"], r'"y/a\.png" and "x/a\.png" are both .*images/a\.png'),
        (["a.png", "a.jpg"], ["a.png"], r'"a\.jpg" and "a\.png" are both .*images/a\.png'),
    ],
)
def test_the_one_image_of_a_name(tmp_path, write, names, files, samples):
    for file in files:
        save_image(tmp_path / "images" / file, (6, 8))
    for file, text in write(names).items():
        (tmp_path / file).write_text(text)
    if isinstance(samples, str):
        with user_error(samples):
            Dataset.open(tmp_path)
        return
    read = Dataset.open(tmp_path)
    assert [one.name for one in read] == samples
    for one in read:
        assert np.isin(one.label_map[1:4, 2:6], 1).all()


def write_voc(folder, lists):
    export("voc", ("dog",), [item(name, np.ones((8, 8), np.uint8), {}, (8, 8)) for name in "0123"], folder)
    for path in (folder / "ImageSets/Segmentation").glob("*.txt"):
        path.unlink()
    for part, names in lists.items():
        save(folder / f"ImageSets/Segmentation/{part}.txt", "\n".join(names))


def write_yolo(folder, lists):
    export("yolo", ("dog",), [item(name, np.ones((8, 8), np.uint8), {}, (8, 8)) for name in "0123"], folder)
    for part, names in lists.items():
        save(folder / f"{part}.txt", "".join(f"images/train/{name}.png\n" for name in names))
    save(folder / "data.yaml", "names: [dog]\n" + "".join(f"{part}: {part}.txt\n" for part in lists))


@pytest.mark.parametrize("write", [write_voc, write_yolo])
@pytest.mark.parametrize(
    ("lists", "parts", "both"),
    [
        ({"train": "012", "val": "12", "test": "23"}, ["train", "val", "test", "test"], 2),
        ({"train": "01", "val": "2"}, ["train", "train", "val"], 0),
    ],
)
def test_an_image_of_two_lists_is_held_back(tmp_path, write, lists, parts, both):
    write(tmp_path, lists)
    found = Dataset.open(tmp_path)
    assert [sample.metadata["split"] for sample in sorted(found, key=lambda sample: sample.name)] == parts
    several = [note for note in found.notes if " pictures are in several " in note]
    assert [note.startswith(f"{both} ") for note in several] == [True] * bool(both)


def test_a_validation_set_that_is_the_training_set_holds_nothing_back(tmp_path):
    write_yolo(tmp_path, {"train": "01", "val": "01", "test": "23"})
    assert [sample.metadata["split"] for sample in Dataset.open(tmp_path)] == ["train", "train", "test", "test"]


def test_an_image_of_two_parts_of_coco(tmp_path):
    """Pictures are numbered anew in each part, and the folder is that of one part."""
    save_image(tmp_path / "images/1.png", (6, 8))
    for part in ("train", "val"):
        (tmp_path / f"instances_{part}.json").write_text(coco(["1.png"])["instances.json"])
    with user_error(r"instances_val.json, image 0: its picture, .*1\.png, is that of .*train\.json"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(("image", "mask"), [("images", "masks"), ("JPEGImages", "SegmentationClass")])
def test_accents_apart_from_their_letters(tmp_path, image, mask):
    save_image(tmp_path / image / f"{APART}.jpg", (1, 2))
    save_map(tmp_path / mask / f"{COMPOSED}.PNG", [[0, 1]])
    (tmp_path / "classes.txt").write_text("dog")
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text(APART)
    (one,) = Dataset.open(tmp_path)
    assert (one.name, one.label_map.tolist()) == (COMPOSED, [[0, 1]])
