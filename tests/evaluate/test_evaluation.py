import csv
import errno
import json
import sys
import types
from dataclasses import replace
from itertools import chain
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from items import write_pets
from layouts import add_images, save_camvid, save_image, save_map, save_voc
from refusals import refused, user_error

from seediff.cli.main import main
from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.format_table import READ
from seediff.dataset.formats.public_sets import CAMVID_CLASSES
from seediff.dataset.sample import Sample
from seediff.evaluate import page
from seediff.evaluate.evaluation import evaluate, score_tables
from seediff.evaluate.page import notes
from seediff.files.image_files import compress_image
from seediff.metrics.scores import MEASURES

MAPS = {"2007_000033": [[0, 0, 15, 15], [0, 0, 15, 255]], "2007_000042": [[0, 0, 12, 12], [0, 0, 12, 12]]}


@pytest.fixture
def voc(tmp_path):
    return add_images(save_voc(tmp_path / "VOC2012", MAPS), "JPEGImages", MAPS, ".jpg")


@pytest.fixture
def predictions(tmp_path):
    """The truth, with person and dog under ids of their own, and one image without its dog."""
    folder = tmp_path / "predictions"
    save_map(folder / "2007_000033.png", [[0, 0, 1, 1], [0, 0, 1, 0]])
    save_map(folder / "2007_000042.png", np.zeros((2, 4)))
    (folder / "classes.txt").write_text("background\nperson\ndog\n")
    return folder


def run(*arguments):
    return main(["evaluate", *map(str, arguments)])


def test_the_command_and_its_files(voc, predictions, tmp_path, capsys):
    report = tmp_path / "report"
    files = ("--json", tmp_path / "voc.json", "--out", report)
    assert run(predictions, "--data", voc, "--protocol", "voc", *files, "--draws", 20) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "12 → dog: images 1, pixels 4" in out.partition("protocol voc, 2 images")[0]
    assert "Classes that are never predicted, because there is no such class: aeroplane, bicycle" in out
    scores = json.loads((tmp_path / "voc.json").read_text())
    assert scores == json.loads((report / "scores.json").read_text())
    # background 8 of 12 pixels that are it or said to be it, person all 3, dog none of 4.
    assert scores["per_class"]["background"]["iou"] == pytest.approx(8 / 12)
    assert scores["miou"] == pytest.approx((8 / 12 + 1 + 0) / 3)
    assert scores["groups"]["objects"]["miou"] == pytest.approx(1 / 2)
    assert scores["pixel_accuracy"] == pytest.approx(11 / 15)
    with (report / "images.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"name": "2007_000042", "miou": f"{(4 / 8 + 0) / 2:.6f}"},
            {"name": "2007_000033", "miou": "1.000000"},
        ]
    assert (report / "confusion.png").is_file()
    page = (report / "evaluation.html").read_text()
    assert page.index("2007_000042: mIoU 25.0%, 50.0% of the pixels wrong") < page.index("2007_000033: mIoU 100.0%")
    assert page.count("data:image/jpeg") == 8
    assert "66.7%" in page


