import shutil

import numpy as np
import pytest
from formats import imported, opened
from items import item
from layouts import save
from refusals import user_error

from seediff.dataset.formats.format_table import recognise
from seediff.dataset.native import write_native

SHAPE = (8, 8)
LINE = "0.01 0.01 0.25 0.01 0.49 0.01 0.49 0.49 0.01 0.49\n"  # the upper left quarter


def image(path):
    return save(path, item(shape=SHAPE, suffix="jpg").source)


def labels(value=1):
    expected = np.zeros(SHAPE, np.uint8)
    expected[:4, :4] = value
    return expected


@pytest.fixture
def folder(tmp_path):
    """Like Ultralytics' small sets: images/ and labels/ with a folder a part."""
    root = tmp_path / "set"
    for part, name in (("train", "a"), ("train", "b"), ("val", "c")):
        image(root / f"images/{part}/{name}.jpg")
        save(root / f"labels/{part}/{name}.txt", "0 " + LINE)
    save(root / "data.yaml", "path: set\ntrain: images/train\nval: images/val\ntest:\nnames:\n  0: cat\n  1: dog\n")
    return root


def read(source, **options):
    classes, items = imported("yolo", source, **options)
    return classes, {one.name: (one.labels(len(classes)), one.metadata["split"]) for one in items}


def check(found, names):
    assert {name: split for name, (_, split) in found.items()} == names
    assert all(np.array_equal(given, labels()) for given, _ in found.values())


ALL = {"a": "train", "b": "train", "c": "val"}


def test_four_corners_everywhere_may_be_rotated_boxes(folder):
    notes = []
    check(read(folder, note=notes.append)[1], ALL)
    assert notes == []
    for path in folder.glob("labels/*/*.txt"):
        path.write_text("0 0.01 0.01 0.49 0.01 0.49 0.49 0.01 0.49\n")
    check(read(folder, note=notes.append)[1], ALL)
    assert notes == ["every object has four corners; if they are rotated boxes (OBB), they are no masks"]


def test_images_without_a_label_file_show_background(folder, tmp_path):
    (folder / "labels/train/b.txt").unlink()
    notes = []
    _, found = read(folder, note=notes.append)
    assert notes == ["1 of 3 pictures have no label file: background only"]
    assert not found.pop("b")[0].any()
    check(found, {"a": "train", "c": "val"})
    write_native(tmp_path / "out", *imported("yolo", folder), about={})


def test_images_as_a_link(folder, tmp_path):
    (folder / "images").rename(tmp_path / "photos")
    (folder / "images").symlink_to(tmp_path / "photos")
    with user_error(r"'train': must name pictures in .*; --images names a folder"):
        imported("yolo", folder)
    for images in (folder / "images", tmp_path / "photos", tmp_path):
        check(read(folder, images=images)[1], ALL)


def test_labels_that_no_image_uses_are_an_error(folder, tmp_path):
    """The pictures of one part, named for all: those of the other part are not there, but their labels are."""
    (folder / "images").rename(tmp_path / "photos")
    with user_error(r"labels/val/c\.txt: has labels, but there is no picture 'c' .*; --images .* and --skip-missing"):
        read(folder, images=tmp_path / "photos/train")
    notes = []
    found = read(folder, images=tmp_path / "photos/train", skip_missing=True, note=notes.append)[1]
    check(found, {"a": "train", "b": "train"})
    assert notes == ["labels whose picture is missing, left out: 1"]
    save(folder / "labels/val/classes.txt", "cat\n")
    for text in ("0.0 ", "cat "):  # the ids of others are labels, too
        (folder / "labels/val/c.txt").write_text(text + LINE)
        with user_error(r"labels/val/c\.txt: has labels, but there is no picture 'c'"):
            read(folder, images=tmp_path / "photos/train")
    (folder / "labels/val/c.txt").write_text("\n")  # shows nothing that would be lost
    check(read(folder, images=tmp_path / "photos/train")[1], {"a": "train", "b": "train"})


def test_a_yaml_of_another_name(folder):
    (folder / "data.yaml").rename(folder / "coco8-seg.yaml")
    for source in (folder, folder / "coco8-seg.yaml"):
        check(read(source)[1], ALL)
    assert len(opened(folder)[1]) == 3
    save(folder / "args.yaml", "epochs: 3\n")
    with user_error(r"data\.yaml: no such file; it holds args\.yaml, coco8-seg\.yaml: name"):
        imported("yolo", folder)


