from functools import partial

import numpy as np
import pytest
from layouts import add_images, save_ade20k, save_camvid, save_cityscapes, save_image, save_map, save_voc
from refusals import user_error

from seediff.config.class_names import VOC_CLASSES
from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.public_sets import (
    CAMVID_CLASSES,
    CITYSCAPES_CLASSES,
    COCO_STUFF_CLASSES,
    COCO_STUFF_COARSE,
)

VOC = ("background", *VOC_CLASSES)
opened = partial(Dataset.open, labels_alone=True)


def named(data, index=0):
    """The names of the pixels of a sample, "" where there is none."""
    return [[data.names.get(number, "") for number in row] for row in data[index].raw_labels().tolist()]


def names(data):
    return [sample.name for sample in data]


@pytest.mark.parametrize(
    ("listing", "classes", "shown"),
    [
        ("background\ndog\ncat\n", ("background", "dog", "cat"), ["background", "cat", ""]),  # a dataset of SeeDiff
        ("0 sky\n2: traffic light\n255 unlabelled\n", ("sky", "traffic light"), ["sky", "traffic light", ""]),
        ("sky\nroad\ncar\n", ("background", "sky", "road", "car"), ["background", "road", ""]),
        ("unlabeled\ntumor\ncyst", ("tumor", "cyst"), ["", "cyst", ""]),
    ],
)
@pytest.mark.parametrize("palette", [True, False])
def test_a_plain_folder(tmp_path, listing, classes, shown, palette):
    """Also with pictures, in 16 bits, and where a palette has VOC's colours, which are not those of ids from 0."""
    save_map(tmp_path / "masks" / "000000.png", [[0, 2, 255]], palette=palette)
    save_map(tmp_path / "masks" / "deep" / "b.png", [[0, 2, 65535]], bits=16)
    save_image(tmp_path / "images" / "deep" / "b.jpg", (1, 3))
    (tmp_path / "classes.txt").write_text(listing)
    for folder in (tmp_path, tmp_path / "masks"):
        data = opened(folder)
        assert (tuple(data.names.values()), names(data)) == (classes, ["000000", "deep/b"])
        assert named(data) == named(data, 1) == [shown]
    assert opened(tmp_path)[1].size() == (1, 3)
    assert opened(tmp_path)[0].source is None
    assert opened(tmp_path, void=[2])[0].raw_labels()[0, 1] == 255


def test_a_plain_folder_without_a_list(tmp_path):
    save_map(tmp_path / "a.png", [[0, 26, 255]])
    assert named(opened(tmp_path, num_classes=27)) == [["0", "26", ""]]
    assert named(opened(tmp_path, num_classes=27, void=[0])) == [["", "26", ""]]


def test_voc(tmp_path):
    maps = {"2007_000129": [[0, 20, 255]], "2008_000001": [[15, 15, 0]]}
    root = save_voc(tmp_path / "VOCdevkit" / "VOC2012", maps, others={"2009_000001": [[1]]})
    for folder in (root, tmp_path, tmp_path / "VOCdevkit"):
        data = opened(folder)
        assert tuple(data.names.values()) == VOC
        assert names(data) == ["2007_000129", "2008_000001"]  # what val.txt does not list is not evaluated
    assert named(data) == [["background", "tvmonitor", ""]]
    assert data.about == f"Pascal VOC's folders in {root}, val: 2 images, 20 classes"
    (root / "classes.txt").write_text("cat\n" + "".join(f"c{i}\n" for i in range(20)))
    assert named(opened(root)) == [["background", "c18", ""]]


COCO_NAMES = ["000000000139", "000000000285"]


@pytest.mark.parametrize("below", ["dataset/annotations/val2017", "val2017", "stuffthingmaps_trainval2017/val2017"])
def test_coco_stuff(tmp_path, below):
    # person, microwave, banner, wood and water-other in COCO-Stuff's pixel maps: published ids 1, 78, 92, 182, 178,
    # less one.
    maps = {COCO_NAMES[0]: [[0, 77, 91, 181, 177, 255]], COCO_NAMES[1]: [[200]]}
    for name, ids in maps.items():
        save_map(tmp_path / below / f"{name}.png", ids, palette=False)
    save_map(tmp_path / below / f"{COCO_NAMES[1]}_labelTrainIds.png", [[0]])  # what other programs leave there
    for folder in (tmp_path, tmp_path / below):
        data = opened(folder)
        assert (data.classes, names(data)) == (COCO_STUFF_CLASSES, COCO_NAMES)
    assert named(data) == [["person-things", "appliance-things", "textile-stuff", "solid-stuff", "water-stuff", ""]]
    with user_error(rf"{COCO_NAMES[1]}\.png: has id 200, which is not a class of COCO-Stuff"):
        data[1].raw_labels()
    add_images(tmp_path, "images/val2017", maps, ".jpg")
    assert Dataset.open(tmp_path).classes == COCO_STUFF_CLASSES
    (tmp_path / "annotations").mkdir(exist_ok=True)
    (tmp_path / "annotations/instances_val2017.json").write_text('{"images": [], "annotations": [], "categories": []}')
    assert opened(tmp_path).classes == COCO_STUFF_CLASSES
    assert Dataset.open(tmp_path).classes == ()  # COCO's own JSON says more of its pictures