def test_two_predictions_and_tables_for_papers(voc, predictions, tmp_path, capsys):
    other = tmp_path / "one_class%"
    for name in MAPS:
        save_map(other / f"{name}.png", np.zeros((2, 4)))
    more = ("--data", voc, "--protocol", "voc", "--against", other, "--json", tmp_path / "two.json", "--draws", 200)

    def printed(form):
        assert run(predictions, *more, "--format", form) == 0
        out, err = capsys.readouterr()
        assert "\nAgainst: label maps" in err
        assert "12 → dog" in err
        assert "VOC's twenty" not in out
        return out

    # Person is right in the first image of the first predictions alone; of the second, only the background.
    ious, boundaries = printed("markdown").split("\n\n")
    first, _, *rows = ious.splitlines()
    assert first == f"|  | {predictions}, IoU | {other}, IoU | difference | 95 % CI | images |"
    assert boundaries.startswith(f"|  | {predictions}, boundary IoU | {other}, boundary IoU | difference |")
    table = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in (row.split("|") for row in rows)}
    assert table["person"][:3] == ["100.0", "0.0", "+100.0"]
    assert table["dog"] == ["0.0", "0.0", "+0.0", "", "1"]
    assert list(table)[-1] == "pixel accuracy"
    assert boundaries.splitlines()[-1].startswith("| boundary mIoU |")
    assert "cow" not in table
    written = json.loads((tmp_path / "two.json").read_text())
    difference = {one["name"]: one for one in written["difference"] if one["score"] != "boundary IoU"}
    assert difference["mIoU"]["difference"] == written["miou"] - written["against"]["miou"]
    boundary = written["boundary_miou"] - written["against"]["boundary_miou"]
    assert difference["boundary mIoU"]["difference"] == boundary
    assert (difference["dog"]["images"], difference["dog"]["ci95"]) == (1, [None, None])

    assert {line.count(",") for line in printed("csv").splitlines()} == {10, 6, 0}  # headings have four more
    latex = printed("latex")
    assert "one\\_class\\%, IoU & difference & 95 \\% CI & images \\\\\n\\midrule\nbackground & 66.7 & " in latex
    assert " & $\\geq$ 1 \\\\" in latex


def test_classes_that_count_as_background_are_named(voc, predictions):
    lines = notes(evaluate(predictions, voc, protocol="ade20k", draws=5))
    data = "aeroplane, bicycle, bird, boat, bottle, cat, chair, cow, … (17 in all)"
    assert f"Classes of the data that count as background: {data}." in lines
    assert "Classes of the predictions that count as background: dog." in lines


def test_labels_that_nobody_has_checked_are_told(tmp_path):
    pets = write_pets(tmp_path / "pets", row=lambda number: {"method": "seediff"})
    assert run(pets, "--data", pets, "--out", tmp_path / "report", "--draws", 5) == 0
    assert "A model made these masks; nobody has checked them." in notes(evaluate(pets, pets, draws=5))
    assert "100.0% <small>against 4 unchecked masks</small>" in (tmp_path / "report/evaluation.html").read_text()