@pytest.mark.parametrize("names", ["{0: cat, 7: dog, 2: bus}", "{'0': cat, '7': dog, '2': bus}"])
def test_numbers_of_classes_with_gaps(folder, names):
    save(folder / "data.yaml", f"train: images/train\nnames: {names}\n")
    save(folder / "labels/train/a.txt", "7 " + LINE)
    save(folder / "labels/train/b.txt", "2 " + LINE)
    classes, found = read(folder)
    assert classes == ("cat", "bus", "dog")
    assert {name: int(one.max()) for name, (one, _) in found.items()} == {"a": 3, "b": 2}
    save(folder / "labels/train/a.txt", "1 " + LINE)
    with user_error(r'a\.txt, line 1: class "1" must be one of 0, 2, 7'):
        read(folder)


@pytest.mark.parametrize(
    "text",
    [
        "./images/train/a.jpg\n./images/train/b.jpg\n",  # COCO's own lists
        "images/train/a.jpg\r\nimages/train/b.jpg\r\n",
        # of another machine, as darknet's are
        "\ufeff/home/somebody/set/images/train/a.jpg\n\n/home/somebody/set/images/train/b.jpg\n",
    ],
)
def test_a_list_of_images(folder, text):
    save(folder / "train.txt", text)
    save(folder / "data.yaml", "train: train.txt\nval: [images/val]\nnames: [cat, dog]\n")
    check(read(folder)[1], ALL)
    (folder / "images").rename(folder.parent / "photos")  # the labels stay where they are
    check(read(folder, images=folder.parent / "photos")[1], ALL)
    save(folder / "train.txt", text + "./images/train/z.jpg\n")
    with user_error(r'train\.txt, line \d: must name pictures in .*, not "\./images/train/z\.jpg"'):
        imported("yolo", folder, images=folder.parent / "photos")


def test_lists_may_name_some_of_the_images(folder):
    """All pictures in one folder, and their labels in another: labels of pictures that are not asked for are none
    without a picture.
    """
    for kind in ("images", "labels"):
        for path in [*(folder / kind).glob("*/*")]:
            path.rename(folder / kind / path.name)
    save(folder / "train.txt", "./images/a.jpg\n./images/b.jpg\n")
    save(folder / "val.txt", "./images/c.jpg\n")
    save(folder / "data.yaml", "train: train.txt\nval: val.txt\nnames: [cat, dog]\n")
    check(read(folder)[1], ALL)
    check(read(folder, split="train")[1], {"a": "train", "b": "train"})
    check(read(folder, split="val")[1], {"c": "val"})
    save(folder / "train.txt", "./images/a.jpg\n")
    check(read(folder)[1], {"a": "train", "c": "val"})
    (folder / "images/b.jpg").unlink()
    with user_error(r"labels/b\.txt: has labels, but there is no picture 'b'"):
        read(folder)


@pytest.mark.parametrize("lists", [False, True])
def test_folders_with_files_of_the_same_names(folder, lists):
    for part in ("x", "y"):
        for kind in ("images", "labels"):
            shutil.copytree(folder / kind / "train", folder / kind / part)
    entries = [f"images/{part}" for part in ("x", "y")]
    if lists:
        entries = [f"{part}.txt" for part in ("x", "y")]
        for part in ("x", "y"):
            save(folder / f"{part}.txt", "".join(f"./images/{part}/{name}.jpg\n" for name in "ab"))
    save(folder / "data.yaml", f"train: [{', '.join(entries)}]\nval: images/val\nnames: [cat, dog]\n")
    check(read(folder)[1], {"x/a": "train", "x/b": "train", "y/a": "train", "y/b": "train", "c": "val"})


def test_lists_of_images_lead_nowhere_else(folder, tmp_path):
    image(tmp_path / "private.jpg")
    for text in ("../private.jpg\n", f"{tmp_path}/private.jpg\n", "data.yaml\n"):
        save(folder / "train.txt", text)
        save(folder / "data.yaml", "train: train.txt\nnames: [cat, dog]\n")
        with user_error(r"train\.txt, line 1: must name pictures in"):
            imported("yolo", folder)


