import json
import re
import shutil

import pytest
from command_line import runner
from items import write_pets
from refusals import user_error

from seediff.cli.formats import export_
from seediff.cli.sets import augment, check, filter_, merge, split
from seediff.cli.train_commands import train
from seediff.dataset.check import check_dataset
from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.format_table import FORMATS
from seediff.dataset.native import open_native
from seediff.train.stages import open_training

run = runner(merge, split, export_, filter_, augment, check, train)


@pytest.fixture
def pets(tmp_path):
    return write_pets(tmp_path / "pets", 10)


def test_split_to_folders(pets, tmp_path, capsys):
    run(f"split {pets} --val 0.2 --test 0.2 --out {tmp_path}/parts --link")
    said, _, step = capsys.readouterr().out.partition("\n\nNext:\n")
    assert said == f"train 6, val 2, test 2 of 10 samples: {tmp_path / 'parts'}"
    assert step.endswith(f"train {tmp_path}/parts/train --val {tmp_path}/parts/val --out segmenter\n")
    sets = " or ".join(f"{tmp_path}/parts/{part}" for part in ("test", "train", "val"))
    run(f"export {tmp_path}/parts --to yolo --out {tmp_path}/yolo --quiet")
    counts = [len([*(tmp_path / "yolo/labels" / part).iterdir()]) for part in ("train", "val", "test")]
    assert counts == [6, 2, 2]
    for use in (check_dataset, lambda folder: run(f"split {folder} --in-place")):  # the folder is no set itself
        with user_error(rf"parts: is no dataset: it has no metadata.jsonl; give {sets}$"):
            use(tmp_path / "parts")
    assert [len(Dataset.open(tmp_path / "parts", split=part)) for part in (None, "val")] == [10, 2]
    training = open_training([tmp_path / "parts"])
    assert (len(training.stages[0].items), len(training.validation)) == (6, 2)
    run(f"filter {tmp_path}/parts --max-components 9 --out {tmp_path}/whole --quiet")
    parts = {part: open_native(tmp_path / "parts" / part)[1] for part in ("train", "val", "test")}
    assert sorted(i.name for items in parts.values() for i in items) == [f"{i:06d}" for i in range(10)]
    for part, items in parts.items():
        assert all(i.metadata["split"] == part for i in items)
        assert {name for i in items for name in i.metadata["classes"]} == {"dog", "cat"}
    with user_error("already exists and is not empty"):
        run(f"split {pets} --out {tmp_path}/parts")


def test_split_in_place_is_what_export_follows(pets, tmp_path):
    run(f"split {pets} --val 0.2 --test 0.1 --in-place --quiet")
    run(f"export {pets} --to coco --out {tmp_path}/coco --quiet")
    counts = {
        p.stem: len(json.loads(p.read_text())["images"]) for p in (tmp_path / "coco/annotations").glob("instances*")
    }
    assert counts == {"instances_train": 7, "instances_val": 2, "instances_test": 1}
    run(f"export {pets} --to voc --out {tmp_path}/voc --quiet")
    lists = {p.stem: p.read_text().split() for p in (tmp_path / "voc/ImageSets/Segmentation").iterdir()}
    assert {name: len(lines) for name, lines in lists.items()} == {"train": 7, "val": 2, "trainval": 9, "test": 1}