def test_a_report_is_there_whole_or_not_at_all(tmp_path, capsys, monkeypatch):
    pets, report = write_pets(tmp_path / "pets"), tmp_path / "report"
    words = ("evaluate", pets, "--data", pets, "--out", report, "--draws", 5, "--quiet")
    with monkeypatch.context() as patch:
        patch.setattr(page, "write_json", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        assert "No space left" in refused(capsys, *words)
    assert [*tmp_path.iterdir()] == [pets]
    assert main([*map(str, words)]) == 0
    assert "is not empty; choose another folder (if seediff wrote this one, it is complete)" in refused(capsys, *words)


def test_several_others_are_each_compared_with_the_first(voc, predictions, tmp_path, capsys):
    zeros = tmp_path / "zeros"
    for name in MAPS:
        save_map(zeros / f"{name}.png", np.zeros((2, 4)))
    line = [predictions, "--data", voc, "--protocol", "voc", "--draws", 20, "--format", "csv"]

    def told(*others):
        written = tmp_path / "scores.json"
        assert run(*line, *chain.from_iterable(("--against", other) for other in others), "--json", written) == 0
        return capsys.readouterr().out, json.loads(written.read_text())

    (one, first), (two, second), (both, several) = told(zeros), told(predictions), told(zeros, predictions)
    assert both == f"{one}\n{two}"
    assert several["against"] == [first["against"], second["against"]]
    assert several["difference"] == [first["difference"], second["difference"]]
    assert run(*line, zeros) == 2
    assert f"compare with other predictions by --against {zeros}" in capsys.readouterr().err


def test_what_few_pictures_show_is_said(tmp_path, monkeypatch):
    """Six pictures of a dog, of which one shows a cat, too; one of two predictions has a pixel of a bus."""
    rng = np.random.default_rng(0)
    for number in range(6):
        truth = np.zeros((20, 20), np.uint8)
        truth[5:15, 5:15] = 1
        truth[16:, 16:] = 2 * (number == 0)
        predicted = np.where(rng.random(truth.shape) < 0.1, 0, truth)
        stray = predicted.copy()
        stray[0, 0] = 3 * (number == 0)
        for folder, ids in (("truth", truth), ("a", predicted), ("b", stray)):
            save_map(tmp_path / folder / f"{number}.png", ids)
    for folder in ("truth", "a", "b"):
        (tmp_path / folder / "classes.txt").write_text("background\ndog\ncat\nbus\n")
    often = "mIoU: mean of the 2 classes that 5 or more images show"
    evaluation = evaluate(tmp_path / "a", tmp_path / "truth", against=tmp_path / "b", draws=50)

    table, boundaries = score_tables(replace(evaluation, against=()))
    alone = {row[0]: row[2:4] for row in (*table.rows, *table.sums)}
    without = [name for name, (ends, _) in alone.items() if np.isnan(ends[0])]
    assert without == ["cat", "objects", "mIoU"]
    assert boundaries.sums[-1][0] == f"boundary {often}"
    assert [alone[name][1] for name in ("dog", "cat", "mIoU", often)] == ["6", "1", "≥ 1", "≥ 6"]
    without_interval = [note for note in notes(evaluation) if "fewer than 5 images" in note]  # once for all measures
    assert without_interval == ["Without interval, because fewer than 5 images show them: cat (1)."]

    compared = {row[0]: row[1:] for row in score_tables(evaluation)[0].sums}
    assert compared["mIoU"][2] == pytest.approx(0, abs=0.001)
    assert compared[often][3] == pytest.approx((0, 0), abs=0.001)
    said = "Means and their differences are without bus, for which only one of the two has IoU."
    (line,) = (note for note in notes(evaluation) if note.startswith(f"Against: {said}"))
    several = notes(evaluate(tmp_path / "a", tmp_path / "truth", against=[tmp_path / "b", tmp_path / "a"], draws=50))
    assert any(note.startswith(f"Against {tmp_path / 'b'}: {said}") for note in several)
    (itself,) = (note for note in several if "compared with themselves" in note)
    assert (
        itself == f"Against {tmp_path / 'a'}: The same predictions are compared with themselves: all differences are 0."
    )
    assert "Predictions and labels come from the same folder." in notes(
        evaluate(tmp_path / "truth", tmp_path / "truth")
    )
    scores, other = evaluation.scores, evaluation.to_json()["against"]
    assert line.endswith(f"By the protocol, mIoU is {scores.miou.value:.1%} and {other['miou']:.1%}.")
    assert other["miou"] == pytest.approx(scores.miou.value * 3 / 4, abs=0.001)  # the protocol's


def test_the_page_says_what_each_measure_is():
    page = (Path(__file__).parents[2] / "docs/evaluation.md").read_text(encoding="utf-8")
    names = [measure.name for measure in MEASURES]
    assert [name for name in names if f"**{name[0].upper()}{name[1:]}**" in page] == names


def test_classes_by_option_by_a_class_map_and_as_the_data_has_them(voc, predictions, tmp_path):
    def miou(**options):
        return evaluate(predictions, voc, protocol="voc", draws=5, **options).scores.miou.value

    by_file = miou()
    (predictions / "classes.txt").unlink()
    assert miou(classes=("person", "dog")) == by_file
    for names in ('{"1": "person", "2": "dog"}', '{"1": "dog", "2": "person"}'):  # ids are what the list says
        (predictions / "id2label.json").write_text(names)
        assert (miou() == by_file) == names.endswith('dog"}')
    with user_error('classes: says that 1 is "person", and .*id2label.json that it is "dog"'):
        miou(classes=("person", "dog"))
    (predictions / "id2label.json").unlink()
    (tmp_path / "map.toml").write_text('man = "person"\nhound = "dog"\n')
    assert miou(classes=("man", "hound"), class_map=tmp_path / "map.toml") == by_file
    assert miou() == pytest.approx((8 / 12 + 0 + 0 + 0) / 4)  # id 1 is an aeroplane
    save_map(predictions / "2007_000033.png", MAPS["2007_000033"])
    assert miou() == by_file


@pytest.mark.parametrize("read_by", ["--classes", "classes.txt", "the data"])
def test_255_is_the_class_if_there_is_one_and_no_other_number(tmp_path, read_by):
    """As in `import`: of the truth as of the predictions."""
    rng = np.random.default_rng(0)
    truth, predicted = rng.random((2, 6, 8)) < 0.5
    expected = (truth & predicted).sum() / (truth | predicted).sum()
    save_map(tmp_path / "data/masks/a.png", truth * 255, palette=False)
    save_image(tmp_path / "data/images/a.png", truth.shape)
    (tmp_path / "data/classes.txt").write_text("background\ndog\n")
    classes = None
    if read_by == "--classes":
        classes = ("dog",)
    for value in (1, 255):
        save_map(tmp_path / "predictions/a.png", predicted * value, palette=value == 1)
        if read_by == "classes.txt":
            (tmp_path / "predictions/classes.txt").write_text("background\ndog\n")
        found = evaluate(tmp_path / "predictions", tmp_path / "data", classes=classes, draws=5)
        assert found.scores.per_class["dog"].value == pytest.approx(expected)
        assert "255 is 'dog'" in found.predictor.about
        assert any("255 is 'dog'" in note for note in found.data.reading.left_out)
    # Not where another value is there, too.
    save_map(tmp_path / "predictions/a.png", [[0, 1] * 4] + [[0, 255] * 4] * 5)
    found = evaluate(tmp_path / "predictions", tmp_path / "data", classes=classes, draws=5)
    assert found.scores.per_class["dog"].value != pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ids: np.where(ids == 0, 255, ids - 1), "The ids of the predictions seem to be one too low"),
        (lambda ids: np.where(ids == 0, 0, 255), "No pixel is predicted to be of a class."),
        (lambda ids: ids, None),
        (lambda ids: (ids + 2) % 4, None),
    ],
)
def test_what_predictions_seem_to_mean(tmp_path, change, said):
    ids = np.random.default_rng(0).integers(0, 4, (9, 12))
    save_map(tmp_path / "data/masks/a.png", ids)
    (tmp_path / "data/classes.txt").write_text("background\ndog\ncat\ncar\n")
    save_map(tmp_path / "predictions/a.png", change(ids))
    found = evaluate(tmp_path / "predictions", tmp_path / "data", draws=5)
    hints = [note for note in notes(found) if note.startswith(("The ids", "No pixel"))]
    assert (len(hints), all(note.startswith(said or "") for note in hints)) == (bool(said), True)


