import json

import pytest
from layouts import save_map, save_voc
from refusals import refused

from seediff.cli.main import main


@pytest.fixture
def folders(tmp_path):
    root = save_voc(tmp_path / "VOCdevkit" / "VOC2012", {"2007_000032": [[0, 0, 15, 15], [0, 0, 15, 255]]})
    save_map(tmp_path / "out" / "labels" / "2007_000032.png", [[3, 3, 3, 1], [3, 3, 1, 1]])
    return tmp_path / "out", root.parents[1]


def run(*arguments):
    return main(["evaluate", "segments", *map(str, arguments)])


def test_segments_command(folders, tmp_path, capsys):
    path = tmp_path / "scores.json"
    assert run(folders[0], "--labels", folders[1], "--protocol", "strict", "--json", path) == 0
    out, err = capsys.readouterr()
    assert "protocol strict, 1 image" in out
    assert f"Pascal VOC's folders in {folders[1]}" in out
    assert f"JSON: {path}" in out
    assert err == ""
    scores = json.loads(path.read_text())
    assert (scores["acc"], scores["protocol"]) == (6 / 7, "strict")
    assert scores["per_class"]["person"]["iou"] == 2 / 3
    assert scores["miou"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert run(folders[0], "--labels", folders[1], "--protocol", "strict", "--format", "markdown") == 0
    out, err = capsys.readouterr()
    assert "| person | 66.7 | 66.7–66.7 | " in out
    assert "Pascal VOC's folders" in err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--num-classes", "27"), "val: 1 image, 21 classes; leave it out"),
        (("--split", "test"), "test.txt: no such file"),
        (("--size", "0"), "--size: 0 must be a side in pixels between 1 and"),
    ],
)
def test_bad_input_is_one_line(folders, change, words, capsys):
    assert words in refused(capsys, "evaluate segments", folders[0], "--labels", folders[1], *change)
