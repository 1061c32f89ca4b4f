import numpy as np
import pytest
from formats import export, imported, opened
from items import item
from layouts import save
from PIL import Image
from refusals import user_error

from seediff.dataset import native
from seediff.files.label_maps import voc_palette

SHAPE = (4, 6)
COLOURS = {0: (0, 0, 0), 1: (140, 120, 240), 2: (250, 50, 83), 255: (224, 224, 192)}
LABELMAP = (
    "# label:color_rgb:parts:actions\nbackground:0,0,0::\nspace"
    " ship:140,120,240::\ntrepang:250,50,83:hand,foot:running\n"
)


def expected():
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 1:4], labels[2, 2], labels[3, 5] = 1, 2, 255
    return labels


def save_mask(path, labels, colours):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((*labels.shape, 3), np.uint8)
    for number in np.unique(labels).tolist():
        pixels[labels == number] = colours[number]
    Image.fromarray(pixels).save(path)


def cvat(root, names=("frames/0001", "0002")):
    """As CVAT's "Segmentation mask 1.1", with pictures: masks in colours, one list called default, a labelmap.txt."""
    save(root / "labelmap.txt", LABELMAP)
    save(root / "ImageSets/Segmentation/default.txt", "".join(f"{name}\n" for name in names))
    for name in names:
        save(root / f"JPEGImages/{name}.jpg", item(shape=SHAPE, suffix="jpg").source)
        save_mask(root / f"SegmentationClass/{name}.png", expected(), COLOURS)
        save_mask(root / f"SegmentationObject/{name}.png", expected(), COLOURS)


def test_cvats_masks_in_colours(tmp_path):
    cvat(tmp_path / "cvat")
    for options in ({}, {"split": "default"}):
        classes, items = imported("voc", tmp_path / "cvat", **options)
        assert classes == ("space ship", "trepang")
        assert {one.name for one in items} == {"frames/0001", "0002"}
        assert all(np.array_equal(one.labels(2), expected()) for one in items)
        assert [sorted(one.instances.class_ids) for one in items] == [[1, 2], [1, 2]]
    assert opened(tmp_path / "cvat")[0] == classes  # recognised
    turned = imported("voc", tmp_path / "cvat", classes=["other", "trepang", "space ship"])[1]
    assert [np.unique(one.label_map).tolist() for one in turned] == [[0, 2, 3, 255]] * 2
    with user_error('does not name "trepang"'):
        imported("voc", tmp_path / "cvat", classes=["space ship"])


@pytest.mark.parametrize(
    ("lists", "splits"),
    [
        ({"Validation": "01", "Train": "2"}, {"2": "train", "0": "val", "1": "val"}),
        ({"valid": "0", "night": "12", "trainval": "0"}, {"0": "val", "1": None, "2": None}),
        ({"night": "0", "day": "1"}, {"0": None, "1": None, "2": None}),  # without one of VOC's lists, all label maps
    ],
)
def test_lists_of_any_name_are_read(tmp_path, lists, splits):
    cvat(tmp_path, tuple("012"))
    (tmp_path / "ImageSets/Segmentation/default.txt").unlink()
    for name, listed in lists.items():
        save(tmp_path / f"ImageSets/Segmentation/{name}.txt", "".join(f"{one}\n" for one in listed))
    found = imported("voc", tmp_path)[1]
    assert [(one.name, one.metadata.get("split")) for one in found] == list(splits.items())
    for split in {*splits.values()} - {None}:
        part = [name for name, part in splits.items() if part == split]
        assert [one.name for one in opened(tmp_path, split=split)[1]] == part


def test_a_picture_in_two_lists_is_for_validation(tmp_path):
    cvat(tmp_path, tuple("012"))
    (tmp_path / "ImageSets/Segmentation/default.txt").unlink()
    for name, listed in {"train": "0\n1\n", "val": "1\n2\n"}.items():
        save(tmp_path / f"ImageSets/Segmentation/{name}.txt", listed)
    notes = []
    found = imported("voc", tmp_path, note=notes.append)[1]
    assert [one.metadata["split"] for one in found] == ["train", "val", "val"]
    assert "1 pictures are in several lists of ImageSets/Segmentation: a list for validation or testing counts" in notes


