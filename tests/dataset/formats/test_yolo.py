import re

import numpy as np
import pytest
from formats import export, imported
from items import item
from refusals import user_error

from seediff.dataset.formats.yolo import as_yolo, from_yolo
from seediff.dataset.shapes.objects import find_objects

IDS = {0: 1, 1: 2, 2: 3}


def test_what_is_left_out_is_told(tmp_path):
    labels = np.eye(4, 6, dtype=np.uint8)
    notes = export("yolo", ("cat",), [item("a", labels * (np.arange(6) < 1))], tmp_path / "yolo", min_area=2).notes
    assert notes[0] == "1 pieces below 2 pixels are left out"


def test_text_of_a_label_file():
    labels = np.zeros((4, 8), np.uint8)
    labels[1:3, 2:6] = 2
    text = as_yolo(find_objects(labels))
    assert text == "1 0.256250 0.262500 0.681250 0.262500 0.681250 0.612500 0.256250 0.612500\n"


def test_polygons_of_others():
    text = "0 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n\n1 0.3 0.3 0.5 0.3 0.5 0.5 0.3 0.5\n"
    labels = from_yolo(text, (10, 10), IDS, "a.txt").label_map()
    turned = from_yolo("\n".join(text.split("\n")[::-1]), (10, 10), IDS, "a.txt").label_map()
    assert np.array_equal(turned, labels)  # small ones are on top in any order
    assert [(labels == i).sum() for i in (1, 2)] == [81 - 9, 9]


def test_decimal_class_ids():
    corners = " 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n"
    expected = from_yolo("1" + corners, (10, 10), IDS, "a.txt").label_map()
    for number in ("1.0", "1.000000000000000000e+00", "+1"):
        assert np.array_equal(from_yolo(number + corners, (10, 10), IDS, "a.txt").label_map(), expected)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        *((f"{name} 0 0 1 0 1 1", f'class "{name}" must be one of 0, 1, 2') for name in ("3", "cat", "1.5", "1_0")),
        ("0 0 0 1 0 1", "5 numbers after the class"),
        *((f"0 0 0 1 0 1 {value}", f'"{value}" must be a number in [0, 1]') for value in ("x", "nan", "1.02", "-0.02")),
    ],
)
def test_broken_lines_are_named(line, message):
    with user_error(re.escape(f"a.txt, line 2: {message}")):
        from_yolo("0 0 0 1 0 1 1\n" + line, (8, 8), IDS, "a.txt")


def test_corners_a_hair_outside_are_moved_to_the_edge():
    found = from_yolo("0 -0.004 0 1.002 -0.01 1.01 1 0 1.0001\n", (8, 8), IDS, "here").label_map()
    assert np.array_equal(found, np.ones((8, 8)))


def test_without_samples_for_training_the_folder_is_there_all_the_same(tmp_path):
    exported = export("yolo", ("cat",), [item("a"), item("b")], tmp_path / "yolo", split=1.0)
    assert "no samples for training: images/train is empty" in exported.notes
    assert (tmp_path / "yolo/images/train").is_dir()
    assert sorted(found.name for found in imported("yolo", tmp_path / "yolo")[1]) == ["a", "b"]
