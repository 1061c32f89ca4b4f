"""How sets are understood: what a reading says, and what is counted as left out."""

import json
import re

import pytest
from command_line import runner
from interrupted import contents
from layout_cases import ONE_SHAPE, WITHOUT_PIXELS, formats_of, write_case
from layouts import save, save_camvid, save_image, save_map, save_voc
from refusals import user_error

from seediff.cli.formats import import_
from seediff.dataset.class_lists import ClassList
from seediff.dataset.dataset import Dataset
from seediff.dataset.reading import ClassReading

run = runner(import_)
LABELS = [[0, 1, 1], [2, 255, 255]]


def in_masks(folder, files, **options):
    save_image(folder / "images/a.png", (2, 3))
    save_map(folder / "masks/a.png", LABELS)
    for name, text in files.items():
        save(folder / name, text)
    return Dataset.open(folder, "masks", **options)


def test_the_first_line_names_each_format_that_fits(tmp_path, capsys):
    in_masks(tmp_path, {"classes.txt": "road\ncar\n", "labels/a.txt": "0 0 0 1 0 1 1\n"})
    run(f"import {tmp_path} --dry-run")
    first, *_ = capsys.readouterr().out.splitlines()
    assert "is read as yolo: " in first
    assert "; it also fits masks (--from masks): images/ and masks/" in first


def test_assumed_classes_are_called_so(tmp_path):
    save_voc(tmp_path / "voc", {"a": [[1, 0]]})
    save_image(tmp_path / "voc/JPEGImages/a.jpg", (1, 2))
    save_camvid(tmp_path / "camvid", {"a": [[1, 11]]}, "val")
    sets = [Dataset.open(tmp_path / name).reading for name in ("voc", "camvid")]
    assert [one.listed for one in sets] == ["VOC's twenty: there is no list", "CamVid in camvid, val"]
    assert [one.classes[i].line for i, one in enumerate(sets, 1)] == [
        "1 → aeroplane: images 0, pixels 0",
        "1 → building: images 0, pixels 0",
    ]
    assert [one.parts for one in sets] == [{"val": 1}] * 2
    Dataset.open(tmp_path / "voc").save(tmp_path / "native")
    native = Dataset.open(tmp_path / "native").watched()
    [one.label_map for one in native]
    assert (native.reading.listed, native.reading.parts) == ("classes.txt", {"val": 1})
    assert native.reading.classes[1] == ClassReading("1", "aeroplane", 1, 1)
    assert ClassList((), {}).reading({"train": 4, None: 2}).lines()[1] == "parts: train 4, no part 2"


@pytest.mark.parametrize("format_", formats_of(WITHOUT_PIXELS))
def test_what_vanishes_is_counted(tmp_path, format_, capsys):
    write_case(f"{format_}: {WITHOUT_PIXELS}", tmp_path / "in")
    for workers in (1, 2)[: 1 + (format_ == "coco")]:
        run(f"import {tmp_path}/in --out {tmp_path}/out{workers} --workers {workers}")
        assert re.search(r"note: 2 shapes without a pixel.*\(\w(, \w)?\)", capsys.readouterr().out)
        said = json.loads((tmp_path / f"out{workers}/reading.json").read_text())
        assert all(line in said["left_out"] for line in said["named"])
    assert contents(tmp_path / "out1") == contents(tmp_path / f"out{workers}")
    write_case(f"{format_}: {ONE_SHAPE}", tmp_path / "right")
    run(f"import {tmp_path}/right --out {tmp_path}/out")
    assert "note:" not in capsys.readouterr().out


def test_an_import_ends_with_its_reading_and_keeps_it(tmp_path, capsys):
    in_masks(tmp_path / "in", {"classes.txt": "road\ncar\nbus\n"})
    line = f"import {tmp_path}/in --out {tmp_path}/set"
    run(f"import {tmp_path}/in --dry-run")
    planned = capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    expected = [
        "note: no mask that was read shows 1 of 3 classes: bus",
        "classes: in/classes.txt",
        "0 → background: images 1, pixels 1",
        "1 → road: images 1, pixels 2",
        "2 → car: images 1, pixels 1",
        "3 → bus: images 0, pixels 0",
        "ignored (255): images 1, pixels 2",
    ]
    assert planned.splitlines()[1:] == expected
    with user_error("^out: is missing"):
        run(f"import {tmp_path}/in")
    run(line)
    for more in ("", " --dry-run"):
        with user_error("^out: .*set already exists and is not empty"):
            run(line + more)
    said = capsys.readouterr().out
    assert "\n".join(expected) + "\n\nNext:" in said
    whole = json.loads((tmp_path / "set/reading.json").read_text())
    assert whole["classes"][1] == {"values": "1", "name": "road", "images": 1, "pixels": 2}
    page = (tmp_path / "set/preview.html").read_text()
    assert "<li>1 → road: images 1, pixels 2</li>" in page
    assert str(tmp_path) not in page + (tmp_path / "set/reading.json").read_text()
    run(f"{line}2 --quiet")
    assert capsys.readouterr().out == ""
