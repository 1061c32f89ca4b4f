import shutil

import numpy as np
import pytest
from fake_engine import fake_draw
from items import item

from seediff.cli import main
from seediff.config.generate import GenerateConfig
from seediff.dataset import native
from seediff.dataset.quality.check import Finding, check_dataset
from seediff.dataset.quality.fix import find_classes, fix_dataset
from seediff.dataset.store import write_native
from seediff.errors import UserError
from seediff.run.generate import generate

CONFIG = GenerateConfig(classes=("dog", "cat", "bus"), per_class=5, batch_size=4, classes_per_image=2, model="mini", device="cpu")


def test_what_a_run_made_is_made_again_by_its_command(tmp_path, capsys):
    out = tmp_path / "out"
    generate(CONFIG, out, draw=fake_draw)
    before = {path.name: path.read_bytes() for path in (out / native.METADATA, out / native.CLASSES, out / "images/000000.png")}
    (out / native.METADATA).unlink()
    assert main(["check", str(out), "--fix"]) == 2
    said = capsys.readouterr().err
    assert f"is missing; this makes every sample again: seediff generate --config {out / native.CONFIG} --out {out}" in said
    assert not (out / native.METADATA).exists()
    generate(CONFIG, out, draw=fake_draw)
    assert {path.name: path.read_bytes() for path in (out / native.METADATA, out / native.CLASSES, out / "images/000000.png")} == before


def test_lost_classes_of_a_run_come_from_its_configuration(tmp_path):
    out = tmp_path / "out"
    generate(CONFIG, out, draw=fake_draw)
    (out / native.CLASSES).unlink()
    assert fix_dataset(out, check_dataset(out).findings) == ["classes.txt has 3 classes again"]
    assert native.read_classes(out) == CONFIG.classes
    assert check_dataset(out).errors == 0


def test_of_other_datasets_only_what_the_files_show(tmp_path):
    labels = np.full((4, 6), 2, np.uint8)
    items = [item("trip/a", labels, {"source": "x"}), item("b", suffix="jpg"), item("c"), item("d")]
    write_native(tmp_path / "out", ("dog", "cat"), items, about={})
    out = tmp_path / "out"
    (out / native.METADATA).unlink()
    (out / "masks/c.png").unlink()
    (out / "masks/d.png").write_bytes((out / "masks/d.png").read_bytes()[:-20])
    fixed = fix_dataset(out, check_dataset(out).findings)
    assert "2 rows again" in fixed[0]
    assert "2 pictures have no label map, or one of them cannot be read" in fixed[0]
    assert native.read_rows(out) == [
        {"file_name": "images/b.jpg", "mask": "masks/b.png", "classes": [], "class_ids": [], "area": {}},
        {"file_name": "images/trip/a.png", "mask": "masks/trip/a.png", "classes": ["cat"], "class_ids": [2], "area": {"cat": 1.0}},
    ]


def test_classes_come_from_what_names_them(tmp_path):
    write_native(tmp_path / "out", ("dog", "cat"), [item("a", np.full((4, 6), 2, np.uint8))], about={})
    (tmp_path / "out" / native.CLASSES).unlink()
    with pytest.raises(UserError, match=r"classes.txt: is lost, and neither seediff.toml nor metadata.jsonl says what every id is called"):
        find_classes(tmp_path / "out")
    rows = [*native.read_rows(tmp_path / "out"), {"classes": ["dog"], "class_ids": [1]}]
    (tmp_path / "out" / native.METADATA).write_bytes(native.jsonl(rows))
    assert find_classes(tmp_path / "out") == ("dog", "cat")


def test_an_unfinished_run_is_left_to_its_command(tmp_path):
    (tmp_path / "out/.batches").mkdir(parents=True)
    (tmp_path / "out" / native.CLASSES).write_bytes(native.classes_text(("dog",)))
    write_native(tmp_path / "set", ("dog",), [item("a")], about={})
    shutil.copytree(tmp_path / "set", tmp_path / "out", dirs_exist_ok=True)
    (tmp_path / "out" / native.METADATA).unlink()
    with pytest.raises(UserError, match="has not finished; start it again"):
        fix_dataset(tmp_path / "out", [Finding("lost", "error", native.METADATA, "")])
