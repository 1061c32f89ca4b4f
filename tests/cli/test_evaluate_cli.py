import json

import numpy as np
import pytest
from layouts import save_map, save_voc

from seediff.cli import main


@pytest.fixture
def folders(tmp_path):
    root = save_voc(tmp_path / "VOCdevkit" / "VOC2012", {"2007_000032": [[0, 0, 15, 15], [0, 0, 15, 255]]})
    save_map(tmp_path / "out" / "labels" / "2007_000032.png", [[3, 3, 3, 1], [3, 3, 1, 1]])
    return tmp_path / "out", root.parents[1]


def run(*arguments: object) -> int:
    return main(["evaluate", "segments", *map(str, arguments)])


def test_segments_command(folders, tmp_path, capsys):
    path = tmp_path / "scores.json"
    assert run(folders[0], "--labels", folders[1], "--protocol", "strict", "--json", path) == 0
    out, err = capsys.readouterr()
    assert "protocol strict, 1 image" in out
    assert f"Pascal VOC in {folders[1]}" in out
    assert f"JSON: {path}" in out
    assert err == ""
    scores = json.loads(path.read_text())
    assert (scores["acc"], scores["protocol"]) == (6 / 7, "strict")
    assert scores["per_class"]["person"]["iou"] == 2 / 3
    assert scores["miou"] == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_options_reach_the_evaluation(folders, tmp_path, capsys):
    predictions, labels = folders
    save_map(predictions / "labels" / "2007_000032.png", np.kron([[3, 1], [3, 1]], np.ones((2, 2), int)))
    path = tmp_path / "scores.json"
    options = "--labels-format folder --num-classes 21 --center-crop --size 2 --resize-predictions --draws 10".split()
    maps = labels / "VOCdevkit" / "VOC2012" / "SegmentationClass"
    assert run(predictions, "--labels", maps, *options, "--seed", "3", "--json", path, "--quiet") == 0
    scores = json.loads(path.read_text())
    assert (scores["size"], scores["center_crop"], scores["seed"], scores["pixels"]) == (2, True, 3, 4)
    capsys.readouterr()
    names = tmp_path / "names.txt"
    names.write_text("2007_000033\n")
    assert run(predictions, "--labels", labels, "--list", names) == 2
    assert "lists '2007_000033'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--labels-format", "cityscapes"), "is not laid out like cityscapes"),
        (("--protocol", "loose"), "--protocol"),
        (("--num-classes", "27"), "voc labels have 21 classes"),
        (("--split", "test"), "test.txt: there is no such file"),
        (("--missing", "maybe"), "--missing"),
        (("--size", "0"), "--size: 0 must be a side in pixels between 1 and"),
    ],
)
def test_bad_input_is_one_line(folders, change, words, capsys):
    assert run(folders[0], "--labels", folders[1], *change) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("seediff: ")
    assert err.count("\n") == 1
    assert words in err