@pytest.mark.parametrize("out", ["link/sub", "."])
def test_an_output_inside_a_source_or_around_it(pets, tmp_path, monkeypatch, out):
    run(f"split {pets} --out {tmp_path}/parts --quiet")
    (tmp_path / "link").symlink_to(pets)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for words in (["merge", "parts/train", "pets"], ["split", "pets"]):
        with user_error(rf"{out}: must not be the dataset \S+ itself, nor lie in it or around it$"):
            run(*words, "--out", out)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "command", ["filter SET", "merge SET SET-2", "split SET --in-place", "split SET", "augment SET --add flip:100%"]
)
def test_pseudo_labels_stay_pseudo_labels(tmp_path, command):
    """Whatever becomes of a set, its card and its page say how many masks a model made and nobody has checked."""
    made = write_pets(tmp_path / "made", 4, row=lambda _: {"model": "mini", "method": "seediff", "asked": []})
    painted = write_pets(tmp_path / "painted", 4)
    for folder in (made, painted):
        shutil.copytree(folder, f"{folder}-2")
    out = tmp_path / "out"
    for folder, said in ((made, True), (painted, False)):
        words = command.replace("SET", str(folder))
        if "--in-place" not in words:
            words += f" --out {out}"
        run(f"{words} --quiet")
        for readme in [folder] if "--in-place" in words else [path.parent for path in out.rglob("README.md")]:
            card, page = ((readme / name).read_text() for name in ("README.md", "preview.html"))
            assert ("- pseudo-labels" in card) == ("no person has checked" in card) == said
            assert ("what it finds in other images means nothing" in card) == said
            box = page.partition('<div class="warning">')[2].partition("</div>")[0]
            assert ("nobody has checked them" in box) == ("in other images means nothing." in box) == said
        shutil.rmtree(out, ignore_errors=True)


def test_what_is_handed_over_says_where_it_comes_from(tmp_path, capsys):
    """Copies, a set that is divided in place, and every export, of which people take the accepted samples alone."""
    accepted = {"model": "mini", "method": "seediff", "review": {"verdict": "accepted"}}
    write_pets(tmp_path / "pets", 6, row=lambda number: accepted if number < 4 else {})
    write_pets(tmp_path / "c1", 2)
    run(f"merge {tmp_path}/pets {tmp_path}/c1 --out {tmp_path}/both --quiet")
    run(f"filter {tmp_path}/c1 --out {tmp_path}/copy --quiet")
    for seed in (0, 1):
        run(f"split {tmp_path}/both --val 0.25 --seed {seed} --in-place --quiet")
    cards = {name: (tmp_path / name / "README.md").read_text().replace("\\", "") for name in ("both", "copy")}
    assert "| samples | 6 of pets (mini), 2 of c1 |" in cards["both"]
    assert cards["both"].count("| parts | train 6, val 2 |") == cards["both"].count('"name": "split"') == 1
    assert "| samples | 2 of c1 |\n| drawn by | – |\n" in cards["copy"]
    for name, one in FORMATS.items():
        run(f"export {tmp_path}/both --to {name} --out {tmp_path}/{name} --reviewed accepted")
        assert "note: 4 without the decision accepted: left out" in capsys.readouterr().out
        card = (tmp_path / name / "README.md").read_text().replace("\\", "")
        made = "| drawn by | mini 4 |\n| photographs | 0 |\n| masks by | mini seediff 4 |\n"
        told = f"| format | {name} |\n| samples | 4 of pets (mini) |\n{made}| reviewed | 4 of 4 images (accepted 4) |\n"
        assert told in card
        assert "- mini: MIT" in card
        assert not re.search("preview.html|metadata.jsonl|configs|value in masks", card)
        if one.looked_for:
            assert len(Dataset.open(tmp_path / name)) == 4
    with user_error(r"c1: has no sample that is accepted; decide in `seediff look`"):
        run(f"export {tmp_path}/c1 --to voc --out {tmp_path}/none --reviewed accepted")


@pytest.mark.parametrize(
    "command", ["check SET", "export SET --to yolo --out OUT", "train SET --out OUT --backbone tiny --dry-run"]
)
def test_what_uses_pseudo_labels_says_so(tmp_path, capsys, command):
    made = write_pets(tmp_path / "made", 4, row=lambda _: {"model": "mini", "method": "seediff", "asked": []})
    for folder, said in ((made, True), (write_pets(tmp_path / "painted", 4), False)):
        run(command.replace("SET", str(folder)).replace("OUT", str(tmp_path / f"{folder.name}-out")))
        text = capsys.readouterr().out
        assert ("a model made these masks; nobody has checked them" in text) == said
        assert ("model mini knows its own emoji art alone: what it finds in other images means nothing" in text) == said
