import numpy as np
import pytest
from layouts import save_camvid, save_cityscapes, save_map, save_voc

from seediff.dataset import coco_stuff
from seediff.dataset.labels import CAMVID_CLASSES, CITYSCAPES_CLASSES, VOC_CLASSES, open_labels, select
from seediff.errors import UserError


def test_folder(tmp_path):
    save_map(tmp_path / "a.png", [[0, 26, 255]])
    save_map(tmp_path / "deep" / "b.png", [[1, 2, 65535]], bits=16)
    labels = open_labels(tmp_path)
    assert labels.layout == "folder"
    assert list(labels.files) == ["a", "deep/b"]
    assert len(labels.classes) == 27
    assert "2 images, 27 classes (by default)" in labels.about
    assert labels.read("a").tolist() == [[0, 26, -1]]
    assert labels.read("deep/b").tolist() == [[1, 2, -1]]


@pytest.mark.parametrize(
    ("listing", "classes"),
    [
        ("background\ndog\ncat\n", ("background", "dog", "cat")),  # a dataset of SeeDiff
        ("0 sky\n2: traffic light\n255 unlabelled\n", ("sky", "1", "traffic light")),
        ("sky\nroad\ncar\n", ("sky", "road", "car")),
    ],
)
def test_folder_with_class_names(tmp_path, listing, classes):
    save_map(tmp_path / "masks" / "000000.png", [[0, 2]])
    (tmp_path / "classes.txt").write_text(listing)
    labels = open_labels(tmp_path)
    assert labels.classes == classes
    assert open_labels(tmp_path / "masks").classes == classes
    assert open_labels(tmp_path, num_classes=5).classes == (*classes, "3", "4")


def test_id_0_that_no_class_has(tmp_path):
    save_map(tmp_path / "a.png", [[0, 1, 255]])
    assert open_labels(tmp_path, void=[0]).read("a").tolist() == [[-1, 1, -1]]
    (tmp_path / "classes.txt").write_text("unlabeled\ntumor\n")
    assert open_labels(tmp_path).read("a").tolist() == [[-1, 1, -1]]


def test_more_than_255_classes_have_their_names(tmp_path):
    """In VOC's layout, too."""
    names = tuple(f"class {i}" for i in range(300))
    save_map(tmp_path / "folder" / "a.png", [[255, 299, 65535]], bits=16)
    root = save_voc(tmp_path / "voc", {"a": [[0]]})
    save_map(root / "SegmentationClass" / "a.png", [[255, 299, 65535]], bits=16)
    for folder in (tmp_path / "folder", root):
        (folder / "classes.txt").write_text("\n".join(names))
        labels = open_labels(folder)
        assert labels.classes == names
        assert labels.read("a").tolist() == [[255, 299, -1]]
        (folder / "classes.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(names[:256])))
        assert open_labels(folder).classes == names[:255]


def test_voc(tmp_path):
    maps = {"2007_000129": [[0, 20, 255]], "2008_000001": [[15, 15, 0]]}
    root = save_voc(tmp_path / "VOCdevkit" / "VOC2012", maps, others={"2009_000001": [[1]]})
    for folder in (root, tmp_path, tmp_path / "VOCdevkit"):
        labels = open_labels(folder)
        assert (labels.layout, labels.classes) == ("voc", VOC_CLASSES)
        assert list(labels.files) == ["2007_000129", "2008_000001"]  # what val.txt does not list is not evaluated
    assert labels.read("2007_000129").tolist() == [[0, 20, -1]]
    assert labels.about.startswith("Pascal VOC in ")
    assert labels.about.endswith("val: 2 images, 21 classes")


COCO_NAMES = ("000000000139", "000000000285")


@pytest.mark.parametrize("below", ["dataset/annotations/val2017", "val2017"])
def test_coco_stuff(tmp_path, below):
    # person, microwave, banner, wood and water-other in COCO-Stuff's pixel maps: published ids 1, 78, 92, 182, 178,
    # less one.
    save_map(tmp_path / below / f"{COCO_NAMES[0]}.png", [[0, 77, 91, 181, 177, 255]], palette=False)
    save_map(tmp_path / below / f"{COCO_NAMES[1]}.png", [[200]], palette=False)
    save_map(tmp_path / below / f"{COCO_NAMES[1]}_labelTrainIds.png", [[0]])  # what other programs leave there
    for folder in (tmp_path, tmp_path / below):
        labels = open_labels(folder)
        assert (labels.layout, labels.classes) == ("coco-stuff", coco_stuff.COARSE)
        assert tuple(labels.files) == COCO_NAMES
    names = [coco_stuff.COARSE[i] if i >= 0 else "" for i in labels.read(COCO_NAMES[0])[0]]
    assert names == ["person-things", "appliance-things", "textile-stuff", "solid-stuff", "water-stuff", ""]
    with pytest.raises(UserError, match="unknown label ids 200"):
        labels.read(COCO_NAMES[1])


def test_coco_stuff_mapping():
    fine = coco_stuff.fine_to_coarse()
    assert fine.shape == (182,)
    assert len(set(coco_stuff.LABELS)) == 182
    assert len(coco_stuff.COARSE) == 27
    things, stuff = fine[:91], fine[91:]
    assert set(things) == set(range(12))  # ids 1 to 91 are things, and so are coarse classes 0 to 11
    assert set(stuff) == set(range(12, 27))
    counts = "6 6 10 10 8 8 8 10 6 1 10 8 2 6 4 11 4 11 7 2 6 11 9 2 6 5 5"
    assert np.bincount(fine).tolist() == list(map(int, counts.split()))
    assert (int(fine.sum()), int((fine * np.arange(182)).sum())) == (
        2223,
        253662,
    )  # as IIC's, STEGO's and DiffSeg's table


def test_cityscapes(tmp_path):
    ids = [[0, 6, 7, 33, 26, 23]]
    save_cityscapes(tmp_path, {"frankfurt/frankfurt_000000_000294": ids, "lindau/lindau_000000_000019": [[34]]})
    for folder in (tmp_path, tmp_path / "gtFine", tmp_path / "gtFine" / "val"):
        labels = open_labels(folder)
        assert (labels.layout, labels.classes) == ("cityscapes", CITYSCAPES_CLASSES)
        assert list(labels.files) == ["frankfurt/frankfurt_000000_000294", "lindau/lindau_000000_000019"]
    found = labels.read("frankfurt/frankfurt_000000_000294")[0]
    assert [labels.classes[i] if i >= 0 else "" for i in found] == ["", "", "road", "bicycle", "car", "sky"]
    with pytest.raises(UserError, match="unknown label ids 34"):
        labels.read("lindau/lindau_000000_000019")
    with pytest.raises(UserError, match=r"split: train: .*; parts of Cityscapes there: val"):
        open_labels(tmp_path, split="train")
    save_cityscapes(tmp_path, {"ulm/a": ids}, "train")
    assert list(open_labels(tmp_path / "gtFine" / "train").files) == ["ulm/a"]


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("nowhere", {}, "nowhere: no such folder"),
        (".", {"layout": "cityscapes"}, "is not laid out like"),
        ("voc", {"num_classes": 27}, "num_classes: "),
        ("voc", {"split": "train"}, "train.txt: no such file"),
        (".", {"void": [70000]}, "void: "),
    ],
)
def test_what_cannot_be_opened(tmp_path, path, options, said):
    save_map(tmp_path / "a.png", [[0]])
    (tmp_path / "empty").mkdir()
    save_voc(tmp_path / "voc", {"a": [[0]]})
    with pytest.raises(UserError, match=said):
        open_labels(tmp_path / path, **options)