def test_lists_of_something_else_are_not_read(tmp_path):
    """Beside VOC's own lists, others may have a second column or paths; names of label maps without a picture are an
    error.
    """
    export("voc", ("cat",), [item("a"), item("b")], tmp_path)
    lists = tmp_path / "ImageSets/Segmentation"
    save(lists / "cat_train.txt", "a  1\nb -1\n")
    save(lists / "trainaug.txt", "/JPEGImages/a.jpg /SegmentationClassAug/a.png\n../a\n" + "x" * 5000)
    notes = []
    assert [one.name for one in imported("voc", tmp_path, note=notes.append)[1]] == ["a", "b"]
    assert notes == []
    save(lists / "trainaug.txt", "a\nc\nd\n")
    save(tmp_path / "JPEGImages/d.jpg", item(suffix="jpg").source)
    assert [one.name for one in imported("voc", tmp_path, note=notes.append)[1]] == ["a", "b"]
    assert notes == ["1 of 3 pictures have no mask in SegmentationClass: they are left out"]
    save(tmp_path / "SegmentationClass/c.png", native.encode_mask(np.zeros(SHAPE, np.uint8)))
    with user_error(r"trainaug\.txt, line 2: .*JPEGImages has no picture 'c'"):
        imported("voc", tmp_path)


def test_indices_mean_the_lines_of_a_labelmap(tmp_path):
    cvat(tmp_path, ["a"])
    text = "trepang:250,50,83::\nbackground:0,0,0::\nvoid:9,9,9::\nspace ship:140,120,240::\n"
    save(tmp_path / "labelmap.txt", "\ufeff" + text)
    Image.fromarray(np.array([[0, 1, 2, 3, 1, 255]] * 4, np.uint8)).save(tmp_path / "SegmentationClass/a.png")
    classes, (found,) = imported("voc", tmp_path)
    assert (classes, found.label_map[0].tolist()) == (("trepang", "space ship"), [1, 0, 255, 2, 0, 255])


def test_colours_of_vocs_palette(tmp_path):
    palette = dict(enumerate(np.array(voc_palette(), np.uint8).reshape(-1, 3)))
    labels = expected()
    labels[0, :2] = 20
    save(tmp_path / "JPEGImages/a.jpg", item(shape=SHAPE, suffix="jpg").source)
    save_mask(tmp_path / "SegmentationClass/a.png", labels, palette)
    classes, (found,) = imported("voc", tmp_path)
    assert (len(classes), classes[19]) == (20, "tvmonitor")
    assert np.array_equal(found.labels(20), labels)
    save_mask(tmp_path / "SegmentationClass/a.png", labels, {**palette, 20: (1, 2, 3)})
    with user_error(r"a\.png: has the colour 1,2,3, which is not a class of VOC's palette; a labelmap"):
        found.labels(254)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *((line, 'line 1: "dog" needs a colour') for line in ("dog", "dog:1,2,256::")),
        ("dog:1,2,3::\ncat:1,2,3::", 'gives "cat" the same colour as another name'),
        ("dog:1,2,3::", r"has the colour 140,120,240, which is not a class of .*labelmap\.txt"),
    ],
)
def test_broken_lists_of_colours(tmp_path, text, message):
    cvat(tmp_path, ["a"])
    save(tmp_path / "labelmap.txt", text)
    with user_error(message) as caught:
        imported("voc", tmp_path)[1][0].labels(254)
    assert "labelmap.txt" in str(caught.value)


def test_images_behind_a_link(tmp_path):
    export("voc", ("cat",), [item("a")], tmp_path / "voc")
    (tmp_path / "voc/JPEGImages").rename(tmp_path / "photos")
    (tmp_path / "voc/JPEGImages").symlink_to(tmp_path / "photos")
    with user_error(r"a\.png: leads out of "):
        imported("voc", tmp_path / "voc")
    assert len(imported("voc", tmp_path / "voc", images=tmp_path / "photos")[1]) == 1
