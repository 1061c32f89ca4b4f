import json

import numpy as np
import pytest
from formats import export, imported
from items import item
from refusals import user_error

from seediff.dataset.formats.painting import Painting
from seediff.dataset.formats.set_files import SetFiles
from seediff.dataset.formats.yolo import as_yolo, read_shapes
from seediff.dataset.sample import Sample
from seediff.dataset.shapes.objects import find_objects

IDS = {"0": 1, "1": 2, "2": 3}


@pytest.fixture
def painted(tmp_path):
    """Returns the label map of a label file. Its arguments are the file's text and (H, W)."""

    def label_map(text, shape):
        (tmp_path / "a.txt").write_text(text)
        shapes = read_shapes(SetFiles(tmp_path), tmp_path / "a.txt")
        return Painting(IDS, small_on_top=True).paint(shape, shapes).label_map()

    return label_map


def test_what_is_left_out_is_told(tmp_path):
    labels = np.eye(4, 6, dtype=np.uint8)
    notes = export("yolo", ("cat",), [item("a", labels * (np.arange(6) < 1))], tmp_path / "yolo", min_area=2).notes
    assert notes[0] == "1 piece below 2 pixels: left out, as background"


SPECKS = np.zeros(
    (20, 30), np.uint8
)  # a piece of 70 pixels, and two specks, of which the larger has 1 % of the picture
SPECKS[2:9, 2:12], SPECKS[15, 3:9], SPECKS[18, 20:22] = 1, 1, 1
MADE = {"method": "seediff"}
JUDGED = {**MADE, "review": {"verdict": "accepted"}}


@pytest.mark.parametrize(
    ("row", "min_area", "areas", "note"),
    [
        (MADE, 1, [70, 6, 2], "2 of 3 pieces below 10 pixels, in masks that nobody checked: with --min-area auto"),
        (MADE, "auto", [70, 6], "1 piece below 1 % of the image: left out, as background"),
        (MADE, 6, [70, 6], "1 piece below 6 pixels: left out"),
        (JUDGED, "auto", [70, 6, 2], ""),
        ({}, "auto", [70, 6, 2], ""),
    ],
)
def test_specks_of_masks_that_nobody_checked(tmp_path, row, min_area, areas, note):
    given = item("a", SPECKS, row, SPECKS.shape)
    done = export("yolo", ("cat",), [given], tmp_path / "yolo", min_area=min_area)
    assert sorted(imported("yolo", tmp_path / "yolo")[1][0].objects(SPECKS).areas, reverse=True) == areas
    assert any(line.startswith(note) for line in done.notes)
    done = export("coco", ("cat",), [given], tmp_path / "coco", min_area=min_area)
    found = json.loads((tmp_path / "coco/annotations/instances.json").read_text())["annotations"]
    assert sorted((one["area"] for one in found if not one["iscrowd"]), reverse=True) == areas
    crowds = [one["area"] for one in found if one["iscrowd"]]
    assert crowds == ([2] if min_area == "auto" and row == MADE else [])
    again = imported("coco", tmp_path / "coco")[1][0]
    assert np.array_equal(again.label_map, SPECKS)
    assert sorted(again.instances.areas, reverse=True) == areas


def test_objects_of_a_model_are_the_lines_and_pieces_of_no_object_are_not(tmp_path):
    labels = SPECKS.copy()
    own = find_objects(labels, 50)
    made, foreign = (Sample(item(shape=labels.shape).source, labels, own, row, name="a") for row in (MADE, {}))
    done = export("yolo", ("cat",), [made], tmp_path / "made")
    assert done.notes[1] == "2 pieces in no object of the set: left out, as background"
    assert (tmp_path / "made/labels/train/a.txt").read_text().count("\n") == 1
    export("yolo", ("cat",), [foreign], tmp_path / "foreign")
    assert np.array_equal(imported("yolo", tmp_path / "foreign")[1][0].label_map, labels)


def test_text_of_a_label_file():
    labels = np.zeros((4, 8), np.uint8)
    labels[1:3, 2:6] = 2
    text = as_yolo(find_objects(labels))
    assert text == "1 0.256250 0.262500 0.681250 0.262500 0.681250 0.262500 0.681250 0.612500 0.256250 0.612500\n"


def test_polygons_of_others(painted):
    text = "0 0.1 0.1 0.5 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n\n1 0.3 0.3 0.4 0.3 0.5 0.3 0.5 0.5 0.3 0.5\n"
    labels = painted(text, (10, 10))
    turned = painted("\n".join(text.split("\n")[::-1]), (10, 10))
    assert np.array_equal(turned, labels)  # small ones are on top in any order
    assert [(labels == i).sum() for i in (1, 2)] == [81 - 9, 9]


def test_decimal_class_ids(painted):
    corners = " 0.1 0.1 0.5 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n"
    expected = painted("1" + corners, (10, 10))
    for number in ("1.0", "1.000000000000000000e+00", "+1"):
        assert np.array_equal(painted(number + corners, (10, 10)), expected)


@pytest.mark.parametrize(
    "line",
    [
        "cat 0 0 1 0 1 1",
        "0 0 0 1 0 1",
        *(f"0 0 0 1 0 1 {value}" for value in ("x", "nan", "1.02", "-0.02")),
    ],
)
def test_broken_lines_are_named(painted, line):
    with user_error("a.txt, line 2: must be a class number, and x and y"):
        painted("0 0 0 1 0 1 1\n" + line, (8, 8))


@pytest.mark.parametrize("number", ["3", "1.5", "1_0"])
def test_numbers_of_no_class_are_named(painted, number):
    with user_error('a.txt, line 1: has the label ".*", which is not a class; they are 0, 1, 2'):
        painted(f"{number} 0 0 1 0 1 1", (8, 8))


def test_corners_a_hair_outside_are_moved_to_the_edge(painted):
    found = painted("0 -0.004 0 0.5 0 1.002 -0.01 1.01 1 0 1.0001\n", (8, 8))
    assert np.array_equal(found, np.ones((8, 8)))
