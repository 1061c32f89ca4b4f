"""Folders as other tools and people make them; layouts.toml has them all, and says how they are written."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from formats import export
from items import item
from layouts import save, save_image, save_map
from PIL import Image
from refusals import user_error

from seediff.dataset.dataset import Dataset
from seediff.dataset.sample import Sample
from seediff.files.documents import read_toml
from seediff.files.label_maps import voc_palette

CASES = {case["about"]: case for case in read_toml(Path(__file__).parent / "layouts.toml")["case"]}
SHAPE = (8, 8)
CVAT = """<annotations><version>1.1</version><meta><job><labels>
<label><name>cat</name></label>
</labels></job></meta>
<image id="0" name="a.png" width="8" height="8">{}</image></annotations>"""


def quarter(value):
    labels = np.zeros(SHAPE, np.uint8)
    labels[:4, :4] = value
    return labels


def coco(names, changes, parent):
    """A document of COCO: `names` of pictures, and `changes` of what is annotated in each."""
    images = [{"id": i, "file_name": name, "width": 8, "height": 8} for i, name in enumerate(names)]
    of_all = {"category_id": 1, "iscrowd": 0, "bbox": [0, 0, 4, 4], "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}
    annotations = [{"id": i, "image_id": i, **of_all, **changes} for i in range(len(names))]
    categories = [{"id": 1, "name": "cat", "supercategory": parent}]
    if parent:
        categories.insert(0, {"id": 0, "name": parent, "supercategory": "none"})
    return {"images": images, "annotations": annotations, "categories": categories}


def write(path, given):
    kind, _, rest = given.partition(" ")
    if kind == "@image":
        save_image(path, SHAPE)
    elif kind == "@map":
        value, *how = rest.split()
        labels = quarter(int(value))
        if how == ["1"]:  # around it is another value than 0
            labels[4:] = labels[:, 4:] = 1
        if how == ["rgb"]:
            labels = np.dstack([80 * labels, 0 * labels, 0 * labels])
        save_map(path, labels, palette=not how)
    elif kind == "@coco":
        names, brace, more = rest.partition("{")
        changes, parent = json.JSONDecoder().raw_decode(brace + more) if brace else ({}, 0)
        save(path, coco(names.split(), changes, (brace + more)[parent:].strip()))
    elif kind == "@cvat":
        save(path, CVAT.format(rest))
    elif kind == "@yolo":
        save(path, f"{rest} 0.01 0.01 0.25 0.01 0.49 0.01 0.49 0.49 0.01 0.49\n")
    else:
        save(path, given)


def files_of(case):
    before = files_of(CASES[case["base"]]) if "base" in case else {}
    return {path: given for path, given in {**before, **case.get("files", {})}.items() if given}


def filled(value, folder):
    """An option's value, with the folder for DIR."""
    return str(folder) + value[3:] if isinstance(value, str) and value.startswith("DIR/") else value


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_layout(tmp_path, case):
    for path, given in files_of(case).items():
        write(tmp_path / path, given)
    source = tmp_path / case.get("source", "")
    options = {name: filled(value, tmp_path) for name, value in case.get("options", {}).items()}
    read = getattr(Dataset, f"from_{case['format']}" if "format" in case else "open")
    if "refused" in case:
        with user_error(case["refused"]):
            [one.labels(254) for one in read(source, **options)]
        return
    dataset = read(source, **options)
    assert dataset.classes == tuple(case.get("classes", ["cat"]))
    expected = {name: [*about.split(), "1"][:2] for name, about in case["samples"].items()}
    found = {one.name: one.metadata.get("split", "-") for one in dataset}
    assert found == {name: split for name, (split, _) in expected.items()}
    for one in dataset:
        np.testing.assert_array_equal(one.labels(len(dataset.classes)), quarter(int(expected[one.name][1])))
    for note in case.get("notes", ()):
        assert any(re.search(note, line) for line in dataset.notes), dataset.notes
    assert case.get("notes") != [] or dataset.notes == ()
    if not options:
        again = Dataset.open(source)
        assert (again.classes, [one.name for one in again]) == (dataset.classes, [one.name for one in dataset])


def write_case(about, folder):
    for path, given in files_of(CASES[about]).items():
        write(folder / path, given)


# What a table does not say: some pixels, links, our own exports.


@pytest.mark.parametrize("file", ["", "annotations/instances_train.json"])
def test_images_of_ours_are_not_those_in_a_folder_that_is_called_like_a_part(tmp_path, file):
    images = {name: np.full((*SHAPE, 3), 60 * number, np.uint8) for number, name in enumerate(("1", "train/1", "3"))}
    given = [
        Sample(image, quarter(1), None, {"split": "val" if name == "3" else "train"}, name=name)
        for name, image in images.items()
    ]
    export("coco", ("cat",), given, tmp_path)
    found = Dataset.from_coco(tmp_path / file)
    assert len(found) == (2 if file else 3)
    assert all(np.array_equal(one.image, images[one.name]) for one in found)


def test_images_behind_a_link_are_named(tmp_path):
    write_case("Ultralytics: a folder a part", tmp_path / "yolo")
    export("voc", ("cat",), [item("a")], tmp_path / "voc")
    for folder, photos in (("yolo/images", "photos"), ("voc/JPEGImages", "voc photos")):
        (tmp_path / folder).rename(tmp_path / photos)
        (tmp_path / folder).symlink_to(tmp_path / photos)
    with user_error(r"'train': must name pictures in .*; --images names a folder"):
        Dataset.from_yolo(tmp_path / "yolo")
    for images in ("yolo/images", "photos", ""):
        assert len(Dataset.from_yolo(tmp_path / "yolo", images=tmp_path / images)) == 3
    with user_error(r"a\.png: leads out of "):
        Dataset.from_voc(tmp_path / "voc")
    assert len(Dataset.from_voc(tmp_path / "voc", images=tmp_path / "voc photos")) == 1


def test_colours_of_vocs_palette(tmp_path):
    palette = np.array(voc_palette(), np.uint8).reshape(-1, 3)
    save_image(tmp_path / "JPEGImages/a.jpg", SHAPE)
    save(tmp_path / "SegmentationClass/a.png")
    Image.fromarray(palette[quarter(20)]).save(tmp_path / "SegmentationClass/a.png")
    dataset = Dataset.from_voc(tmp_path)
    assert (len(dataset.classes), dataset.classes[19]) == (20, "tvmonitor")
    np.testing.assert_array_equal(dataset[0].labels(20), quarter(20))
    palette[20] = 1, 2, 3
    Image.fromarray(palette[quarter(20)]).save(tmp_path / "SegmentationClass/a.png")
    with user_error(r"a\.png: has the colour 1,2,3, which is not a class of VOC's palette; a labelmap"):
        Dataset.from_voc(tmp_path)[0].labels(254)