def test_boxes_among_polygons_are_ignored_and_counted(folder):
    """Ultralytics refuses to train masks on such a set; a box's four corners are no outline."""
    (folder / "labels/train/a.txt").write_text("0 0.5 0.5 0.5 0.5\n0 " + LINE)
    notes = []
    one = next(one for one in imported("yolo", folder, note=notes.append)[1] if one.name == "a")
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:6, 2:6] = 255
    expected[:4, :4] = 1
    assert np.array_equal(one.label_map, expected)
    assert any("objects are boxes; pixels in them but in no polygon are ignored (255)" in line for line in notes)
    for path, number in zip(folder.glob("labels/*/*.txt"), ("0", "1.0", "cat"), strict=True):
        path.write_text(f"{number} 0.5 0.5 0.5 0.5\r\n", newline="")
    with user_error(r"all its \d objects are boxes; masks need polygons, of three or more corners"):
        imported("yolo", folder)


def test_a_set_of_classes_txt_and_no_yaml(folder):
    """As Label Studio exports it, with notes.json; and as people make it by hand, without either."""
    (folder / "data.yaml").unlink()
    save(folder / "notes.json", '{"categories": [], "info": {}}')
    save(folder / "classes.txt", "cat\ndog\n")
    assert recognise(folder) == "yolo"
    found = {"train/a": 1, "train/b": 1, "val/c": 1}
    for classes, expected in ((None, found), (("dog", "cat"), dict.fromkeys(found, 2))):
        names, items = imported("yolo", folder, classes=classes)
        assert names == (classes or ("cat", "dog"))
        assert {one.name: int(one.label_map.max()) for one in items} == expected
        assert not any("split" in one.metadata for one in items)
    with user_error(r'does not name "dog", which is a class of .*classes\.txt'):
        imported("yolo", folder, classes=("cat",))
    (folder / "classes.txt").unlink()
    assert imported("yolo", folder, classes=("cat", "dog"))[0] == ("cat", "dog")
    save(folder / "classes.txt", "__ignore__\ncat\n")  # lines are numbered from 0, whatever they say
    assert imported("yolo", folder)[0] == ("__ignore__", "cat")
    save(folder / "classes.txt", "cat\n\ndog\n")
    with user_error("has an empty line between names"):
        imported("yolo", folder)


def test_names_are_read_as_they_are_written_and_background_is_none(folder):
    save(folder / "data.yaml", "train: images/train\ntest: ~\nnames: [Background, no, 010]\n")
    save(folder / "labels/train/a.txt", "2 " + LINE)
    classes, found = read(folder)
    assert classes == ("no", "010")
    assert {name: int(one.max()) for name, (one, _) in found.items()} == {"a": 2, "b": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a", "is not YAML"),
        ("train: images/train", "'names'"),
        ("names: {-1: a}\ntrain: images/train", "'names'"),
        ("names: {0: a, '0': b}\ntrain: images/train", 'has "0" twice'),
        ("names: {0: a, 00: b}\ntrain: images/train", "'names'"),
        ("names: [a]", "has no 'train'"),
        ("names: [a]\ntrain: [1, {2: 3}]", "must be"),
        ("names: [cat, dog]\ntrain: images/train\nkpt_shape: [3, 2]", r"has poses \(kpt_shape\)"),
        *(  # another folder with a name like it is not meant
            (f"names: [cat]\ntrain: images/train\nval: {entry}", "'val': must name pictures in")
            for entry in ("valid/images/", "../valid/images/", "/x/valid/images/.", "my_images/", "my_images/train")
        ),
        *(
            (f"names: [a]\n{text}", "'train': must name pictures in")
            for text in ("train: nowhere", "path: /\ntrain: etc", "train: ../..", "train: ..", "train: ../")
        ),
    ],
)
def test_broken_descriptions_are_named(folder, text, message):
    (folder / "data.yaml").write_text(text)
    with user_error(rf"data\.yaml.*{message}"):
        imported("yolo", folder)


def test_folders_as_others_name_them(folder):
    """`path` of another machine, ../ in front, the same names in two splits, pictures of a kind that we do not read."""
    for kind in ("images", "labels"):
        shutil.copytree(folder / kind / "train", folder / "train" / kind)
        shutil.copytree(folder / kind / "train", folder / "valid" / kind)
    save(folder / "data.yaml", "path: /data/set\ntrain: ../train/images\nval: [valid\\images]\nnames: [cat]\n")
    check(read(folder)[1], {f"{part}/{name}": part for part in ("train", "val") for name in "ab"})
    for name in ("images/x.webp", "labels/x.txt"):
        save(folder / "train" / name)
    (folder / "data.yaml").rename(folder / "config.yaml")
    assert recognise(folder) == "yolo"
    with user_error("pictures of datasets are PNG or JPEG"):
        read(folder)