def test_a_segmenter(voc, tmp_path, monkeypatch):
    shown = []

    def label_maps(images, *, scales, flip):
        shown.append({"images": len(images), "scales": scales, "flip": flip})
        return [np.full(image.shape[:2], 1, np.uint8) for image in images]

    segmenter = types.SimpleNamespace(classes=("dog",), label_maps=label_maps)
    stand_in = types.SimpleNamespace(load_segmenter=lambda folder, device: segmenter)
    monkeypatch.setitem(sys.modules, "seediff.train.predict", stand_in)  # the real one takes seconds to import
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    path = tmp_path / "scores.json"
    assert run(model, "--data", voc, "--scales", "0.5,1", "--flip", "--json", path, "--quiet", "--draws", 5) == 0
    assert shown == [{"images": 2, "scales": (0.5, 1.0), "flip": True}]
    assert json.loads(path.read_text())["per_class"]["dog"]["iou"] == 4 / 15
    # What is wrong with the last image is said before the first is segmented.
    save_image(voc / "JPEGImages" / "2007_000042.jpg", (4, 2))
    with user_error(r"'2007_000042': its truth is \(2, 4\), but its image \(4, 2\)"):
        evaluate(model, voc)
    save_map(voc / "SegmentationClass" / "2007_000042.png", [[77]])
    with user_error("has id 77, which is not a class"):
        evaluate(model, voc)
    assert len(shown) == 1
    for photo in (voc / "JPEGImages").iterdir():
        photo.unlink()
    with user_error("2 of 2 labels have no image"):
        evaluate(model, voc)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda p, d: (p / "2007_000042.png").unlink(), (), "no prediction for 1 of 2 images: 2007_000042"),
        (lambda p, d: save_map(p / "2007_000042.png", np.full((2, 4), 300), bits=16), (), "id 300"),
        (None, ("--protocol", "camvid"), "protocol camvid"),
        (None, ("--scales", "0.5,2"), "config.json"),
        (None, ("--draws", "0"), "--draws"),
        (None, ("--classes", ",".join(f"c{i}" for i in range(255))), "--classes"),
    ],
)
def test_bad_input_is_one_line(voc, predictions, capsys, change, options, words):
    if change:
        change(predictions, voc)
    assert words in refused(capsys, "evaluate", predictions, "--data", voc, *options)


