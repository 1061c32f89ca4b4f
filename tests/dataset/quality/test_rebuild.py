from dataclasses import replace

import numpy as np
import pytest
from fake_engine import fake_draw
from items import item

from seediff.config.generate import GenerateConfig
from seediff.dataset import native
from seediff.dataset.quality.check import check_dataset
from seediff.dataset.quality.fix import fix_dataset
from seediff.dataset.quality.rebuild import find_classes, rebuild
from seediff.errors import UserError
from seediff.run.collect import write_native
from seediff.run.generate import generate

CONFIG = GenerateConfig(classes=("dog", "cat", "bus"), per_class=5, batch_size=4, classes_per_image=2, model="mini", device="cpu")


@pytest.mark.parametrize("reject", [False, True])
def test_rows_of_generate_come_back_as_they_were(tmp_path, reject):
    out = tmp_path / "out"
    generate(replace(CONFIG, reject=reject, attempts=3), out, draw=fake_draw)
    rows = native.read_rows(out)
    assert any(row["flags"] for row in rows) == (not reject)
    assert any(row["attempt"] for row in rows) == reject
    (out / native.METADATA).unlink()
    (out / native.CLASSES).unlink()
    fixed = fix_dataset(out, check_dataset(out).findings)
    assert len(fixed) == 2
    assert f"metadata.jsonl has {len(rows)} rows again" in fixed[0]
    again = native.read_rows(out)
    if reject:  # nothing that is kept has a flag
        assert (out / native.METADATA).read_bytes() == native.jsonl(rows)
        assert "not known" not in fixed[0]
    else:
        expected = [{**row, "flags": [flag for flag in row["flags"] if flag.startswith("degenerate")]} for row in rows]
        assert native.jsonl(again) == native.jsonl(expected)
        assert "flags but `degenerate` are not known" in fixed[0]
    assert native.read_classes(out) == CONFIG.classes
    assert check_dataset(out).errors == 0


def test_without_the_rejected_draws_seeds_are_not_made_up(tmp_path):
    generate(replace(CONFIG, reject=True), tmp_path / "out", draw=fake_draw)
    for name in (native.METADATA, native.REJECTED):
        (tmp_path / "out" / name).unlink()
    found = rebuild(tmp_path / "out")
    assert found.notes == ("rejected.jsonl is lost too: seed and attempt are not known",)
    assert not any("seed" in row for row in found.rows)


def test_rows_of_mask_say_what_the_files_show(tmp_path):
    write_native(tmp_path / "out", ("dog", "cat"), [item("000000", np.eye(4, 6).astype(np.uint8)), item("000001")], about={})
    text = 'command = "mask"\nversion = "0.0.9"\nclasses = ["dog", "cat"]\nprompts = ["one {class}"]\nphotos = "2 photographs"\n'
    (tmp_path / "out" / native.CONFIG).write_text(text)
    (tmp_path / "out" / native.METADATA).unlink()
    first, second = rebuild(tmp_path / "out").rows
    assert (first["prompt"], first["classes"], first["class_ids"], first["version"]) == ("one dog", ["dog"], [1], "0.0.9")
    assert (second["prompt"], second["classes"], second["flags"]) == ("", [], ["no_class"])


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
    assert "1 pictures have no label map" in fixed[0]
    assert "1 samples cannot be read" in fixed[0]
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
    with pytest.raises(UserError, match="has not finished; start it again"):
        rebuild(tmp_path / "out")
