import json

import pytest
from command_line import runner
from cyclopts import CoercionError
from items import edit_row, write_pets
from layouts import save_map, save_voc
from refusals import refused, user_error

from seediff.cli.main import main
from seediff.cli.sets import check, filter_, stats
from seediff.dataset import native
from seediff.errors import UserError

run = runner(check, stats, filter_)


@pytest.fixture
def pets(tmp_path):
    """Four pictures; the last one is flagged. Surer with each number."""

    def row(number):
        sure = {("dog", "cat")[number % 2]: 0.65 + 0.1 * number}
        return {"flags": ["constant:cat"] * (number == 3), "confidence": sure}

    return write_pets(tmp_path / "pets", row=row)


def test_check_says_what_is_wrong_in_one_line(pets, tmp_path, capsys):
    edit_row(pets, 1, area={"cat": 1.0})
    wrong = r"1 error \(row 1\); the first: images/000001.png: names .* but its label map shows .*0.25\}$"
    with user_error(wrong):
        run(f"check {pets} --json {tmp_path}/check.json")
    assert "images/000001.png" in capsys.readouterr().out
    assert json.loads((tmp_path / "check.json").read_text())["errors"] == 1
    (pets / native.METADATA).unlink()
    with user_error(r"1 error \(structure 1\); the first: .*metadata.jsonl: no such file.*; restore what is damaged"):
        run(f"check {pets} --quiet")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--reviewed", "accepted"],
            r"no sample meets the criteria \(dropped: reviewed 4\); nothing was written",
        ),
        (
            "--drop-flags all,no_seeds --min-area 0.9 --max-area 0.95".split(),
            r"\(dropped: area 3, flags 1\); nothing was written",
        ),
        (["--max-components", "2.5"], "'2.5' must be a whole number"),
        (["--max-area", "2"], "max_area"),
        (
            ["--drop-flags", "no_seeds:cow"],
            r"drop_flags: no_seeds:cow: no such flag; .* for example no_seeds:dog$",
        ),
        (["--out", "pets/sub"], "must not be the dataset .*pets itself, nor lie in it"),
    ],
)
def test_a_filter_that_cannot_be_leaves_nothing(pets, tmp_path, monkeypatch, words, message):
    before = sorted(tmp_path.rglob("*"))
    out = [] if "--out" in words else ["--out", "out"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UserError, CoercionError), match=message):
        run(f"filter {pets}", *out, *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_segments_are_scored_by_the_command(tmp_path, capsys):
    root = save_voc(tmp_path / "VOCdevkit" / "VOC2012", {"2007_000032": [[0, 0, 15, 15], [0, 0, 15, 255]]})
    save_map(tmp_path / "out" / "labels" / "2007_000032.png", [[3, 3, 3, 1], [3, 3, 1, 1]])
    path = tmp_path / "scores.json"
    line = f"evaluate segments {tmp_path}/out --labels {root.parents[1]} --protocol strict".split()
    assert main([*line, "--json", str(path)]) == 0
    out, err = capsys.readouterr()
    assert f"Pascal VOC's folders in {root.parents[1]}" in out
    assert err == ""
    scores = json.loads(path.read_text())
    assert (scores["acc"], scores["protocol"]) == (6 / 7, "strict")
    assert scores["miou"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert main([*line, "--format", "markdown"]) == 0
    assert "| person | 66.7 |  | 1 | " in capsys.readouterr().out
    assert "val has its own; leave it out" in refused(capsys, *line, "--num-classes", "27")