def test_predictions_that_count_from_0_are_refused_where_nothing_is_background(tmp_path):
    root = save_camvid(tmp_path / "CamVid", {"0001TP_008550": [[0, 10, 1], [8, 9, 3]]})
    (tmp_path / "p").mkdir()
    save_map(tmp_path / "p/0001TP_008550.png", [[0, 10, 1], [8, 9, 3]])
    (tmp_path / "p/classes.txt").write_text("\n".join(CAMVID_CLASSES))
    with user_error(r"has id 0, which is not a class of .*classes\.txt: its lines are ids from 1 on, unless"):
        evaluate(tmp_path / "p", root)
    (tmp_path / "p/classes.txt").write_text("\n".join(f"{i} {name}" for i, name in enumerate(CAMVID_CLASSES)))
    assert evaluate(tmp_path / "p", root, boundary=False).scores.miou.value == 1.0


def test_sets_of_other_pictures_are_not_compared(tmp_path):
    labels = np.array([[0, 1], [1, 1]], np.uint8)

    def pictures(folder, *shades):
        samples = [Sample(np.full((2, 2, 3), shade, np.uint8), labels, name=f"{i}") for i, shade in enumerate(shades)]
        Dataset(("dog",), samples).save(tmp_path / folder)

    pictures("a", 1, 2, 3)
    pictures("same", 1, 2, 3)
    pictures("b", 1, 7, 8)
    assert evaluate(tmp_path / "a", tmp_path / "same", draws=5).scores.miou.value == 1
    with user_error(r"2 of 3 images differ from those of the same names in .*: 1, 2; .* saved anew, give .*masks$"):
        evaluate(tmp_path / "a", tmp_path / "b", draws=5)
    assert evaluate(tmp_path / "a/masks", tmp_path / "b", draws=5).scores.miou.value == 1
    # The same pixels in another file.
    data = compress_image(np.full((2, 2, 3), 1, np.uint8), compress_level=0)
    Dataset(("dog",), [Sample(data, labels, name="0")]).save(tmp_path / "again")
    assert evaluate(tmp_path / "a", tmp_path / "again", draws=5).scores.miou.value == 1


@pytest.mark.parametrize("name", READ)
def test_every_format_is_truth_and_prediction(tmp_path, name):
    """Also a VOC set without a part `val`, which is then no part to ask for."""
    pets = write_pets(tmp_path / "pets")
    Dataset.open(pets).export(name, tmp_path / "set")
    for predictions, data in ((pets, tmp_path / "set"), (tmp_path / "set", pets)):
        assert evaluate(predictions, data, boundary=False, draws=5).scores.miou.value == 1
