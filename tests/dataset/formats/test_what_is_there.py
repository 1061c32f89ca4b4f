"""Sets that cannot be read as they are: the refusal says what is there, and each command that it prints works."""

import re
import shlex

import pytest
from command_line import runner
from formats import export
from items import item
from layout_cases import write
from refusals import user_error

from seediff.cli.formats import import_
from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.refusal import format_of

run = runner(import_)
PICTURE, MASK, ROWS = "@image", "@map 1 grey", "@yolo 1"
SETS = {
    "in another folder of labels": ({"images/a.jpg": PICTURE, "labels/train2017/a.txt": ROWS}, "yolo"),
    "in a folder of another case": ({"Images/a.jpg": PICTURE, "Labels/a.txt": ROWS}, "yolo"),
    "beside the pictures": ({"a.jpg": PICTURE, "a.txt": ROWS, "b.jpg": PICTURE, "b.txt": ROWS}, "yolo"),
    "in a folder a film": (
        {f"{place}/480p/{film}/0.{kind}": given for film in ("x", "y") for place, kind, given in
         (("JPEGImages", "jpg", PICTURE), ("Annotations", "png", MASK))},
        "masks",
    ),
    "of more names than pictures": ({"p/a.jpg": PICTURE, "q/a.txt": ROWS, "q/b.txt": ROWS}, "yolo"),
    "deep below": ({f"1/2/{place}": given for place, given in {
        "images/a.jpg": PICTURE, "masks/a.png": MASK, "classes.txt": "cat"}.items()}, "masks"),
    "pictures alone": ({"a.jpg": PICTURE, "b.jpg": PICTURE}, ""),
}  # fmt: skip
"""Where labels are → the files, and the format of the printed command."""


def commands(caught):
    return [shlex.split(line) for line in re.findall("`(seediff import [^`]+ dataset)`", str(caught.value))]


@pytest.mark.parametrize("about", SETS)
def test_the_printed_command_reads_what_is_there(tmp_path, monkeypatch, about):
    files, format_ = SETS[about]
    monkeypatch.chdir(tmp_path)
    for path, given in files.items():
        write(tmp_path / "in" / path, given)
    with user_error("in: is no dataset|names its classes") as caught:
        Dataset.open(tmp_path / "in")
    (command,) = commands(caught)
    assert not format_ or format_ in command
    command = [word.replace("NAME,NAME", "cat,dog") for word in command]
    run(shlex.join(command[1:]))
    assert Dataset.open(tmp_path / "dataset", "native")


def test_what_no_command_reads_is_said(tmp_path):
    for path, given in {
        "results.json": '[{"image_id": 1, "score": 0.5, "segmentation": []}]',
        "Annotations/a.xml": "<annotation><object><bndbox>",
        "photos.tar.gz": "?",
        "b.heic": "?",
        "c.webp": "?",
        "notes/d.md": "?",
        "notes/e.md": "?",
    }.items():
        write(tmp_path / "in" / path, given)
    with user_error("results of COCO") as caught:
        format_of(tmp_path / "in")
    for words in ("2 .md such as d.md", "of boxes", "c.webp, but only PNG and JPEG", "gz, to be unpacked"):
        assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 8
    with user_error("results .predictions."):
        Dataset.open(tmp_path / "in/results.json", "coco")


def test_labels_elsewhere_are_named_by_a_note_and_read_by_an_option(tmp_path):
    for name in "ab":
        write(tmp_path / f"JPEGImages/{name}.jpg", PICTURE)
        write(tmp_path / f"SegmentationClassAug/{name}.png", MASK)
    write(tmp_path / "SegmentationClass/a.png", MASK)
    write(tmp_path / "ImageSets/Segmentation/train.txt", "a\nb\n")
    found = Dataset.open(tmp_path, "voc")
    assert len(found) == 1
    assert any(
        "SegmentationClassAug/b.png, grey, or with a palette; --images and --masks name" in note for note in found.notes
    )
    assert len(Dataset.open(tmp_path, "voc", masks=tmp_path / "SegmentationClassAug")) == 2


@pytest.mark.parametrize("format_", ["labelme", "coco", "cvat", "voc"])
def test_pictures_that_nothing_labels_are_named(tmp_path, format_):
    export(format_, ("cat",), [item("a")], tmp_path)
    (picture,) = tmp_path.rglob("a.png") if format_ != "voc" else (tmp_path / "JPEGImages").glob("a.*")
    write(picture.with_name("lost.png"), PICTURE)
    assert "1 of 2 images without labels, or in no list of a part: left out (lost.png)" in Dataset.open(tmp_path).notes