def test_ids_that_are_no_class_are_named(tmp_path):
    save_map(tmp_path / "a.png", [[0, 27, 255], [40, 27, 200]])
    with pytest.raises(UserError, match=r"a\.png: has unknown label ids 27, 40, 200, which are not of .* 27 classes"):
        open_labels(tmp_path).read("a")
    root = save_voc(tmp_path / "voc", {"a": [[0]], "b": [[21]]})
    with pytest.raises(UserError, match=r"b\.png: has unknown label ids 21"):
        open_labels(root).read("b")
    (root / "SegmentationClass" / "b.png").unlink()
    with pytest.raises(UserError, match=r"b\.png: no such file, but .*val.txt lists it"):
        open_labels(root)


def test_find_and_select(tmp_path):
    labels = open_labels(save_cityscapes(tmp_path, {"a/a_1": [[7]], "a/same": [[8]], "b/same": [[9]]}))
    assert labels.find("a/a_1_leftImg8bit") == labels.find("elsewhere/a_1") == labels.find("a_1") == "a/a_1"
    plain = open_labels(save_map(tmp_path / "plain/deep/x_leftImg8bit.png", [[0]]).parents[1])
    assert plain.find("deep/x_leftImg8bit") == plain.find("x_leftImg8bit") == "deep/x_leftImg8bit"
    assert labels.find("same") is None  # two cities have one
    assert labels.find("b/same") == "b/same"
    names = tmp_path / "list.txt"
    names.write_text("a_1.png\n\n  b/same  \n")
    chosen = select(labels, names)
    assert list(chosen.files) == ["a/a_1", "b/same"]
    assert "2 of them listed" in chosen.about
    for text, words in (
        ("nobody\n", "lists 'nobody'"),
        ("same\n", "not the name of one label"),
        ("\n", "lists no names"),
    ):
        names.write_text(text)
        with pytest.raises(UserError, match=words):
            select(labels, names)


def test_camvid_is_known_by_its_folders(tmp_path):
    root = save_camvid(tmp_path / "CamVid", {"a": [[0, 10, 11, 255]]})
    save_camvid(root, {"b": [[1, 11]]}, "val")
    for folder in (tmp_path, root, root / "testannot"):
        labels = open_labels(folder)
        assert (labels.layout, labels.classes, list(labels.files)) == ("camvid", CAMVID_CLASSES, ["a"])
        assert labels.read("a").tolist() == [[0, 10, -1, -1]]
    assert list(open_labels(root, split="val").files) == list(open_labels(root / "valannot").files) == ["b"]
    with pytest.raises(UserError, match="void: is for plain folders; camvid labels"):
        open_labels(root, void=[11])


def test_a_folder_of_that_name_with_classes_of_its_own_is_none_of_camvids(tmp_path):
    save_map(tmp_path / "trainannot" / "a.png", [[0, 11]])
    (tmp_path / "trainannot" / "classes.txt").write_text("".join(f"c{i}\n" for i in range(12)))
    assert open_labels(tmp_path / "trainannot").read("a").tolist() == [[0, 11]]