def test_coco_stuff_mapping():
    fine = [int(number) for number in COCO_STUFF_COARSE.split()]
    # Things come first among labels and among coarse classes.
    assert (set(fine[:91]), set(fine[91:])) == (set(range(12)), set(range(12, len(COCO_STUFF_CLASSES))))
    counts = "6 6 10 10 8 8 8 10 6 1 10 8 2 6 4 11 4 11 7 2 6 11 9 2 6 5 5"
    assert np.bincount(fine).tolist() == list(map(int, counts.split()))
    # As IIC's, STEGO's and DiffSeg's table.
    assert (sum(fine), int(np.dot(fine, np.arange(182)))) == (2223, 253662)


def test_cityscapes(tmp_path):
    ids = [[0, 6, 7, 33, 26, 23]]
    save_cityscapes(tmp_path, {"frankfurt/frankfurt_000000_000294": ids, "lindau/lindau_000000_000019": [[34]]})
    for folder in (tmp_path, tmp_path / "gtFine", tmp_path / "gtFine" / "val"):
        data = opened(folder)
        assert data.classes == tuple(data.names.values()) == CITYSCAPES_CLASSES
        assert names(data) == ["frankfurt/frankfurt_000000_000294", "lindau/lindau_000000_000019"]
    assert named(data) == [["", "", "road", "bicycle", "car", "sky"]]
    with user_error("has id 34, which is not a class of Cityscapes"):
        data[1].raw_labels()
    save_cityscapes(tmp_path, {"ulm/a": ids}, "train")
    assert names(opened(tmp_path / "gtFine" / "train")) == ["ulm/a"]


def test_camvid_is_known_by_its_folders(tmp_path):
    root = save_camvid(tmp_path / "CamVid", {"a": [[0, 10, 11, 255]]})
    save_camvid(root, {"b": [[1, 11]]}, "val")
    for folder in (tmp_path, root, root / "testannot"):
        data = opened(folder)
        assert (data.classes, names(data)) == (CAMVID_CLASSES, ["a"])
        assert named(data) == [["sky", "bicyclist", "", ""]]
    assert names(opened(root, split="val")) == names(opened(root / "valannot")) == ["b"]


def test_a_folder_of_that_name_with_classes_of_its_own_is_none_of_camvids(tmp_path):
    save_map(tmp_path / "trainannot" / "a.png", [[0, 11]])
    (tmp_path / "trainannot" / "classes.txt").write_text("".join(f"c{i}\n" for i in range(12)))
    assert named(opened(tmp_path / "trainannot")) == [["background", "c10"]]


def test_ade20k(tmp_path):
    maps = {"ADE_val_00000001": [[0, 13, 21], [81, 84, 150]]}
    data = opened(save_ade20k(tmp_path / "ADEChallengeData2016", maps).parent)
    assert (len(data.names), named(data)) == (150, [["", "person", "car"], ["bus", "thing 84", "thing 150"]])
    assert data[0].image.shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("nowhere", {}, "nowhere: no such folder"),
        ("empty", {}, "empty: is no dataset: .*\n.*empty holds no file"),
        (".", {}, "nothing says what the ids of its label maps mean; add a classes.txt"),
        (".", {"num_classes": 0}, "num_classes: 0 must be between 1 and 254"),
        ("plain", {"split": "test"}, "split: test: .*plain has no image in this part; parts there: train"),
        ("many", {}, r"many/classes\.txt: names id 300; ids of label maps are 0 to 254, and 255 is ignored"),
        ("voc", {"void": [0]}, "void: is no option of the format voc; leave it out"),
        ("city", {"split": "train"}, r"split: train: .*; parts of Cityscapes there: val"),
    ],
)
def test_what_cannot_be_opened(tmp_path, path, options, said):
    save_map(tmp_path / "a.png", [[0]])
    (tmp_path / "empty").mkdir()
    for name, count in (("plain", 3), ("many", 300)):
        save_map(tmp_path / name / "a.png", [[0]])
        (tmp_path / name / "classes.txt").write_text("".join(f"c{i}\n" for i in range(count)))
    save_voc(tmp_path / "voc", {"a": [[0]]})
    save_cityscapes(tmp_path / "city", {"a/a": [[7]]})
    with user_error(said):
        opened(tmp_path / path, **options)
