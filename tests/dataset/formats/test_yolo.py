import shutil

import numpy as np
import pytest
from blobs import blobs, some
from formats import export, imported
from items import item, names

from seediff.dataset.formats.yolo import as_yolo, from_yolo
from seediff.dataset.shapes.objects import find_objects
from seediff.dataset.store import open_native, write_native
from seediff.errors import UserError

CLASSES = ("cat", 'it\'s a: "dog"', "bus")


def without_ignored(labels):
    return np.where(labels == 255, 0, labels)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_round_trip(tmp_path):
    given = some()
    done = export("yolo", CLASSES, given, tmp_path / "yolo")
    assert (done.samples, done.files) == (5, 11) == (5, len(names(tmp_path / "yolo")))
    assert "are ignored (255)" in done.notes[0]
    classes, items = imported("yolo", tmp_path / "yolo")
    assert classes == CLASSES
    own = {one.name.replace("/", "_"): one for one in given}
    assert {i.name for i in items} == set(own)
    for two in items:
        one = own[two.name]
        assert two.data() == one.source
        assert two.metadata == {"split": "val" if one.metadata.get("split") == "val" else "train"}
        assert np.array_equal(two.label_map, without_ignored(one.label_map))
    write_native(tmp_path / "back", classes, items, about={})
    assert len(open_native(tmp_path / "back")[1]) == 5


def test_what_is_left_out_is_told(tmp_path):
    labels = np.zeros((10, 10), np.uint8)
    labels[:4, :4], labels[8, 8] = 1, 1
    notes = export("yolo", ("cat",), [item("a", labels, {}, (10, 10))], tmp_path / "yolo", min_area=2).notes
    assert notes == (
        "1 pieces below 2 pixels are left out",
        "no samples for validation: val in data.yaml is the training set; a split of 0.1 sets a tenth aside",
    )


def test_text_of_a_label_file():
    labels = np.zeros((4, 8), np.uint8)
    labels[1:3, 2:6] = 2
    text = as_yolo(find_objects(labels))
    assert text == "1 0.256250 0.262500 0.681250 0.262500 0.681250 0.612500 0.256250 0.612500\n"


def test_polygons_of_others():
    text = "0 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n\n1 0.3 0.3 0.5 0.3 0.5 0.5 0.3 0.5\n"
    labels = from_yolo(text, (10, 10), range(2), "a.txt").label_map()
    assert np.array_equal(
        from_yolo("\n".join(text.split("\n")[::-1]), (10, 10), range(2), "a.txt").label_map(), labels
    )  # small ones are on top in any order
    assert [(labels == i).sum() for i in (1, 2)] == [81 - 9, 9]


def test_decimal_class_ids():
    corners = " 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n"
    expected = from_yolo("1" + corners, (10, 10), range(2), "a.txt").label_map()
    for number in ("1.0", "1.000000000000000000e+00", "+1"):
        assert np.array_equal(from_yolo(number + corners, (10, 10), range(2), "a.txt").label_map(), expected)


@pytest.fixture
def folder(tmp_path):
    export("yolo", CLASSES, [item(str(i), blobs(i), {}, (64, 80)) for i in range(3)], tmp_path / "yolo", split=0.34)
    return tmp_path / "yolo"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        *(
            (f"{number} 0 0 1 0 1 1", f'class "{number}" must be one of 0, 1, 2')
            for number in ("3", "cat", "1.5", "1_0")
        ),
        ("0 0 0 1 0 1", "5 numbers after the class"),
        ("0", "0 numbers after the class"),
        *((f"0 0 0 1 0 1 {value}", f'"{value}" must be a number in [0, 1]') for value in ("x", "nan", "1.02", "-0.02")),
    ],
)
def test_broken_lines_are_named(folder, line, message):
    path = sorted((folder / "labels/train").iterdir())[0]
    path.write_text("0 0 0 1 0 1 1\n" + line)
    item = next(i for i in imported("yolo", folder)[1] if i.name == path.stem)
    with pytest.raises(UserError, match="line 2") as caught:
        item.labels(254)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a", "is not YAML"),
        ("- a", "Expected `object`"),
        ("train: images/train", "'names'"),
        ("names: {-1: a}\ntrain: images/train", "'names'"),
        ("names: {0: a, '0': b}\ntrain: images/train", "'names'"),
        ("names: [a, a]\ntrain: images/train", "class 'a' is there twice"),
        ("names: [a]", "has no 'train'"),
        ("names: [a]\ntrain: [1, {2: 3}]", "Expected"),
        *(
            (f"names: [a]\n{text}", "'train': must name pictures in")
            for text in ("train: nowhere", "path: /\ntrain: etc", "train: ../..", 'train: "\\0"')
        ),
    ],
)
def test_broken_descriptions_are_named(folder, text, message):
    (folder / "data.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        imported("yolo", folder)
    assert str(caught.value).startswith((f"{folder / 'data.yaml'}: ", f"{folder / 'data.yaml'}, line 1: "))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "place"),
    [({"split": "all"}, "has no 'all'"), ({"split": "test"}, "has no 'test'"), ({}, "has no label file")],
)
def test_missing_files_are_named(folder, options, place):
    for path in (folder / "labels").rglob("*.txt"):
        path.unlink()
    with pytest.raises(UserError, match=place):
        imported("yolo", folder, **options)


def test_folders_as_others_name_them(folder):
    """`path` of another machine, ../ in front, the same names in two splits, pictures of a kind that we do not read."""
    for kind in ("images", "labels"):
        shutil.copytree(folder / kind / "train", folder / "train" / kind)
        shutil.copytree(folder / kind / "train", folder / "valid" / kind)
    (folder / "data.yaml").write_text(
        "path: /data/set\ntrain: ../train/images\nval: [valid/images]\nnames: [a, b, c]\n"
    )
    classes, items = imported("yolo", folder)
    assert classes == ("a", "b", "c")
    stems = sorted(p.stem for p in (folder / "train/images").iterdir())
    assert [i.name for i in items] == [f"{s}/{n}" for s in ("train", "val") for n in stems]
    (folder / "train/images/x.webp").touch()
    (folder / "train/labels/x.txt").touch()
    with pytest.raises(UserError, match="pictures of datasets are PNG or JPEG"):
        imported("yolo", folder)


def test_without_samples_for_training_the_folder_is_there_all_the_same(tmp_path):
    exported = export("yolo", ("cat",), [item("a"), item("b")], tmp_path / "yolo", split=1.0)
    assert "no samples for training: images/train is empty" in exported.notes
    assert (tmp_path / "yolo/images/train").is_dir()
    assert sorted(found.name for found in imported("yolo", tmp_path / "yolo")[1]) == ["a", "b"]
